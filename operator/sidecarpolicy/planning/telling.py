"""What the owner of a workload is told of a change: of one that was written, or made by admission in their request."""

from __future__ import annotations

from collections.abc import Iterable

from sidecarpolicy.api.reasons import EventReason
from sidecarpolicy.planning.assess import Assessment, Standing
from sidecarpolicy.planning.policy import PolicyRef


def told(before: Assessment) -> tuple[EventReason, str]:
    """Return what the change did that this assessment had wanted."""
    asked = _towards(before, Standing.OUTDATED)
    if asked:
        reason = EventReason.SIDECARS_UPDATED if before.applied else EventReason.SIDECARS_INJECTED
        return reason, f"template brought to what {_names(asked)} asks"
    # Withheld parts go too: another policy goes first now, or the workload's author took the name.
    gone = (before.carrying & _towards(before, Standing.BLOCKED)) | _towards(before, Standing.RESTORING)
    return EventReason.SIDECARS_RESTORED, f"what {_names(gone)} added is taken away"


def told_of_admission(before: Assessment | None, after: Assessment) -> tuple[EventReason, str] | None:
    """Return what admission did in a request that made `after` of `before`; None if that is nothing to tell."""
    if before is None or before.uid != after.uid:
        born = after.carrying & _towards(after, Standing.UP_TO_DATE)
        return (EventReason.SIDECARS_INJECTED, f"created with what {_names(born)} asks") if born else None
    gone = (before.carrying - after.carrying) & _towards(after, Standing.OPTED_OUT)
    return (EventReason.SIDECARS_RESTORED, f"opted out: what {_names(gone)} added is taken away") if gone else None


def _towards(one: Assessment, standing: Standing) -> set[PolicyRef]:
    return {ref for ref, state in one.states.items() if state.standing is standing}


def _names(refs: Iterable[PolicyRef]) -> str:
    return ", ".join(str(ref) for ref in sorted(refs))
