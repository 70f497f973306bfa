"""How far a workload's own controller is with its newest template, read from its status alone.

The rules are those of `kubectl rollout status` (kubectl/pkg/polymorphichelpers/rollout_status.go), with what it leaves
out: paused and OnDelete are waits of their own, and no replicas are trivially done.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from sidecarpolicy.api.policy import Json
from sidecarpolicy.api.reasons import FailureReason


class Stage(Enum):
    """Where a workload stands with its newest template."""

    SETTLED = "settled"
    UPDATING = "updating"
    PENDING = "pending"
    """Its owner has to act first: it is paused, or its pods are replaced only when somebody deletes them."""
    FAILED = "failed"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Progress:
    """One workload's stage, and since when it has been on its way."""

    stage: Stage
    message: str = ""
    reason: FailureReason | None = None
    since: datetime | None = None


_SETTLED = Progress(Stage.SETTLED)


def progress(body: Json) -> Progress:
    """Return how far the workload is; `since` is when its template may last have changed."""
    match body["kind"]:
        case "Deployment":
            return _deployment(body)
        case "StatefulSet":
            return _stateful_set(body)
        case "DaemonSet":
            return _daemon_set(body)
        case "Job":
            return Progress(Stage.FINISHED) if is_finished(body) else _SETTLED
        case _:
            return _SETTLED


def is_finished(job: Json) -> bool:
    """Tell whether a Job has completed or failed for good."""
    return any(condition_of(job, name) == "True" for name in ("Complete", "Failed"))


def _deployment(body: Json) -> Progress:
    spec, status = body["spec"], body.get("status") or {}
    wanted, updated = spec.get("replicas", 1), status.get("updatedReplicas", 0)
    if spec.get("paused") and not updated == status.get("replicas", 0) == wanted:
        return Progress(Stage.PENDING, "the Deployment is paused")
    if not _observed(body):
        return _updating(body, "its controller has not seen the newest template")
    if _reason(body, "Progressing") == "ProgressDeadlineExceeded":
        return _failed(body, FailureReason.PROGRESS_DEADLINE_EXCEEDED, "its own progressDeadlineSeconds passed")
    if condition_of(body, "ReplicaFailure") == "True":
        return _failed(body, FailureReason.PODS_REJECTED, _message(body, "ReplicaFailure"))
    if updated < wanted:
        return _updating(body, f"{updated} of {wanted} pods are new")
    if status.get("replicas", 0) > updated:
        return _updating(body, f"old pods that are still there: {status['replicas'] - updated}")
    # Once a rollout has completed, pods that become unavailable are no fault of its time.
    since = None if _reason(body, "Progressing") == "NewReplicaSetAvailable" else changed_at(body)
    return _available(status.get("availableReplicas", 0), wanted, since)


def _stateful_set(body: Json) -> Progress:
    spec, status = body["spec"], body.get("status") or {}
    strategy = spec.get("updateStrategy") or {}
    wanted, updated = spec.get("replicas", 1), status.get("updatedReplicas", 0)
    partition = (strategy.get("rollingUpdate") or {}).get("partition") or 0
    if not _observed(body):
        return _updating(body, "its controller has not seen the newest template")
    if strategy.get("type") == "OnDelete" and updated < wanted:
        return Progress(Stage.PENDING, f"updateStrategy is OnDelete: {wanted - updated} old pods wait to be deleted")
    if updated < wanted - partition:
        return _updating(body, f"{updated} of {wanted - partition} pods are new")
    return _available(status.get("availableReplicas", 0), wanted, changed_at(body))


def _daemon_set(body: Json) -> Progress:
    status = body.get("status") or {}
    wanted, updated = status.get("desiredNumberScheduled", 0), status.get("updatedNumberScheduled", 0)
    if not _observed(body):
        return _updating(body, "its controller has not seen the newest template")
    if (body["spec"].get("updateStrategy") or {}).get("type") == "OnDelete" and updated < wanted:
        return Progress(Stage.PENDING, f"updateStrategy is OnDelete: {wanted - updated} old pods wait to be deleted")
    if updated < wanted:
        return _updating(body, f"{updated} of {wanted} pods are new")
    return _available(status.get("numberAvailable", 0), wanted, changed_at(body))


def _available(available: int, wanted: int, since: datetime | None) -> Progress:
    if available < wanted:
        return Progress(Stage.UPDATING, f"{available} of {wanted} pods are available", since=since)
    return _SETTLED


def _observed(body: Json) -> bool:
    return bool((body.get("status") or {}).get("observedGeneration", 0) >= body["metadata"].get("generation", 0))


def _updating(body: Json, message: str) -> Progress:
    return Progress(Stage.UPDATING, message, since=changed_at(body))


def _failed(body: Json, reason: FailureReason, message: str) -> Progress:
    return Progress(Stage.FAILED, message, reason, changed_at(body))


def changed_at(body: Json) -> datetime | None:
    """Return when somebody last wrote the workload itself, not its status or scale: the API server notes it."""
    times = [
        entry["time"]
        for entry in body["metadata"].get("managedFields") or ()
        if "time" in entry and not entry.get("subresource")
    ]
    return datetime.fromisoformat(max(times)) if times else None


def _find(body: Json, kind: str) -> Json:
    conditions = (body.get("status") or {}).get("conditions") or ()
    return next((condition for condition in conditions if condition["type"] == kind), {})


def condition_of(body: Json, kind: str) -> str:
    """Return whether a condition is True, False or, also where there is none, Unknown."""
    return str(_find(body, kind).get("status", "Unknown"))


def _reason(body: Json, kind: str) -> str:
    return str(_find(body, kind).get("reason", ""))


def _message(body: Json, kind: str) -> str:
    return str(_find(body, kind).get("message", ""))
