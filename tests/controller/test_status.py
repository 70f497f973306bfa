"""What the status and the Events of a policy say, when they move, and how often they are written."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

from controller.manifests import Json, deployment, policy, sidecar, template
from localcluster.waiting import until
from sidecarpolicy.api.reasons import ConditionType
from world import World, condition, is_current

SLOWER = template("other", annotations={"sidecarpolicy.test/ready-after": "5s"})
SLOW = sidecar(image="sidecarpolicy.test/ready-after:2s")


def test_all_conditions_are_there_from_the_first_visit(world: World) -> None:
    world.apply(deployment())
    world.create(policy(sidecars=[SLOW]))
    first: Json = until(lambda: world.get("SidecarPolicy", "log-shipper").get("status") or {})

    assert {one["type"] for one in first["conditions"]} == set(ConditionType)
    assert {one["observedGeneration"] for one in first["conditions"]} == {1}
    assert first["observedGeneration"] == 1
    assert all(one["reason"] and one["message"] for one in first["conditions"])
    ready = next(one for one in first["conditions"] if one["type"] == "Ready")
    assert ready["status"] == "False"


def times(body: Json) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["lastTransitionTime"]) for one in body["status"]["conditions"]}


def test_times_move_only_when_a_status_flips(world: World) -> None:
    world.apply(deployment(), policy(sidecars=[SLOW]))
    rolling = world.until_says("log-shipper", Ready="RollingOut", Reconciling="True")
    world.until_ready("log-shipper")
    settled = world.until_says("log-shipper", Reconciling="False")
    # Written in another second, a time that moved is seen to have moved.
    until(lambda: is_past(world, settled))
    world.patch("SidecarPolicy", "log-shipper", {"spec": {"priority": 1}})
    edited = until(lambda: now_current(world, generation=2))

    before, after, again = times(rolling), times(settled), times(edited)
    assert before["Ready"] != after["Ready"]
    assert before["Accepted"] == after["Accepted"]
    assert again == after


def is_past(world: World, body: Json) -> bool:
    """The API server's clock is more than a second behind the newest time of a status."""
    last = max(datetime.fromisoformat(time) for _, time in times(body).values())
    path = f"/api/v1/namespaces/{world.namespace}/configmaps?dryRun=All"
    made = world.ask("POST", path, {"metadata": {"name": "clock"}})["metadata"]["creationTimestamp"]
    return datetime.fromisoformat(made) > last + timedelta(seconds=1)


def now_current(world: World, generation: int) -> Json:
    body = world.get("SidecarPolicy", "log-shipper")
    return body if is_current(body) and body["metadata"]["generation"] == generation else {}


def test_status_is_written_at_most_once_a_second(world: World) -> None:
    mark = world.cluster.audit_log.mark()
    workloads = [deployment(f"web-{number}", replicas=1) for number in range(8)]
    world.apply(*workloads, policy(sidecars=[SLOW], rollout={"maxConcurrent": 3}))
    world.until_policy("log-shipper", lambda body: body["status"]["upToDate"] == 8)
    world.until_ready("log-shipper")

    facts = {"resource": "sidecarpolicies", "subresource": "status", "namespace": world.namespace}
    sent = [datetime.fromisoformat(write.time) for write in world.cluster.audit_log.writes(mark, **facts)]
    assert len(sent) > 1
    # The loop's pause is a second; a request may wait longer on its way than the next one.
    assert all(after - before > timedelta(seconds=0.8) for before, after in pairwise(sorted(sent)))


def test_counters_add_up(world: World) -> None:
    world.apply(*(deployment(f"web-{number}") for number in range(3)), policy())
    world.until_policy("log-shipper", lambda body: body["status"]["upToDate"] == 3)
    world.until_ready("log-shipper")

    status = world.get("SidecarPolicy", "log-shipper")["status"]
    assert {name: status[name] for name in ("matched", "upToDate", "updating", "outdated", "blocked", "failed")} == {
        "matched": 3,
        "upToDate": 3,
        "updating": 0,
        "outdated": 0,
        "blocked": 0,
        "failed": 0,
    }
    line = world.kubectl("get", "scp", "--no-headers").split()
    assert line[:2] == ["log-shipper", "True"]


def events(world: World, kind: str, name: str) -> list[str]:
    """The reasons of the Events about one object, oldest first, each as often as it was told."""
    mine = [
        one
        for one in world.list("Event")
        if one.get("reportingController") == "sidecarpolicy.dev"
        and (one["regarding"]["kind"], one["regarding"]["name"]) == (kind, name)
    ]
    mine.sort(key=lambda one: str(one["eventTime"]))
    return [one["reason"] for one in mine for _ in range((one.get("series") or {}).get("count", 1))]


def test_owner_of_a_workload_is_told_of_each_transition_once(world: World) -> None:
    world.apply(deployment(), policy())
    world.until_ready("log-shipper")
    world.apply(policy(sidecars=[sidecar(image="fluent/fluent-bit:3.3")]))
    world.until_ready("log-shipper")
    world.kubectl("scale", "deployment/web", "--replicas=3")
    world.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    world.kubectl("delete", "sidecarpolicy/log-shipper", "--timeout=30s")

    wanted = ["SidecarsInjected", "SidecarsUpdated", "SidecarsRestored"]
    until(lambda: len(events(world, "Deployment", "web")) >= len(wanted))
    assert events(world, "Deployment", "web") == wanted


def test_owner_of_a_blocked_workload_is_told_once(world: World) -> None:
    body = deployment()
    body["spec"]["template"]["spec"]["initContainers"] = [{"name": "shipper", "image": "authors:1"}]
    world.apply(body, policy())
    world.until_says("log-shipper", Ready="Blocked")
    world.kubectl("scale", "deployment/web", "--replicas=3")
    world.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    world.apply(deployment("other"))
    world.until_policy("log-shipper", lambda one: one["status"]["upToDate"] == 1)

    until(lambda: events(world, "Deployment", "other"))
    assert events(world, "Deployment", "web") == ["SidecarsBlocked"]


def test_failure_is_told_once_however_often_it_is_looked_at(world: World) -> None:
    world.apply(deployment(replicas=1), policy(sidecars=[sidecar(image="sidecarpolicy.test/crashes:1")]))
    said = world.until_says("log-shipper", Ready="Failed")
    world.apply(deployment("other", replicas=1, template=SLOWER))
    # Looked at again and again until the other one is settled.
    world.until_policy("log-shipper", lambda one: (one["status"]["upToDate"], one["status"]["updating"]) == (2, 0))

    until(lambda: "SidecarsFailed" in events(world, "Deployment", "web"))
    assert events(world, "Deployment", "web") == ["SidecarsInjected", "SidecarsFailed"]
    assert condition(said, "Ready")["status"] == "False"
