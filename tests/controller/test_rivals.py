"""Others who write to the same workloads, or who take away what we left there to know it again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from controller.manifests import Json, deployment, policy, sidecar
from localcluster.connection import RefusedError
from localcluster.waiting import until
from sidecarpolicy.api import names
from sidecarpolicy.planning.workload import template_of
from world import World, condition

RIVAL = "argocd-controller"
DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments"


def inits(world: World) -> list[str]:
    return [one["name"] for one in template_of(world.get("Deployment", "web"))["spec"].get("initContainers", [])]


def record(world: World) -> str | None:
    found: str | None = world.get("Deployment", "web")["metadata"].get("annotations", {}).get(names.RECORD_ANNOTATION)
    return found


@contextmanager
def reverting(world: World, spec: Json) -> Iterator[None]:
    """Somebody who puts the pod spec back whenever it changes."""
    mine, over = World(world.cluster, world.namespace), threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            if inits(mine):
                body = {"metadata": {"annotations": {names.REVISION_ANNOTATION: None}}, "spec": spec}
                path = f"{DEPLOYMENTS.format(world.namespace)}/web?fieldManager={RIVAL}"
                mine.ask("PATCH", path, {"spec": {"template": body}}, "application/merge-patch+json")

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        mine.close()


def test_rival_that_reverts_us_is_named_and_left_alone(world: World) -> None:
    world.ask("POST", f"{DEPLOYMENTS.format(world.namespace)}?fieldManager={RIVAL}", deployment(replicas=0))
    spec = {**template_of(world.get("Deployment", "web"))["spec"], "initContainers": None}
    mark = world.cluster.audit_log.mark()
    with reverting(world, spec):
        world.apply(policy())
        said = world.until_says("log-shipper", Conflicted="FightingController")
        assert RIVAL in condition(said, "Conflicted")["message"]
        assert said["status"]["blocks"][0]["reason"] == "FightingController"

        # What is written for others meanwhile is not written for this one.
        world.apply(deployment("other", replicas=0))
        world.until_policy("log-shipper", lambda body: body["status"]["upToDate"] == 1)
        assert inits(world) == []

    facts = {"resource": "deployments", "name": "web", "field_manager": names.FIELD_MANAGER}
    ours = world.cluster.audit_log.writes(mark, namespace=world.namespace, code=200, **facts)
    assert len(ours) == 3


def test_lost_record_is_written_again_without_a_rollout(world: World) -> None:
    world.apply(deployment())
    before = template_of(world.get("Deployment", "web"))
    world.apply(policy(containers=[{"names": ["*"], "env": [{"name": "LOGS", "value": "/logs"}]}]))
    world.until_ready("log-shipper")
    kept, with_sidecar = record(world), template_of(world.get("Deployment", "web"))

    world.kubectl("annotate", "deployment/web", f"{names.RECORD_ANNOTATION}-")
    until(lambda: record(world) is not None)
    assert json.loads(record(world) or "") == json.loads(kept or "")
    assert template_of(world.get("Deployment", "web")) == with_sidecar

    world.kubectl("delete", "sidecarpolicy/log-shipper", "--timeout=30s")
    assert template_of(world.get("Deployment", "web")) == before


def test_record_that_somebody_broke_is_written_again(world: World) -> None:
    world.apply(deployment(), policy())
    world.until_ready("log-shipper")
    kept = record(world)

    world.kubectl("annotate", "--overwrite", "deployment/web", f"{names.RECORD_ANNOTATION}=not json")
    until(lambda: record(world) == kept)


def test_sidecar_that_somebody_removed_comes_back(world: World) -> None:
    world.apply(deployment(), policy())
    world.until_ready("log-shipper")

    world.patch("Deployment", "web", {"spec": {"template": {"spec": {"initContainers": None}}}})
    until(lambda: inits(world) == ["shipper"])
    world.until_ready("log-shipper")


def test_sidecar_that_somebody_changed_is_as_the_policy_says(world: World) -> None:
    world.apply(deployment(), policy())
    world.until_ready("log-shipper")

    world.kubectl("set", "image", "deployment/web", "shipper=other:1")
    until(lambda: image(world) == sidecar()["image"])


def image(world: World) -> str:
    return str(template_of(world.get("Deployment", "web"))["spec"]["initContainers"][0]["image"])


def test_namespace_with_a_policy_inside_can_be_deleted(world: World) -> None:
    world.apply(deployment(replicas=0), policy())
    world.until_ready("log-shipper")

    world.kubectl("delete", "namespace", world.namespace, "--timeout=60s")
    # The fixture deletes it once more.
    world.kubectl("create", "namespace", world.namespace)


def test_restore_that_is_blocked_is_said_and_holds_nobody_up(world: World) -> None:
    world.apply(deployment(), policy())
    world.until_ready("log-shipper")
    world.kubectl("rollout", "pause", "deployment/web")

    world.kubectl("delete", "sidecarpolicy/log-shipper", "--timeout=30s")
    until(lambda: warnings(world))
    assert warnings(world) == ["SidecarsBlocked"]
    assert inits(world) == ["shipper"]

    world.kubectl("rollout", "resume", "deployment/web")
    until(lambda: inits(world) == [])


def warnings(world: World) -> list[str]:
    """The reasons of the Events that warn the policy's owner."""
    items = world.list("Event")
    return [one["reason"] for one in items if one["regarding"]["kind"] == "SidecarPolicy" and one["type"] == "Warning"]


def test_change_that_admission_refuses_is_said_in_its_words(world: World) -> None:
    world.apply(deployment(replicas=0))
    world.ask("POST", POLICIES, refusing(world.namespace))
    world.ask("POST", f"{POLICIES[:-8]}policybindings", binding(world.namespace))
    until(lambda: is_refused(world))
    world.apply(policy())
    said = world.until_says("log-shipper", Ready="Blocked")
    world.ask("DELETE", f"{POLICIES[:-8]}policybindings/{world.namespace}")
    world.ask("DELETE", f"{POLICIES}/{world.namespace}")

    assert said["status"]["blocks"][0]["reason"] == "Refused"
    assert "no sidecars here" in said["status"]["blocks"][0]["message"]


POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"


def refusing(namespace: str) -> Json:
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "operations": ["UPDATE"]}
    validation = {"expression": "!has(object.spec.template.spec.initContainers)", "message": "no sidecars here"}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": namespace},
        "spec": {"matchConstraints": {"resourceRules": [rule]}, "validations": [validation]},
    }


def binding(namespace: str) -> Json:
    where = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": namespace},
        "spec": {"policyName": namespace, "validationActions": ["Deny"], "matchResources": where},
    }


def is_refused(world: World) -> bool:
    """The policy is in force: it takes the API server a moment to hear of it."""
    path = f"/apis/apps/v1/namespaces/{world.namespace}/deployments/web?dryRun=All"
    body = {"spec": {"template": {"spec": {"initContainers": [{"name": "one", "image": "one"}]}}}}
    try:
        world.ask("PATCH", path, body, "application/merge-patch+json")
    except RefusedError:
        return True
    return False
