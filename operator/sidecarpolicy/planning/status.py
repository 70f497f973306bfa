"""What a policy's status says: conditions, counters and the workloads that somebody should look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sidecarpolicy.api.policy import Json
from sidecarpolicy.api.reasons import BlockReason, ConditionType, FailureReason, NoteReason, Reason
from sidecarpolicy.api.status import MOST_ENTRIES
from sidecarpolicy.planning.conditions import Acceptance, Condition, conditions, not_accepted
from sidecarpolicy.planning.policy import Policy, PolicyRef
from sidecarpolicy.planning.standing import Standing
from sidecarpolicy.planning.tally import Row, Tally, tally
from sidecarpolicy.planning.workload import Ref

__all__ = ["Acceptance", "Row", "describe", "difference", "is_restoring", "refused", "was_ready"]

COUNTERS = ("matched", "upToDate", "updating", "outdated", "blocked", "failed", "finished")

_WORST_FIRST = (
    FailureReason.RESTART_POLICY_STRIPPED,
    FailureReason.SIDECAR_MISSING,
    FailureReason.PODS_REJECTED,
    FailureReason.IMAGE_PULL_FAILS,
    FailureReason.CONFIG_ERROR,
    FailureReason.CRASH_LOOP,
    FailureReason.STARTUP_PROBE_FAILING,
    FailureReason.APP_CONTAINER_FAILS,
    FailureReason.PROGRESS_DEADLINE_EXCEEDED,
    BlockReason.FIGHTING_CONTROLLER,
    BlockReason.REFUSED,
    BlockReason.POLICY_CONFLICT,
    BlockReason.WORKLOAD_CONFLICT,
    BlockReason.VOLUME_MISSING,
    BlockReason.POD_RESOURCES_EXCEEDED,
    BlockReason.HOST_NETWORK_PORTS,
    BlockReason.WINDOWS_PODS,
    BlockReason.ADMISSION_UNAVAILABLE,
    BlockReason.TEMPLATE_IMMUTABLE,
    BlockReason.OWNED_BY_CONTROLLER,
    BlockReason.WAITING_FOR_RESUME,
    NoteReason.FULL_OUTAGE,
    NoteReason.QOS_CHANGES,
    NoteReason.POD_FAILURE_POLICY_MATCHES_SIDECAR,
    NoteReason.RESTARTS_COUNT_AGAINST_BACKOFF_LIMIT,
    NoteReason.GRACE_PERIOD_SHORT,
    NoteReason.PENDING_RESTART,
    NoteReason.PROBE_PORT_MISSING,
    NoteReason.LIMIT_WITHOUT_REQUEST,
    NoteReason.MOUNT_PATH_TAKEN,
    NoteReason.VARIABLE_TAKEN,
    NoteReason.ANCHOR_MISSING,
    NoteReason.INJECT_VALUE_IGNORED,
    NoteReason.OPTED_OUT,
)


def describe(policy: Policy, accepted: Acceptance, rows: Sequence[Row], before: Json, now: datetime) -> Json:
    """Return the policy's whole status; times of what did not change are taken from the one before."""
    counted = tally(policy, rows, now)
    return {
        "observedGeneration": policy.generation,
        "revision": policy.revision,
        "conditions": _timed(conditions(policy, accepted, rows, counted), policy.generation, before, now),
        **{name: counted[name] for name in COUNTERS},
        "failures": _entries(_failures(counted), before.get("failures"), now),
        "blocks": _entries(_blocks(policy, rows), before.get("blocks"), now),
        "notes": _entries(_notes(policy, rows), before.get("notes"), now),
    }


def refused(generation: int, message: str, before: Json, now: datetime) -> Json:
    """Return the status of a policy whose spec cannot be read at all."""
    said = not_accepted(Acceptance(Reason.INVALID, message))
    return {"observedGeneration": generation, "conditions": _timed(said, generation, before, now)}


def difference(before: Json, after: Json) -> Json:
    """Return the merge patch between two statuses: the top-level keys that differ, each whole."""
    gone: dict[str, Any] = dict.fromkeys(before.keys() - after.keys())
    return gone | {key: value for key, value in after.items() if before.get(key) != value}


def was_ready(body: Json) -> bool:
    """Tell whether a policy's status says, of this very spec, that pods were seen to run it."""
    return any(
        condition["type"] == ConditionType.READY
        and condition["status"] == "True"
        and condition.get("observedGeneration") == body["metadata"]["generation"]
        for condition in (body.get("status") or {}).get("conditions") or ()
    )


def is_restoring(rows: Iterable[Row], policy: PolicyRef) -> bool:
    """Tell whether something that a policy added is still to be taken away."""
    return any(row.assessment.states[policy].standing is Standing.RESTORING for row in rows)


def _timed(said: Iterable[Condition], generation: int, before: Json, now: datetime) -> list[Json]:
    old = {one["type"]: one for one in before.get("conditions") or ()}
    return [_condition(condition, generation, old.get(condition[0], {}), now) for condition in said]


def _condition(condition: Condition, generation: int, old: Json, now: datetime) -> Json:
    kind, status, reason, message = condition
    since = old.get("lastTransitionTime") if old.get("status") == status else None
    return {
        "type": str(kind),
        "status": status,
        "reason": str(reason),
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": since or _stamp(now),
    }


def _stamp(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


_AnyReason = BlockReason | FailureReason | NoteReason
_Finding = tuple[Ref, _AnyReason, str]


def _failures(counted: Tally) -> Iterable[_Finding]:
    return [(one.ref, one.reason, one.message) for one in counted.failures]


def _blocks(policy: Policy, rows: Sequence[Row]) -> Iterable[_Finding]:
    for row in rows:
        state = row.assessment.states[policy.ref]
        if state.standing is Standing.BLOCKED and state.reason is not None:
            yield row.assessment.ref, state.reason, state.message


def _notes(policy: Policy, rows: Sequence[Row]) -> Iterable[_Finding]:
    for row in rows:
        for note in row.assessment.notes:
            if note.policy == policy.ref:
                yield row.assessment.ref, note.reason, note.message


def _entries(found: Iterable[_Finding], before: Sequence[Json] | None, now: datetime) -> list[Json]:
    since = {_identity(entry): entry["since"] for entry in before or ()}
    worst = sorted(found, key=lambda one: (_WORST_FIRST.index(one[1]), one[0], one[2]))
    entries = []
    for ref, reason, message in worst[:MOST_ENTRIES]:
        entry: Json = {"kind": ref.kind, "namespace": ref.namespace, "name": ref.name, "reason": str(reason)}
        entries.append({**entry, "message": message, "since": since.get(_identity(entry), _stamp(now))})
    return entries


def _identity(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(entry.get(key) for key in ("kind", "namespace", "name", "reason"))
