"""What a policy's status says: conditions, counters and the workloads that somebody should look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sidecarpolicy.api.policy import Json
from sidecarpolicy.api.reasons import BlockReason, ConditionType, FailureReason, Reason
from sidecarpolicy.planning.assess import Assessment, Standing
from sidecarpolicy.planning.pods import Failing, Look, Sound, Starting
from sidecarpolicy.planning.policy import Policy, PolicyRef
from sidecarpolicy.planning.progress import Stage
from sidecarpolicy.planning.workload import Ref

MOST_ENTRIES = 20


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Whether a policy can be acted upon, and why not."""

    reason: Reason = Reason.ACCEPTED
    message: str = "the policy is valid"

    @property
    def is_accepted(self) -> bool:
        """The policy may be acted upon."""
        return self.reason is Reason.ACCEPTED


@dataclass(frozen=True, slots=True)
class Row:
    """One workload, with what a look at its pods said; None where nobody looked yet."""

    assessment: Assessment
    look: Look | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """One workload that failed."""

    ref: Ref
    reason: FailureReason
    message: str


@dataclass(frozen=True, slots=True)
class Tally:
    """One policy's workloads, counted."""

    counts: Counter[str]
    failures: tuple[Trouble, ...]
    waiting: str
    """What one of those that are on their way waits for."""

    def __getitem__(self, name: str) -> int:
        return self.counts[name]

    @property
    def settled(self) -> int:
        """Workloads whose pods were seen to run the revision."""
        return self.counts["upToDate"] - self.counts["updating"] - self.counts["failed"]


def trouble(row: Row, policy: Policy, now: datetime) -> Trouble | None:
    """Say how a workload with the policy's revision failed; None if it did not."""
    one, progress = row.assessment, row.assessment.progress
    if isinstance(row.look, Failing):
        return Trouble(one.ref, row.look.reason, row.look.message)
    if progress.stage is Stage.FAILED and progress.reason is not None:
        return Trouble(one.ref, progress.reason, progress.message)
    late = progress.since is not None and now - progress.since > policy.deadline
    if late and progress.stage is Stage.UPDATING:
        message = f"not settled within rollout.progressDeadline: {_wait(row)}"
        return Trouble(one.ref, FailureReason.PROGRESS_DEADLINE_EXCEEDED, message)
    return None


def tally(policy: Policy, rows: Iterable[Row], now: datetime) -> Tally:
    """Count the workloads of a policy: `updating` and `failed` are part of `upToDate`."""
    counts: Counter[str] = Counter()
    failures, waiting = [], ""
    for row in rows:
        state = row.assessment.states[policy.ref]
        counts[state.standing.value] += 1
        counts["matched"] += state.standing is not Standing.RESTORING
        if state.standing is not Standing.UP_TO_DATE:
            continue
        failure = trouble(row, policy, now)
        if failure is not None:
            counts["failed"] += 1
            failures.append(failure)
        elif not is_settled(row):
            counts["updating"] += 1
            waiting = waiting or f"{row.assessment.ref}: {_wait(row)}"
    return Tally(counts, tuple(failures), waiting)


def is_settled(row: Row) -> bool:
    """Its controller is done, and one look at its pods showed what was asked."""
    if row.assessment.progress.stage is not Stage.SETTLED:
        return False
    return row.assessment.asked is None or isinstance(row.look, Sound)


def _wait(row: Row) -> str:
    if row.assessment.progress.message:
        return row.assessment.progress.message
    return row.look.message if isinstance(row.look, Starting) else "its pods have not been looked at yet"


def describe(policy: Policy, accepted: Acceptance, rows: Sequence[Row], before: Json, now: datetime) -> Json:
    """Return the policy's whole status; times of what did not change are taken from the one before."""
    counted = tally(policy, rows, now)
    conditions = [
        _accepted(accepted),
        _up_to_date(policy, accepted, counted),
        _ready(policy, accepted, counted),
        _conflicted(policy, rows),
        _reconciling(policy, accepted, counted),
        _stalled(policy, accepted, counted),
    ]
    return {
        "observedGeneration": policy.generation,
        "revision": policy.revision,
        "conditions": [_timed(condition, policy.generation, before, now) for condition in conditions],
        **{name: counted[name] for name in COUNTERS},
        "failures": _entries(_failures(counted), before.get("failures"), now),
        "blocked": _entries(_blocked(policy, rows), before.get("blocked"), now),
        "notes": _entries(_notes(policy, rows), before.get("notes"), now),
    }


COUNTERS = ("matched", "upToDate", "updating", "outdated", "blocked", "failed", "finished")


def refused(generation: int, message: str, before: Json, now: datetime) -> Json:
    """Return the status of a policy whose spec cannot be read at all."""
    accepted = Acceptance(Reason.INVALID, message)
    conditions = [
        _accepted(accepted),
        (ConditionType.WORKLOADS_UP_TO_DATE, "Unknown", Reason.NOT_ACCEPTED, _FIRST),
        (ConditionType.READY, "False", Reason.NOT_ACCEPTED, message),
        (ConditionType.CONFLICTED, "Unknown", Reason.NOT_ACCEPTED, _FIRST),
        (ConditionType.RECONCILING, "False", Reason.IDLE, _FIRST),
        (ConditionType.STALLED, "True", Reason.NOT_ACCEPTED, message),
    ]
    return {
        "observedGeneration": generation,
        "conditions": [_timed(condition, generation, before, now) for condition in conditions],
    }


_FIRST = "the policy has to be accepted first"
Condition = tuple[ConditionType, str, Reason, str]


def difference(before: Json, after: Json) -> Json:
    """Return the merge patch between two statuses: the top-level keys that differ, each whole."""
    gone: dict[str, Any] = dict.fromkeys(before.keys() - after.keys())
    return gone | {key: value for key, value in after.items() if before.get(key) != value}


def _accepted(accepted: Acceptance) -> Condition:
    return ConditionType.ACCEPTED, str(accepted.is_accepted), accepted.reason, accepted.message


def _up_to_date(policy: Policy, accepted: Acceptance, counted: Tally) -> Condition:
    kind = ConditionType.WORKLOADS_UP_TO_DATE
    todo = counted["outdated"] + counted["restoring"]
    if not accepted.is_accepted:
        return kind, "Unknown", Reason.NOT_ACCEPTED, _FIRST
    if policy.mode == "Audit" and todo:
        return kind, "False", Reason.AUDIT_ONLY, f"mode is Audit: {_workloads(todo)} would change"
    if todo:
        return kind, "False", Reason.OUTDATED, f"{_workloads(todo)} of {counted['matched']} wait for their change"
    if counted["blocked"]:
        return kind, "False", Reason.BLOCKED, f"{_workloads(counted['blocked'])} cannot be changed: see status.blocked"
    if not counted["matched"]:
        return kind, "True", Reason.NO_WORKLOADS_MATCHED, "the selector selects no workload"
    return kind, "True", Reason.UP_TO_DATE, f"{_workloads(counted['upToDate'])} up to date"


def _ready(policy: Policy, accepted: Acceptance, counted: Tally) -> Condition:
    kind, todo = ConditionType.READY, counted["outdated"] + counted["restoring"]
    done = f"{counted.settled} of {counted['matched'] - counted['finished']} settled"
    if not accepted.is_accepted:
        return kind, "False", Reason.NOT_ACCEPTED, accepted.message
    if counted.failures:
        first = counted.failures[0]
        return kind, "False", Reason.FAILED, f"{done}, {counted['failed']} failed; {first.ref}: {first.message}"
    if policy.mode == "Audit" and todo:
        return kind, "False", Reason.AUDIT_ONLY, f"mode is Audit: {_workloads(todo)} would change, nothing is written"
    if policy.paused and todo:
        return kind, "False", Reason.PAUSED, f"paused: {done}, {_workloads(todo)} wait"
    if todo or counted["updating"]:
        waiting = f"; {counted.waiting}" if counted.waiting else ""
        return kind, "False", Reason.ROLLING_OUT, f"{done}, {counted['updating']} under way, {todo} to come{waiting}"
    if counted["blocked"]:
        return kind, "False", Reason.BLOCKED, f"{done}, {counted['blocked']} blocked: see status.blocked"
    return kind, "True", Reason.READY, done if counted["matched"] else "no workload is selected"


def _conflicted(policy: Policy, rows: Sequence[Row]) -> Condition:
    kind = ConditionType.CONFLICTED
    for wanted, reason in (
        (BlockReason.FIGHTING_CONTROLLER, Reason.FIGHTING_CONTROLLER),
        (BlockReason.POLICY_CONFLICT, Reason.POLICY_CONFLICT),
        (BlockReason.WORKLOAD_CONFLICT, Reason.WORKLOAD_CONFLICT),
    ):
        found = [(row.assessment.ref, message) for row in rows for message in _clashes(policy.ref, row, wanted)]
        if found:
            ref, message = found[0]
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            return kind, "True", reason, f"{ref}: {message}{more}"
    return kind, "False", Reason.NO_CONFLICT, "no other policy or workload claims the same"


def _clashes(ref: PolicyRef, row: Row, reason: BlockReason) -> Iterable[str]:
    for loser, state in row.assessment.states.items():
        if state.reason is not reason:
            continue
        if loser == ref:
            yield state.message
        elif state.other == ref:
            yield f"{loser} is withheld, because {state.message}"


def _reconciling(policy: Policy, accepted: Acceptance, counted: Tally) -> Condition:
    kind = ConditionType.RECONCILING
    if accepted.is_accepted and policy.acts:
        if counted["outdated"] or counted["updating"]:
            todo = counted["outdated"]
            return kind, "True", Reason.WAVE, f"{_workloads(counted['updating'])} rolling out, {todo} to come"
        if counted["restoring"]:
            return kind, "True", Reason.RESTORING, f"{_workloads(counted['restoring'])} to restore"
    return kind, "False", Reason.IDLE, "nothing is under way"


def _stalled(policy: Policy, accepted: Acceptance, counted: Tally) -> Condition:
    kind = ConditionType.STALLED
    moving = policy.acts and (counted["outdated"] or counted["restoring"] or counted["updating"])
    if not accepted.is_accepted:
        return kind, "True", Reason.NOT_ACCEPTED, accepted.message
    if counted["blocked"] and not moving:
        return kind, "True", Reason.BLOCKED, f"{_workloads(counted['blocked'])} blocked: see status.blocked"
    return kind, "False", Reason.NOT_STALLED, "nothing holds the policy up"


def _workloads(count: int) -> str:
    return "1 workload" if count == 1 else f"{count} workloads"


def _timed(condition: Condition, generation: int, before: Json, now: datetime) -> Json:
    kind, status, reason, message = condition
    old: Json = next((one for one in before.get("conditions") or () if one.get("type") == kind), {})
    moved = old.get("status") != status
    return {
        "type": str(kind),
        "status": status,
        "reason": str(reason),
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": _stamp(now) if moved else old["lastTransitionTime"],
    }


def _stamp(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


Finding = tuple[Ref, str, str]


def _failures(counted: Tally) -> list[Finding]:
    return [(one.ref, str(one.reason), one.message) for one in counted.failures]


def _blocked(policy: Policy, rows: Sequence[Row]) -> list[Finding]:
    states = [(row.assessment.ref, row.assessment.states[policy.ref]) for row in rows]
    return [(ref, str(state.reason), state.message) for ref, state in states if state.standing is Standing.BLOCKED]


def _notes(policy: Policy, rows: Sequence[Row]) -> list[Finding]:
    return [
        (row.assessment.ref, str(note.reason), note.message)
        for row in rows
        for note in row.assessment.notes
        if note.policy == policy.ref
    ]


def _entries(found: list[Finding], before: Sequence[Json] | None, now: datetime) -> list[Json]:
    since = {_identity(entry): entry["since"] for entry in before or ()}
    entries = []
    for ref, reason, message in sorted(found)[:MOST_ENTRIES]:
        entry: Json = {"kind": ref.kind, "namespace": ref.namespace, "name": ref.name, "reason": reason}
        entries.append({**entry, "message": message, "since": since.get(_identity(entry), _stamp(now))})
    return entries


def _identity(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(entry.get(key) for key in ("kind", "namespace", "name", "reason"))
