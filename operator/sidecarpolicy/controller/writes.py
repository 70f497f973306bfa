"""What was written lately, to tell when somebody reverts it again and again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sidecarpolicy.planning.patch import Change

TIMES = 3
"""Writes of the same wish within the time below: somebody reverts us."""
WITHIN = timedelta(minutes=10)

_Key = tuple[str, bool]
_Row = deque[tuple[datetime, int]]


@dataclass(slots=True)
class Writes:
    """The last wishes of every workload by its uid, so that one made anew under the same name starts anew.

    Templates and records apart: a record that is brought up to date says nothing of a template that is reverted.
    """

    _rows: dict[_Key, _Row] = field(default_factory=dict)
    """The one that was written last stands last."""

    def add(self, change: Change, now: datetime) -> None:
        """Remember a write, and forget those that are long past."""
        while self._rows and now - next(iter(self._rows.values()))[-1][0] >= WITHIN:
            del self._rows[next(iter(self._rows))]
        writes = self._rows.pop(_key(change), None) or deque(maxlen=TIMES)
        writes.append((now, change.wish))
        self._rows[_key(change)] = writes

    def __len__(self) -> int:
        return len(self._rows)

    def is_repeated(self, change: Change, now: datetime) -> bool:
        """Tell whether all that was written lately of a workload is this very wish, again and again."""
        recent = [wish for at, wish in self._rows.get(_key(change), ()) if now - at < WITHIN]
        return len(recent) == TIMES and set(recent) == {change.wish}


def _key(change: Change) -> _Key:
    return change.uid, change.restarts
