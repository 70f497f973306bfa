"""The conditions of a policy, each by a function of its own: what is the case, and a sentence that says it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sidecarpolicy.api import names
from sidecarpolicy.api.reasons import BlockReason, ConditionType, Reason
from sidecarpolicy.planning.policy import Policy, PolicyRef
from sidecarpolicy.planning.rollout import limit
from sidecarpolicy.planning.tally import Row, Tally


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Whether a policy can be acted upon, and why not."""

    reason: Reason = Reason.ACCEPTED
    message: str = "the policy is valid"

    @property
    def is_accepted(self) -> bool:
        """The policy may be acted upon."""
        return self.reason is Reason.ACCEPTED


Condition = tuple[ConditionType, str, Reason, str]

_FIRST = "the policy has to be accepted first"


def conditions(policy: Policy, accepted: Acceptance, rows: Sequence[Row], counted: Tally) -> list[Condition]:
    """Return every condition of a policy."""
    if not accepted.is_accepted and not policy.deleting:
        return not_accepted(accepted)
    return [
        _accepted(accepted),
        _up_to_date(policy, counted),
        _ready(policy, counted),
        _conflicted(policy, rows),
        _reconciling(policy, counted),
        _stalled(policy, counted),
    ]


def not_accepted(accepted: Acceptance) -> list[Condition]:
    """Return every condition of a policy that nothing is done for."""
    return [
        _accepted(accepted),
        (ConditionType.WORKLOADS_UP_TO_DATE, "Unknown", Reason.NOT_ACCEPTED, _FIRST),
        (ConditionType.READY, "False", Reason.NOT_ACCEPTED, accepted.message),
        (ConditionType.CONFLICTED, "Unknown", Reason.NOT_ACCEPTED, _FIRST),
        (ConditionType.RECONCILING, "False", Reason.IDLE, _FIRST),
        (ConditionType.STALLED, "True", Reason.NOT_ACCEPTED, accepted.message),
    ]


def _accepted(accepted: Acceptance) -> Condition:
    return ConditionType.ACCEPTED, str(accepted.is_accepted), accepted.reason, accepted.message


def _up_to_date(policy: Policy, counted: Tally) -> Condition:
    kind, todo = ConditionType.WORKLOADS_UP_TO_DATE, counted.todo
    if policy.mode == "Audit" and todo and not policy.deleting:
        return kind, "False", Reason.AUDIT_ONLY, f"mode is Audit: {_workloads(todo)} would change"
    if todo:
        return kind, "False", Reason.OUTDATED, f"{_workloads(todo)} still to be changed"
    if counted["blocked"]:
        return kind, "False", Reason.BLOCKED, f"{_workloads(counted['blocked'])} cannot be changed: see status.blocks"
    if not counted["matched"]:
        return kind, "True", Reason.NO_WORKLOADS_MATCHED, _nobody(counted)
    away = f"; {_workloads(counted['optedOut'])} opted out: see status.notes" if counted["optedOut"] else ""
    return kind, "True", Reason.UP_TO_DATE, f"{_workloads(counted['upToDate'])} up to date{_finished(counted)}{away}"


def _ready(policy: Policy, counted: Tally) -> Condition:
    kind, todo = ConditionType.READY, counted.todo
    done = f"{counted.settled} of {counted.unfinished} settled{_finished(counted)}"
    if counted.failures:
        first, held = counted.failures[0], f", {todo} to come" if todo else ""
        return kind, "False", Reason.FAILED, f"{done}, {counted['failed']} failed{held}; {first.ref}: {first.message}"
    if policy.mode == "Audit" and todo and not policy.deleting:
        return kind, "False", Reason.AUDIT_ONLY, f"mode is Audit: {_workloads(todo)} would change, nothing is written"
    if policy.paused and todo and not policy.deleting:
        return kind, "False", Reason.PAUSED, f"paused: {done}, {todo} to come"
    if policy.deleting and todo:
        return kind, "False", Reason.ROLLING_OUT, f"{_workloads(todo)} to restore"
    if todo or counted["updating"]:
        waiting = f"; {counted.waiting}" if counted.waiting else ""
        return kind, "False", Reason.ROLLING_OUT, f"{done}, {counted['updating']} under way, {todo} to come{waiting}"
    if counted["blocked"]:
        return kind, "False", Reason.BLOCKED, f"{done}, {counted['blocked']} blocked: see status.blocks"
    return kind, "True", Reason.READY, done if counted["matched"] else _nobody(counted)


def _conflicted(policy: Policy, rows: Sequence[Row]) -> Condition:
    kind = ConditionType.CONFLICTED
    for wanted, reason in (
        (BlockReason.FIGHTING_CONTROLLER, Reason.FIGHTING_CONTROLLER),
        (BlockReason.POLICY_CONFLICT, Reason.POLICY_CONFLICT),
        (BlockReason.WORKLOAD_CONFLICT, Reason.WORKLOAD_CONFLICT),
    ):
        found = sorted((row.assessment.ref, message) for row in rows for message in _clashes(policy.ref, row, wanted))
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


def _reconciling(policy: Policy, counted: Tally) -> Condition:
    kind = ConditionType.RECONCILING
    moving = _moving(policy, counted)
    if moving is Reason.WAVE:
        under_way = f"{_workloads(counted['updating'])} rolling out"
        return kind, "True", moving, f"{under_way}, {counted['outdated']} to come"
    if moving is Reason.RESTORING:
        return kind, "True", moving, f"{_workloads(counted['restoring'])} to restore"
    return kind, "False", moving, "nothing is under way"


def _stalled(policy: Policy, counted: Tally) -> Condition:
    kind = ConditionType.STALLED
    if _moving(policy, counted) is not Reason.IDLE:
        return kind, "False", Reason.NOT_STALLED, "nothing holds the policy up"
    if counted["failed"]:
        held = f", and {counted.todo} wait for them" if counted.todo and policy.acts else ""
        return kind, "True", Reason.FAILED, f"{_workloads(counted['failed'])} failed{held}: see status.failures"
    if counted["blocked"]:
        return kind, "True", Reason.BLOCKED, f"{_workloads(counted['blocked'])} blocked: see status.blocks"
    return kind, "False", Reason.NOT_STALLED, "nothing holds the policy up"


def _moving(policy: Policy, counted: Tally) -> Reason:
    """Return what goes on without anybody's doing: a wave, restoring, or nothing."""
    room = _has_room(policy, counted)
    if policy.acts and (counted["updating"] or (counted["outdated"] and room)):
        return Reason.WAVE
    if counted["restoring"] and (policy.deleting or (policy.acts and room)):
        return Reason.RESTORING
    return Reason.IDLE


def _has_room(policy: Policy, counted: Tally) -> bool:
    """Tell whether another change can start: those that failed keep their place in the wave."""
    return limit(policy, counted.unfinished + counted["restoring"]) > counted["failed"]


def _nobody(counted: Tally) -> str:
    away = counted["optedOut"]
    if not away:
        return "no workload is selected"
    return f"every selected workload is opted out by {names.INJECT_ANNOTATION}: see status.notes ({_workloads(away)})"


def _finished(counted: Tally) -> str:
    finished = counted["finished"]
    return f", {finished} finished" if finished else ""


def _workloads(count: int) -> str:
    return "1 workload" if count == 1 else f"{count} workloads"
