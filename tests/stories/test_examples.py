"""Each example as its reader runs it: applied, Ready, and taken away again without a trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster.waiting import until
from sidecarpolicy.api import names
from sidecarpolicy.planning import pods
from sidecarpolicy.planning.workload import KINDS, template_of
from world import World, condition

Json = dict[str, Any]

EXAMPLES = Path(__file__).parents[2] / "examples"

BLOCKED = {
    "cloud-sql-proxy-job": ("TemplateImmutable", "Kubernetes"),
    "job-with-sidecar": ("TemplateImmutable", "Kubernetes"),
    "convert-legacy": ("AdmissionUnavailable", "webhook"),
}
READY = sorted(folder.name for folder in EXAMPLES.iterdir() if folder.is_dir() and folder.name not in BLOCKED)


def objects(example: str, file: str) -> list[Json]:
    return list(yaml.safe_load_all((EXAMPLES / example / file).read_text()))


def workloads_of(example: str) -> list[tuple[str, str]]:
    """The kinds and names of an example's workloads."""
    found = [item for item in objects(example, "workload.yaml") if item["kind"] in KINDS]
    return [(item["kind"], item["metadata"]["name"]) for item in found]


def policy_of(example: str) -> str:
    found = [item for item in objects(example, "policy.yaml") if item["kind"] == names.POLICY_KIND]
    return str(found[0]["metadata"]["name"])


def generations(world: World, kind: str) -> set[str]:
    """The ReplicaSets of Deployments, or the revisions that another controller keeps."""
    if kind == "CronJob":
        return set()
    resource = "replicasets" if kind == "Deployment" else "controllerrevisions"
    return set(world.kubectl("get", resource, "--output=name", "--selector=!sidecarpolicy.dev/policy-uid").split())


def current(world: World, kind: str, name: str) -> str:
    """The hash of the newest template, as pods carry it."""
    if kind == "StatefulSet":
        return str(world.get(kind, name)["status"]["updateRevision"])
    if kind != "Deployment":
        return ""
    mine = [one for one in world.list("ReplicaSet") if one["metadata"]["ownerReferences"][0]["name"] == name]
    return ",".join(sorted(one["metadata"]["name"] for one in mine if one["spec"]["replicas"]))


def settle(world: World, kind: str, name: str) -> None:
    if kind != "CronJob":
        world.kubectl("rollout", "status", kind, name, "--timeout=60s")


def check_pods(world: World, kind: str, name: str) -> None:
    """Every pod runs all its containers, and the sidecars among them."""
    body = world.get(kind, name)
    spec = template_of(body)["spec"]
    sidecars = [one for one in spec.get("initContainers", []) if one.get("restartPolicy") == "Always"]
    size = len(sidecars) + len(spec["containers"])
    if kind == "CronJob":
        world.kubectl("create", "job", f"--from=cronjob/{name}", "now")
        world.kubectl("wait", "--for=condition=Complete", "job/now", "--timeout=60s")
        assert ready(world, "job-name=now") == {(f"0/{size}", "Completed")}
    else:
        selector = pods.selector_text(body["spec"]["selector"])
        until(lambda: ready(world, selector) == {(f"{size}/{size}", "Running")})


def ready(world: World, selector: str) -> set[tuple[str, str]]:
    """The READY and STATUS columns of pods."""
    lines = world.kubectl("get", "pods", f"--selector={selector}", "--no-headers").splitlines()
    return {(line.split()[1], line.split()[2]) for line in lines}


GET_NOTHING = {"wishlist-mailer"}
"""It declares no port that a probe could ask; its example is about that."""


@pytest.mark.parametrize("example", READY)
def test_example_becomes_ready_and_leaves_no_trace(world: World, example: str) -> None:
    workloads, policy = workloads_of(example), policy_of(example)
    kind = workloads[0][0]
    world.kubectl("apply", f"--filename={EXAMPLES / example / 'workload.yaml'}")
    for each in workloads:
        settle(world, *each)
    before = [template_of(world.get(*each)) for each in workloads]
    made, hashes = generations(world, kind), [current(world, *each) for each in workloads]

    world.kubectl("apply", f"--filename={EXAMPLES / example / 'policy.yaml'}")
    world.kubectl("wait", "--for=condition=Ready", f"sidecarpolicy/{policy}", "--timeout=60s")

    changed = [each for each, was in zip(workloads, before, strict=True) if template_of(world.get(*each)) != was]
    assert changed == [each for each in workloads if each[1] not in GET_NOTHING]
    assert len(generations(world, kind) - made) == (0 if kind == "CronJob" else len(changed))
    for each in workloads:
        check_pods(world, *each)

    world.kubectl("delete", "sidecarpolicy", policy, "--timeout=60s")
    for each in workloads:
        settle(world, *each)

    assert [template_of(world.get(*each)) for each in workloads] == before
    assert [current(world, *each) for each in workloads] == hashes
    assert names.GROUP not in json.dumps([without_history(world.get(*each)) for each in workloads])


def without_history(body: Json) -> Json:
    """The object without the names of those who wrote it once."""
    return {**body, "metadata": {key: value for key, value in body["metadata"].items() if key != "managedFields"}}


@pytest.mark.parametrize(("example", "reason", "word"), [(name, *said) for name, said in sorted(BLOCKED.items())])
def test_example_that_needs_admission_says_so(world: World, example: str, reason: str, word: str) -> None:
    kind, name = workloads_of(example)[0]
    # Kept running, so that the policy finds it.
    world.apply(*map(running_for_long, objects(example, "workload.yaml")))
    world.kubectl("apply", f"--filename={EXAMPLES / example / 'policy.yaml'}")
    before = template_of(world.get(kind, name))
    policy = world.until_says(policy_of(example), Ready="Blocked", WorkloadsUpToDate="Blocked", Stalled="True")

    entry = policy["status"]["blocks"][0]
    assert (entry["kind"], entry["name"], entry["reason"]) == (kind, name, reason)
    assert word in entry["message"]
    assert condition(policy, "Accepted")["status"] == "True"
    assert template_of(world.get(kind, name)) == before


def running_for_long(body: Json) -> Json:
    if body["kind"] == "Job":
        body["spec"]["template"]["metadata"].setdefault("annotations", {})["sidecarpolicy.test/runs-for"] = "600s"
    return body
