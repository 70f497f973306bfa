"""How far a policy's workloads are, counted: who is settled, who is on the way, who failed and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sidecarpolicy.api.reasons import FailureReason
from sidecarpolicy.planning.assess import Assessment
from sidecarpolicy.planning.pods import Failing, Look, Sound, Starting
from sidecarpolicy.planning.policy import Policy
from sidecarpolicy.planning.progress import Stage
from sidecarpolicy.planning.standing import Standing
from sidecarpolicy.planning.workload import Ref


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
    def todo(self) -> int:
        """Workloads whose template has to change."""
        return self.counts["outdated"] + self.counts["restoring"]

    @property
    def unfinished(self) -> int:
        """Workloads that are selected and still run."""
        return self.counts["matched"] - self.counts["finished"]

    @property
    def settled(self) -> int:
        """Workloads whose pods were seen to run the revision."""
        return self.counts["upToDate"] - self.counts["updating"] - self.counts["failed"]


def trouble(row: Row, policy: Policy, now: datetime) -> Trouble | None:
    """Say how a workload with the policy's revision failed; None if it did not."""
    one, progress = row.assessment, row.assessment.progress
    if policy.ref not in one.carrying:
        return None
    if isinstance(row.look, Failing):
        return Trouble(one.ref, row.look.reason, row.look.message)
    if progress.stage is Stage.FAILED and progress.reason is not None:
        return Trouble(one.ref, progress.reason, _wait(row))
    late = progress.since is not None and now - progress.since > policy.deadline
    if late and progress.stage is Stage.UPDATING:
        message = f"not settled within rollout.progressDeadline: {_wait(row)}"
        return Trouble(one.ref, FailureReason.PROGRESS_DEADLINE_EXCEEDED, message)
    return None


def tally(policy: Policy, rows: Iterable[Row], now: datetime) -> Tally:
    """Count the workloads of a policy: `updating` and `failed` are part of `upToDate`."""
    counts: Counter[str] = Counter()
    failures, waiting = [], []
    for row in rows:
        state = row.assessment.states[policy.ref]
        counts[state.standing.value] += 1
        counts["matched"] += state.standing not in (Standing.RESTORING, Standing.OPTED_OUT)
        if state.standing is not Standing.UP_TO_DATE:
            continue
        failure = trouble(row, policy, now)
        if failure is not None:
            counts["failed"] += 1
            failures.append(failure)
        elif not is_settled(row, policy):
            counts["updating"] += 1
            waiting.append(row)
    # The order of the rows means nothing, and must not move a message.
    first = min(waiting, key=lambda row: row.assessment.ref, default=None)
    failures.sort(key=lambda failure: failure.ref)
    return Tally(counts, tuple(failures), f"{first.assessment.ref}: {_wait(first)}" if first else "")


def is_settled(row: Row, policy: Policy) -> bool:
    """Its controller is done, and one look at its pods showed what was asked; where nothing was, there is no wait."""
    one = row.assessment
    if policy.ref not in one.carrying:
        return True
    return one.progress.stage is Stage.SETTLED and (one.asked is None or isinstance(row.look, Sound))


def _wait(row: Row) -> str:
    """Say what a workload waits for: in its controller's words, and by the pod that shows why."""
    seen = row.look.message if isinstance(row.look, Starting) else ""
    return "; ".join(filter(None, (row.assessment.progress.message, seen))) or "its pods have not been looked at yet"
