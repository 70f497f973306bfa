"""How far a workload's own controller is with its newest template."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from builders import cron_job, daemon_set, deployment, job, settle, stateful_set
from sidecarpolicy.api.reasons import FailureReason
from sidecarpolicy.planning.progress import Stage, is_finished, progress

Json = dict[str, Any]

NEW = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}


def condition(kind: str, status: str, reason: str = "", message: str = "") -> Json:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def behind(body: Json) -> Json:
    return {**body, "metadata": {**body["metadata"], "generation": 2}}


def telling(body: Json, **status: Any) -> Json:
    return {**body, "status": {**body["status"], **status}}


@pytest.mark.parametrize(
    ("body", "stage"),
    [
        pytest.param(deployment(), Stage.SETTLED, id="all-pods-are-new-and-available"),
        pytest.param(behind(deployment()), Stage.UPDATING, id="its-controller-has-not-looked"),
        pytest.param({**deployment(), "status": {}}, Stage.UPDATING, id="no-status-yet"),
        pytest.param(settle(deployment(), replicas=3, updatedReplicas=1), Stage.UPDATING, id="some-pods-are-new"),
        pytest.param(
            settle(deployment(), replicas=3, updatedReplicas=2, availableReplicas=3),
            Stage.UPDATING,
            id="old-pods-remain",
        ),
        pytest.param(settle(deployment(), **{**NEW, "availableReplicas": 1}), Stage.UPDATING, id="not-all-available"),
        pytest.param(deployment(spec={"replicas": 0}), Stage.SETTLED, id="no-replicas"),
        pytest.param(deployment(spec={"paused": True}), Stage.SETTLED, id="paused-with-all-pods-new"),
        pytest.param(
            settle(deployment(spec={"paused": True}), replicas=2, updatedReplicas=1),
            Stage.PENDING,
            id="paused-half-way",
        ),
        pytest.param(
            telling(deployment(), conditions=[condition("Progressing", "False", "ProgressDeadlineExceeded")]),
            Stage.FAILED,
            id="its-own-deadline-passed",
        ),
        pytest.param(
            telling(deployment(), conditions=[condition("ReplicaFailure", "True", "FailedCreate", "quota")]),
            Stage.FAILED,
            id="its-pods-are-rejected",
        ),
    ],
)
def test_a_deployment_is_as_rollout_status_says(body: Json, stage: Stage) -> None:
    assert progress(body).stage is stage


ON_DELETE = {"updateStrategy": {"type": "OnDelete"}}
PARTITION = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}}


@pytest.mark.parametrize(
    ("body", "stage"),
    [
        pytest.param(stateful_set(), Stage.SETTLED, id="all-pods-are-new-and-available"),
        pytest.param(behind(stateful_set()), Stage.UPDATING, id="its-controller-has-not-looked"),
        pytest.param(telling(stateful_set(), updatedReplicas=1), Stage.UPDATING, id="some-pods-are-new"),
        pytest.param(telling(stateful_set(), availableReplicas=1), Stage.UPDATING, id="not-all-available"),
        pytest.param(stateful_set(spec={"replicas": 0}), Stage.SETTLED, id="no-replicas"),
        pytest.param(telling(stateful_set(spec=PARTITION), updatedReplicas=1), Stage.SETTLED, id="up-to-its-partition"),
        pytest.param(
            telling(stateful_set(spec=PARTITION), updatedReplicas=0), Stage.UPDATING, id="before-its-partition"
        ),
        pytest.param(telling(stateful_set(spec=ON_DELETE), updatedReplicas=1), Stage.PENDING, id="on-delete"),
        pytest.param(stateful_set(spec=ON_DELETE), Stage.SETTLED, id="on-delete-with-all-pods-new"),
        pytest.param(
            telling(stateful_set(), updatedReplicas=1, updateRevision="x", currentRevision="x"),
            Stage.UPDATING,
            id="equal-revisions-are-no-sign-of-health",
        ),
    ],
)
def test_a_stateful_set_is_as_rollout_status_says(body: Json, stage: Stage) -> None:
    assert progress(body).stage is stage


@pytest.mark.parametrize(
    ("body", "stage"),
    [
        pytest.param(daemon_set(), Stage.SETTLED, id="all-pods-are-new-and-available"),
        pytest.param(behind(daemon_set()), Stage.UPDATING, id="its-controller-has-not-looked"),
        pytest.param(telling(daemon_set(), updatedNumberScheduled=1), Stage.UPDATING, id="some-pods-are-new"),
        pytest.param(telling(daemon_set(), numberAvailable=1), Stage.UPDATING, id="not-all-available"),
        pytest.param(settle(daemon_set(), desiredNumberScheduled=0), Stage.SETTLED, id="on-no-node"),
        pytest.param(telling(daemon_set(spec=ON_DELETE), updatedNumberScheduled=1), Stage.PENDING, id="on-delete"),
    ],
)
def test_a_daemon_set_is_as_rollout_status_says(body: Json, stage: Stage) -> None:
    assert progress(body).stage is stage


@pytest.mark.parametrize(
    ("body", "stage"),
    [
        pytest.param(job(), Stage.SETTLED, id="a-job-that-runs"),
        pytest.param(telling(job(), conditions=[condition("Complete", "True")]), Stage.FINISHED, id="a-complete-job"),
        pytest.param(telling(job(), conditions=[condition("Failed", "True")]), Stage.FINISHED, id="a-failed-job"),
        pytest.param(telling(job(), conditions=[condition("Suspended", "True")]), Stage.SETTLED, id="a-suspended-job"),
        pytest.param(cron_job(), Stage.SETTLED, id="a-cron-job"),
    ],
)
def test_a_job_is_finished_or_of_no_interest(body: Json, stage: Stage) -> None:
    assert progress(body).stage is stage
    assert is_finished(body) is (stage is Stage.FINISHED)


def test_a_wait_says_what_for() -> None:
    assert progress(telling(stateful_set(spec=ON_DELETE), updatedReplicas=0)).message == (
        "updateStrategy is OnDelete: 2 old pods wait to be deleted"
    )
    assert progress(settle(deployment(), replicas=3, updatedReplicas=1)).message == "1 of 2 pods are new"


def test_a_failure_has_its_reason() -> None:
    failed = telling(deployment(), conditions=[condition("ReplicaFailure", "True", "FailedCreate", "exceeded quota")])

    assert progress(failed).reason is FailureReason.PODS_REJECTED
    assert progress(failed).message == "exceeded quota"


def test_the_time_runs_from_the_newest_write_of_the_workload_itself() -> None:
    entries = [
        {"manager": "sidecarpolicy", "time": "2026-11-01T00:00:00Z"},
        {"manager": "kubectl", "time": "2026-11-20T00:00:00Z"},
        {"manager": "hpa", "time": "2026-11-21T00:00:00Z", "subresource": "scale"},
        {"manager": "kube-controller-manager", "time": "2026-11-21T01:00:00Z", "subresource": "status"},
    ]
    body = settle(deployment(metadata={"managedFields": entries}), replicas=2, updatedReplicas=1)

    assert progress(body).since == datetime(2026, 11, 20, tzinfo=UTC)


def test_pods_that_become_unavailable_after_the_rollout_are_not_late() -> None:
    entries = [{"manager": "sidecarpolicy", "time": "2026-11-01T00:00:00Z"}]
    body = settle(deployment(metadata={"managedFields": entries}), **{**NEW, "availableReplicas": 1})
    done = telling(body, conditions=[condition("Progressing", "True", "NewReplicaSetAvailable")])

    assert progress(body).since is not None
    assert progress(done).since is None
    assert progress(done).stage is Stage.UPDATING
