"""Sidecars that do not come up: what the policy says of them, how far they spread, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controller.manifests import Json, deployment, policy, sidecar, stateful_set, template
from localcluster.waiting import until
from sidecarpolicy.planning.workload import template_of
from world import World, condition

SHIPPER = "sidecar shipper of pod"


@pytest.mark.parametrize(
    ("image", "reason", "words"),
    [
        pytest.param("pull-fails:1", "ImagePullFails", "ImagePullBackOff", id="image-cannot-be-pulled"),
        pytest.param("crashes:1", "CrashLoop", "CrashLoopBackOff (last exit: Error, code 1)", id="ends-again"),
        pytest.param("oom:1", "CrashLoop", "OOMKilled, code 137", id="needs-more-memory-than-its-limit"),
    ],
)
def test_failing_sidecar_is_named_with_its_reason(world: World, image: str, reason: str, words: str) -> None:
    world.apply(deployment(), policy(sidecars=[sidecar(image=f"sidecarpolicy.test/{image}")]))
    said = world.until_says("log-shipper", Ready="Failed")

    [failure] = said["status"]["failures"]
    assert (failure["name"], failure["reason"]) == ("web", reason)
    assert SHIPPER in failure["message"]
    assert words in failure["message"]
    assert failure["message"] in condition(said, "Ready")["message"]
    assert said["status"]["failed"] == 1


def test_sidecar_that_is_never_ready_fails_at_the_deadline(world: World) -> None:
    limit = {"progressDeadline": "3s"}
    never = sidecar(image="sidecarpolicy.test/never-ready:1")
    world.apply(deployment(), policy(sidecars=[never], rollout=limit))
    world.until_says("log-shipper", Ready="RollingOut")
    said = world.until_says("log-shipper", Ready="Failed")

    [failure] = said["status"]["failures"]
    assert failure["reason"] == "ProgressDeadlineExceeded"


def test_container_of_the_author_that_fails_is_not_blamed_on_the_sidecar(world: World) -> None:
    # Its rollout cannot go on, so that only the pods with the sidecar show the trouble.
    world.apply(deployment(template=template(image="sidecarpolicy.test/crashes:1")), policy())
    said = world.until_says("log-shipper", Ready="Failed")

    [failure] = said["status"]["failures"]
    assert failure["reason"] == "AppContainerFails"
    assert "the workload's own container app" in failure["message"]
    assert "shipper" not in failure["message"]


def test_failures_stop_the_spread(world: World) -> None:
    world.apply(*(deployment(f"web-{number}", replicas=1) for number in range(6)))
    broken = [sidecar(image="sidecarpolicy.test/pull-fails:1")]
    world.apply(policy(sidecars=broken, rollout={"maxConcurrent": 2}))
    said = world.until_policy("log-shipper", lambda body: body["status"]["failed"] == 2)

    assert (said["status"]["upToDate"], said["status"]["outdated"]) == (2, 4)
    world.apply(deployment("other", replicas=1), policy("second", selector={"matchLabels": {"app": "none"}}))
    world.until_ready("second")
    assert len(carrying(world)) == 2

    world.apply(policy(rollout={"maxConcurrent": 2}))
    world.until_policy("log-shipper", lambda body: body["status"]["upToDate"] == 7)
    world.until_ready("log-shipper")
    assert len(carrying(world)) == 7


def carrying(world: World) -> list[str]:
    found = world.list("Deployment")
    return [one["metadata"]["name"] for one in found if template_of(one)["spec"].get("initContainers")]


def test_no_more_workloads_in_flux_than_the_policy_allows(world: World) -> None:
    slow = sidecar(image="sidecarpolicy.test/ready-after:1s")
    world.apply(*(deployment(f"web-{number}", replicas=1) for number in range(5)))
    world.kubectl("wait", "deployment", "--all", "--for=condition=Available", "--timeout=60s")
    world.apply(policy(sidecars=[slow], rollout={"maxConcurrent": 2}))
    most = 0

    def done() -> bool:
        nonlocal most
        bodies = world.list("Deployment")
        most = max(most, sum(map(in_flux, bodies)))
        return len(carrying(world)) == 5 and not any(map(in_flux, bodies))

    until(done)
    assert most == 2
    world.until_ready("log-shipper")


def in_flux(body: Json) -> bool:
    status = body["status"]
    if not template_of(body)["spec"].get("initContainers"):
        return False
    new = status.get("updatedReplicas", 0) == status.get("availableReplicas", 0) == status.get("replicas", 0) == 1
    return not (new and status["observedGeneration"] == body["metadata"]["generation"])


def test_fixed_policy_recovers_a_stateful_set(world: World) -> None:
    world.apply(stateful_set(podManagementPolicy="Parallel"))
    world.kubectl("rollout", "status", "statefulset/web", "--timeout=60s")
    world.apply(policy(sidecars=[sidecar(image="sidecarpolicy.test/crashes:1")]))
    world.until_says("log-shipper", Ready="Failed")

    world.apply(policy())
    world.until_ready("log-shipper")


def test_deleted_policy_recovers_what_it_broke(world: World) -> None:
    world.apply(deployment())
    before = template_of(world.get("Deployment", "web"))
    world.apply(policy(sidecars=[sidecar(image="sidecarpolicy.test/crashes:1")]))
    world.until_says("log-shipper", Ready="Failed")

    world.kubectl("delete", "sidecarpolicy/log-shipper", "--timeout=30s")
    until(lambda: template_of(world.get("Deployment", "web")) == before)


def test_ready_waits_until_pods_run_the_revision(world: World) -> None:
    slow = sidecar(image="sidecarpolicy.test/ready-after:3s")
    world.apply(deployment(), policy(sidecars=[slow]))
    world.kubectl("wait", "--for=condition=Ready", "sidecarpolicy/log-shipper", "--timeout=60s")

    pods = world.ask("GET", f"/api/v1/namespaces/{world.namespace}/pods")["items"]
    running = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    states = [state for pod in running for state in pod["status"]["initContainerStatuses"]]
    assert len(running) == 2
    assert [(state["name"], state["ready"]) for state in states] == [("shipper", True)] * 2


@pytest.fixture
def stripped(world: World) -> Iterator[None]:
    """A namespace where the field that makes a sidecar is dropped from every pod."""
    created = [(POLICIES, stripping(world.namespace)), (BINDINGS, binding(world.namespace))]
    for path, body in created:
        world.ask("POST", path, body)
    until(lambda: is_stripped(world))
    yield
    for path, _ in created:
        world.ask("DELETE", f"{path}/{world.namespace}")


@pytest.mark.usefixtures("stripped")
def test_stripped_restart_policy_is_told_from_a_sidecar_that_fails(world: World) -> None:
    world.apply(deployment(), policy())
    said = world.until_says("log-shipper", Ready="Failed")

    [failure] = said["status"]["failures"]
    assert failure["reason"] == "RestartPolicyStripped"
    assert "restartPolicy: Always" in failure["message"]


POLICIES = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings"


def stripping(namespace: str) -> Json:
    """What a pod webhook built on an old API does in one namespace: it drops a field that it does not know."""
    fields = "object.spec.initContainers[0]"
    expression = f"has(object.spec.initContainers) && has({fields}.restartPolicy)"
    remove = 'JSONPatch{op: "remove", path: "/spec/initContainers/0/restartPolicy"}'
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": namespace},
        "spec": {
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "matchConstraints": {
                "resourceRules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}
                ]
            },
            "matchConditions": [{"name": "has-a-sidecar", "expression": expression}],
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": f"[{remove}]"}}],
        },
    }


def binding(namespace: str) -> Json:
    where = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": namespace},
        "spec": {"policyName": namespace, "matchResources": where},
    }


def is_stripped(world: World) -> bool:
    """The policy is in force: it takes the API server a moment to hear of it."""
    init = {"name": "one", "image": "one", "restartPolicy": "Always"}
    spec = {"containers": [{"name": "app", "image": "app"}], "initContainers": [init]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "try-"}, "spec": spec}
    pod = world.ask("POST", f"/api/v1/namespaces/{world.namespace}/pods?dryRun=All", body)
    return "restartPolicy" not in pod["spec"]["initContainers"][0]
