"""What one look at a workload's pods says: whether they run what was asked, and who fails if not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from builders import NOW, daemon_set, deployment, pod, stateful_set
from sidecarpolicy.api.reasons import FailureReason
from sidecarpolicy.planning.pods import Asked, Failing, Look, Sound, Starting, asked_of, look, selector_text
from sidecarpolicy.planning.workload import template_of

Json = dict[str, Any]

ASKED = Asked(selector="app=web", marker="r1", sidecars=("shipper",), expected=True)
STARTUP = {"startupProbe": {"tcpSocket": {"port": 1}, "periodSeconds": 10, "failureThreshold": 3}}
SIDECAR = {"name": "shipper", "restartPolicy": "Always"}


def ready(name: str) -> Json:
    return {"name": name, "ready": True, "started": True, "state": {"running": {}}, "restartCount": 0}


def waiting(name: str, reason: str, message: str = "") -> Json:
    state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
    return {"name": name, "ready": False, "state": state, "restartCount": 0}


def running(name: str, *, since: int = 5, **fields: Any) -> Json:
    started = (NOW - timedelta(seconds=since)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"name": name, "ready": False, "state": {"running": {"startedAt": started}}, "restartCount": 0, **fields}


def one_pod(
    sidecar: Json | None = None, app: Json | None = None, *, age: int = 2, inits: list[Json] | None = None, **rest: Any
) -> Json:
    made = pod(marker="r1", **rest)
    made["spec"]["initContainers"] = inits if inits is not None else [SIDECAR]
    made["metadata"]["creationTimestamp"] = (NOW - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%SZ")
    made["status"]["initContainerStatuses"] = [sidecar or ready("shipper")]
    made["status"]["containerStatuses"] = [app or ready("app")]
    return made


def see(*pods: Json, asked: Asked = ASKED) -> Look:
    return look(pods, asked, NOW)


def test_pods_that_run_what_was_asked_are_sound() -> None:
    assert see(one_pod(), one_pod()) == Sound()


@pytest.mark.parametrize(
    ("reason", "at_once", "failure"),
    [
        pytest.param("ErrImagePull", False, FailureReason.IMAGE_PULL_FAILS, id="ErrImagePull"),
        pytest.param("ImagePullBackOff", True, FailureReason.IMAGE_PULL_FAILS, id="ImagePullBackOff"),
        pytest.param("ErrImageNeverPull", True, FailureReason.IMAGE_PULL_FAILS, id="ErrImageNeverPull"),
        pytest.param("InvalidImageName", True, FailureReason.IMAGE_PULL_FAILS, id="InvalidImageName"),
        pytest.param("ImageInspectError", False, FailureReason.IMAGE_PULL_FAILS, id="ImageInspectError"),
        pytest.param("CreateContainerConfigError", False, FailureReason.CONFIG_ERROR, id="CreateContainerConfigError"),
        pytest.param("CreateContainerError", False, FailureReason.CONFIG_ERROR, id="CreateContainerError"),
        pytest.param("RunContainerError", False, FailureReason.CONFIG_ERROR, id="RunContainerError"),
        pytest.param("PostStartHookError", False, FailureReason.CONFIG_ERROR, id="PostStartHookError"),
        pytest.param("CrashLoopBackOff", True, FailureReason.CRASH_LOOP, id="CrashLoopBackOff"),
    ],
)
def test_a_waiting_reason_is_a_failure_beyond_the_grace(reason: str, at_once: bool, failure: FailureReason) -> None:
    young = see(one_pod(waiting("shipper", reason)))
    old = see(one_pod(waiting("shipper", reason), age=60))

    assert isinstance(young, Failing) is at_once
    assert isinstance(old, Failing)
    assert old.reason is failure
    assert "sidecar shipper of pod web-1" in old.message


@pytest.mark.parametrize("reason", ["PodInitializing", "ContainerCreating"])
def test_a_container_that_is_being_made_is_starting(reason: str) -> None:
    assert isinstance(see(one_pod(waiting("shipper", reason), age=600)), Starting)


def test_a_message_of_the_kubelet_is_passed_on() -> None:
    seen = see(one_pod(waiting("shipper", "CreateContainerConfigError", 'secret "x" not found'), age=60))

    assert isinstance(seen, Failing)
    assert 'secret "x" not found' in seen.message


def test_the_last_exit_is_passed_on() -> None:
    crashed = waiting("shipper", "CrashLoopBackOff")
    crashed["lastState"] = {"terminated": {"reason": "Error", "exitCode": 3}}
    seen = see(one_pod(crashed))

    assert isinstance(seen, Failing)
    assert "(last exit: Error, code 3)" in seen.message


def test_a_container_killed_for_its_memory_again_and_again_fails() -> None:
    killed = running("shipper", restartCount=2, lastState={"terminated": {"reason": "OOMKilled", "exitCode": 137}})
    seen = see(one_pod(killed))

    assert isinstance(seen, Failing)
    assert "memory" in seen.message


@pytest.mark.parametrize(
    ("state", "inits", "fails"),
    [
        pytest.param(running("shipper", since=5), [{**SIDECAR, **STARTUP}], False, id="within-its-time"),
        pytest.param(running("shipper", since=31), [{**SIDECAR, **STARTUP}], True, id="beyond-its-time"),
        pytest.param(running("shipper", restartCount=1), [{**SIDECAR, **STARTUP}], True, id="restarted-already"),
        pytest.param(running("shipper", since=600), [SIDECAR], False, id="without-a-startup-probe"),
        pytest.param(running("shipper", since=600, started=True), [{**SIDECAR, **STARTUP}], False, id="started"),
    ],
)
def test_a_startup_probe_fails_when_it_had_all_of_its_time(state: Json, inits: list[Json], fails: bool) -> None:
    seen = see(one_pod(state, inits=inits))

    assert isinstance(seen, Failing if fails else Starting)


def test_a_stripped_restart_policy_fails_and_says_who_may_have() -> None:
    seen = see(one_pod(inits=[{"name": "shipper"}]))

    assert isinstance(seen, Failing)
    assert seen.reason is FailureReason.RESTART_POLICY_STRIPPED
    assert "webhook" in seen.message


def test_a_missing_sidecar_fails() -> None:
    seen = see(one_pod(inits=[]))

    assert isinstance(seen, Failing)
    assert seen.reason is FailureReason.SIDECAR_MISSING


def test_sidecars_in_another_order_fail() -> None:
    asked = Asked(selector="", marker="r1", sidecars=("a", "b"))
    inits = [{"name": name, "restartPolicy": "Always"} for name in ("b", "a")]
    seen = see(one_pod(inits=inits), asked=asked)

    assert isinstance(seen, Failing)
    assert "another order" in seen.message


def test_the_apps_own_container_is_not_blamed_on_the_sidecar() -> None:
    seen = see(one_pod(app=waiting("app", "CrashLoopBackOff")))

    assert isinstance(seen, Failing)
    assert seen.reason is FailureReason.APP_CONTAINER_FAILS
    assert "sidecar" not in seen.message


def test_the_apps_own_init_container_is_the_apps() -> None:
    made = one_pod()
    made["status"]["initContainerStatuses"].append(waiting("migrate", "CrashLoopBackOff"))
    seen = see(made)

    assert isinstance(seen, Failing)
    assert seen.reason is FailureReason.APP_CONTAINER_FAILS


def test_an_ordinary_init_container_of_ours_is_ours() -> None:
    asked = Asked(selector="", marker="r1", sidecars=(), inits=("prepare",))
    seen = see(one_pod(waiting("prepare", "CrashLoopBackOff")), asked=asked)

    assert isinstance(seen, Failing)
    assert seen.reason is FailureReason.CRASH_LOOP
    assert "init container prepare" in seen.message


def test_a_pod_without_a_node_is_starting_and_says_why() -> None:
    condition = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes: Insufficient cpu"}
    seen = see(one_pod(waiting("shipper", "PodInitializing"), conditions=[condition]))

    assert isinstance(seen, Starting)
    assert "Insufficient cpu" in seen.message


def test_what_the_scheduler_said_of_a_pod_of_the_same_name_does_not_count() -> None:
    condition = {"type": "PodScheduled", "status": "False", "message": "pod web-2 is being deleted"}
    bound = one_pod(conditions=[condition])
    bound["spec"]["nodeName"] = "node-0"

    assert see(bound) == Sound()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda one: one["metadata"].update(deletionTimestamp="x"), id="a-pod-that-ends"),
        pytest.param(lambda one: one["status"].update(phase="Succeeded"), id="a-pod-that-has-succeeded"),
        pytest.param(lambda one: one["status"].update(phase="Failed"), id="a-pod-that-has-failed"),
        pytest.param(lambda one: one["metadata"]["annotations"].clear(), id="a-pod-of-an-older-template"),
    ],
)
def test_pods_that_do_not_count_are_ignored(change: Any) -> None:
    bad = one_pod(waiting("shipper", "CrashLoopBackOff"))
    change(bad)

    assert see(one_pod(), bad) == Sound()
    assert isinstance(see(bad), Starting)


def ended(name: str, code: int = 0) -> Json:
    return {"name": name, "ready": False, "state": {"terminated": {"exitCode": code}}, "restartCount": 0}


ONLY_JOBS = Asked(selector="job-name=import", marker="r1", sidecars=("shipper",))


@pytest.mark.parametrize(
    ("policy", "code", "sound"),
    [
        pytest.param("Never", 0, True, id="that-has-done-its-work"),
        pytest.param("Never", 1, True, id="that-failed-and-is-not-restarted"),
        pytest.param("OnFailure", 0, True, id="that-needs-no-restart"),
        pytest.param("OnFailure", 1, False, id="that-will-be-restarted"),
        pytest.param("Always", 0, False, id="that-should-run-for-ever"),
    ],
)
@pytest.mark.parametrize("others", [[], [ready("other")]], ids=["alone", "beside-one-that-runs"])
def test_a_container_of_a_job_has_ended(policy: str, code: int, sound: bool, others: list[Json]) -> None:
    one = one_pod(app=ended("app", code))
    one["spec"]["restartPolicy"] = policy
    one["status"]["containerStatuses"] += others

    assert (see(one, asked=ONLY_JOBS) == Sound()) is sound


def test_how_a_sidecar_ends_after_the_work_is_done_is_nobodys_trouble() -> None:
    one = one_pod(sidecar=ended("shipper", 137), app=ended("app"))
    one["spec"]["restartPolicy"] = "Never"

    assert see(one, asked=ONLY_JOBS) == Sound()


def test_a_sidecar_that_fails_while_one_container_of_a_job_still_works_fails() -> None:
    one = one_pod(sidecar=waiting("shipper", "CrashLoopBackOff"), app=ended("app"))
    one["spec"]["restartPolicy"] = "Never"
    one["status"]["containerStatuses"].append(ready("other"))

    assert isinstance(see(one, asked=ONLY_JOBS), Failing)


def test_no_pod_is_sound_where_none_is_expected() -> None:
    assert see(asked=Asked(selector="", marker="r1", sidecars=("s",))) == Sound()


def test_one_failing_pod_outweighs_others_that_start() -> None:
    seen = see(one_pod(waiting("shipper", "PodInitializing")), one_pod(waiting("shipper", "CrashLoopBackOff")))

    assert isinstance(seen, Failing)


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        pytest.param({"matchLabels": {"a": "1", "b": "2"}}, "a=1,b=2", id="labels"),
        pytest.param(
            {"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, "a in (1,2)", id="in"
        ),
        pytest.param(
            {"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, "a notin (1)", id="not-in"
        ),
        pytest.param({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, "a", id="exists"),
        pytest.param({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, "!a", id="does-not-exist"),
        pytest.param({}, "", id="everything"),
    ],
)
def test_a_selector_is_spelled_as_a_query(selector: Json, text: str) -> None:
    assert selector_text(selector) == text


PARTITION = {"updateStrategy": {"rollingUpdate": {"partition": 2}}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(deployment(), True, id="a-deployment"),
        pytest.param(deployment(spec={"replicas": 0}), False, id="without-replicas"),
        pytest.param(stateful_set(spec=PARTITION), False, id="all-below-the-partition"),
        pytest.param(daemon_set(), False, id="a-daemon-set-says-in-its-status"),
    ],
)
def test_a_pod_is_expected_where_the_spec_wants_one(body: Json, expected: bool) -> None:
    assert asked_of(body, template_of(body), ()).expected is expected
