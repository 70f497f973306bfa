"""Jobs while admission serves: born with what policies add, complete, and told apart from those that came too early."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controller.manifests import SELECTED, cron_job, job, policy
from localcluster.waiting import until
from sidecarpolicy.planning.workload import template_of
from stories.stage import Stage
from world import World, says

Json = dict[str, Any]

WAIT = "--timeout=60s"


@pytest.fixture
def world(admitted: Stage) -> World:
    """A namespace in which workloads are born with what policies ask."""
    return admitted.world


def has_policy(world: World, **spec: Any) -> None:
    world.apply(policy(**{"kinds": ["Job"], **spec}))
    world.until_says("log-shipper", Accepted="True")


def check_completes(world: World, name: str) -> None:
    """A Job completes 1/1, and its pod had the sidecar first."""
    world.kubectl("wait", "--for=condition=Complete", f"job/{name}", WAIT)
    pods = json.loads(world.kubectl("get", "pods", f"--selector=job-name={name}", "--output=json"))["items"]
    firsts = [pod["spec"]["initContainers"][0] for pod in pods]

    assert [(one["name"], one["restartPolicy"]) for one in firsts] == [("shipper", "Always")]
    assert "1/1" in world.kubectl("get", "job", name)


def status_when(world: World, ready: str, **counts: int) -> Json:
    """The status of the policy once it counts so many, and Ready is this or for this reason."""

    def holds(body: Json) -> bool:
        return says(body, {"Ready": ready}) and counts.items() <= body["status"].items()

    status: Json = world.until_policy("log-shipper", holds)["status"]
    return status


def without_a_name(world: World) -> str:
    body = {**job(runs_for="0s"), "metadata": {"generateName": "import-", "labels": SELECTED}}
    return str(world.create(body)["metadata"]["name"])


def by_hand(world: World) -> str:
    world.kubectl("create", "job", "--from=cronjob/report", "by-hand")
    return "by-hand"


def by_schedule(world: World) -> str:
    """As if the last minute had been missed, so that the controller of CronJobs makes a Job now."""
    before = datetime.now(UTC) - timedelta(seconds=90)  # noqa: TID251 - the controller goes by the real clock
    world.patch("CronJob", "report", {"status": {"lastScheduleTime": f"{before:%Y-%m-%dT%H:%M:%SZ}"}}, "status")
    found = until(lambda: [one["metadata"] for one in world.list("Job") if "ownerReferences" in one["metadata"]])
    return str(found[0]["name"])


def suspended(world: World) -> str:
    world.apply(job("suspended", runs_for="0s", suspend=True))
    status_when(world, "True", upToDate=1)
    world.patch("Job", "suspended", {"spec": {"suspend": False}})
    return "suspended"


def test_however_a_job_comes_it_completes_with_its_sidecar_first(world: World) -> None:
    has_policy(world)
    nightly = cron_job(schedule="* * * * *", concurrencyPolicy="Forbid")
    nightly["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["annotations"] = {}
    world.apply(nightly)

    for comes in (without_a_name, suspended, by_schedule, by_hand):
        check_completes(world, comes(world))

    # The schedule may come round again.
    status_when(world, "True", upToDate=0, blocked=0)
    # Nobody asked for CronJobs.
    assert "initContainers" not in template_of(world.get("CronJob", "report"))["spec"]


def test_jobs_of_a_cron_job_are_not_told_of_one_by_one(world: World) -> None:
    has_policy(world, kinds=["CronJob", "Job"])
    world.apply(cron_job())
    assert template_of(world.get("Job", by_hand(world)))["spec"]["initContainers"]
    world.apply(job("later"))
    until(lambda: "later" in told_of(world))

    assert told_of(world) == {"report", "later"}


def told_of(world: World) -> set[str]:
    """Which workloads have an Event of theirs."""
    return {one["regarding"]["name"] for one in world.list("Event") if one["reason"] == "SidecarsInjected"}


def test_job_that_came_before_the_policy_is_blocked_until_it_is_made_anew(world: World) -> None:
    world.apply(job("early"))
    has_policy(world)
    world.apply(job("late"))
    [block] = status_when(world, "Blocked", matched=2, upToDate=1, updating=0)["blocks"]

    assert (block["name"], block["reason"]) == ("early", "TemplateImmutable")
    assert "delete and create it again" in block["message"]

    world.kubectl("delete", "job", "early")
    world.apply(job("early"))
    assert status_when(world, "True", matched=2, upToDate=2)["blocks"] == []


def test_policy_goes_while_a_job_runs_that_keeps_what_it_added(world: World) -> None:
    has_policy(world)
    world.apply(job())
    status_when(world, "True", upToDate=1)
    world.kubectl("delete", "sidecarpolicy", "log-shipper", WAIT)

    [kept] = template_of(world.get("Job", "import"))["spec"]["initContainers"]
    assert kept["name"] == "shipper"
    until(lambda: "import keeps what the policy added" in world.kubectl("get", "events"))


def test_traps_of_a_job_are_told_to_its_author_at_birth_and_stand_at_the_policy(world: World) -> None:
    has_policy(world)
    restarting = job("restarting")
    restarting["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [137]}}
    judging = job("judging", podFailurePolicy={"rules": [rule]})
    told = [
        world.cluster.run_kubectl(
            "apply", f"--namespace={world.namespace}", "--filename=-", stdin=json.dumps(body)
        ).stderr
        for body in (restarting, judging)
    ]

    assert "Warning: sidecarpolicy:" in told[0]
    assert "backoffLimit" in told[0]
    assert "onExitCodes" in told[1]
    notes = status_when(world, "True", upToDate=2)["notes"]
    assert sorted((one["name"], one["reason"]) for one in notes) == [
        ("judging", "PodFailurePolicyMatchesSidecar"),
        ("restarting", "RestartsCountAgainstBackoffLimit"),
    ]
