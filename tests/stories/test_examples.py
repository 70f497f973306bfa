"""Each example as its reader runs it: applied, Ready, and taken away again without a trace; with admission and not."""

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
from stories.stage import Stage
from world import World

Json = dict[str, Any]

EXAMPLES = Path(__file__).parents[2] / "examples"

ALL = sorted(folder.name for folder in EXAMPLES.iterdir() if folder.is_dir())
NEED_ADMISSION = {"cloud-sql-proxy-job", "convert-legacy", "job-with-sidecar"}


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


@pytest.mark.parametrize("example", sorted(set(ALL) - NEED_ADMISSION))
def test_example_becomes_ready_without_admission_and_leaves_no_trace(world: World, example: str) -> None:
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


def test_every_example_becomes_ready_by_kubectl_apply_alone_and_is_born_once(admitted: Stage) -> None:
    world, beside = admitted.world, admitted.beside
    workloads = [each for example in ALL for each in workloads_of(example)]
    world.kubectl("apply", *files("policy.yaml"))
    world.kubectl("wait", "--for=condition=Accepted", "sidecarpolicies", "--all", "--timeout=60s")
    for one in (world, beside):
        one.kubectl("apply", *files("workload.yaml"))
    # Everything there is has been seen by every policy.
    for example in ALL:
        world.until_says(policy_of(example), Ready="True", WorkloadsUpToDate="UpToDate")
    world.kubectl("wait", "--for=condition=Complete", "jobs", "--all", "--timeout=60s")

    for kind, name in workloads:
        assert len(made_by(world, kind, name)) == (kind not in ("CronJob", "Job")), name
        template = template_of(world.get(kind, name))
        assert (template != template_of(beside.get(kind, name))) is (name not in GET_NOTHING)
        if kind == "Job":
            assert template["spec"]["initContainers"][0]["restartPolicy"] == "Always"
            assert ready(world, f"job-name={name}") == {("0/2", "Completed")}
        else:
            check_pods(world, kind, name)

    world.kubectl("delete", "sidecarpolicies", "--all", "--timeout=120s")
    for kind, name in workloads:
        if kind != "Job":
            assert template_of(world.get(kind, name)) == template_of(beside.get(kind, name)), name


def files(name: str) -> list[str]:
    """The files of this name of all examples, as kubectl takes them."""
    return [f"--filename={EXAMPLES / example / name}" for example in ALL]


def made_by(world: World, kind: str, name: str) -> list[Json]:
    """The ReplicaSets or revisions of a workload's templates: one for each that it has had."""
    if kind in ("CronJob", "Job"):
        return []
    found = world.list("ReplicaSet" if kind == "Deployment" else "ControllerRevision")
    return [one for one in found if any(owner["name"] == name for owner in one["metadata"].get("ownerReferences", ()))]
