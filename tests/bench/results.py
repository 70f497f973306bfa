"""What was measured of one size, and how it stands to its bounds."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from bench.admission import RATE, WITHIN, Admission
from bench.process import MIB, Cost
from bench.rolls import Restore, Roll


@dataclass(slots=True)
class Result:
    """One size."""

    count: int
    bytes_each: float = 0
    bare: list[float] = field(default_factory=list)
    bare_restores: list[float] = field(default_factory=list)
    rolls: list[Roll] = field(default_factory=list)
    restores: list[Restore] = field(default_factory=list)
    filled_bare: float | None = None
    filled_roll: Roll | None = None
    idle: Cost | None = None
    idle_writes: int = 0
    start: float = 0
    started: Cost | None = None
    rendered: float = 0
    admission: Admission | None = None

    def as_json(self) -> dict[str, Any]:
        """Return everything, with the table's figures beside it."""
        return {**asdict(self), "rows": [asdict(row) for row in rows(self)]}


@dataclass(frozen=True, slots=True)
class Row:
    """One measure; `bound` is what it may be at most, or at least where `at_least`; None where nothing is promised."""

    name: str
    unit: str
    value: float
    bound: float | None = None
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """The bound holds."""
        if self.bound is None:
            return True
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    @property
    def share(self) -> float:
        """How much of what is allowed is used: over 1 is too much."""
        assert self.bound is not None
        if self.at_least:
            return self.bound / self.value if self.value else math.inf
        return self.value / self.bound if self.bound else self.value + 1


def rows(result: Result) -> list[Row]:
    """Return the table of one size."""
    found = [*_times(result), *_writes(result), *_costs(result)] if result.rolls else []
    return [*found, *_admission(result.admission)] if result.admission else found


def _times(result: Result) -> list[Row]:
    bare, seconds = median(result.bare), median(roll.seconds for roll in result.rolls)
    back = median(one.seconds for one in result.restores)
    found = [
        Row("bare loop: patches sent, all settled, pods seen", "s", bare),
        Row("operator: from apply to Ready", "s", seconds),
        Row("operator over bare loop", "x", seconds / bare, 1.05),
        Row("restore, operator over bare loop", "x", back / median(result.bare_restores)),
    ]
    if result.filled_bare and result.filled_roll:
        found.append(Row("the same with filled probes", "x", result.filled_roll.seconds / result.filled_bare))
    return found


def _writes(result: Result) -> list[Row]:
    last = result.rolls[-1]
    found = [
        Row("template writes per workload", "", max(roll.template_writes for roll in result.rolls), 1),
        Row("patches per workload", "", max(roll.patches for roll in result.rolls)),
        Row("writes at idle", "", result.idle_writes, 0),
        Row("status writes a second", "/s", max(roll.status_writes / roll.seconds for roll in result.rolls), 1),
        Row("status writes of a roll", "", last.status_writes),
    ]
    if result.filled_roll:
        found.append(Row("patches per workload with filled probes", "", result.filled_roll.patches))
    return found


def _costs(result: Result) -> list[Row]:
    assert result.idle
    assert result.started
    memory = 80 if result.count <= 1000 else 100
    idle = max(result.idle.resident, result.started.resident) / MIB
    costs = [result.started, *(roll.cost for roll in result.rolls), *(one.cost for one in result.restores)]
    peak = max(cost.peak for cost in costs) / MIB
    stalls = [restore.stall for restore in result.restores]
    return [
        Row("operator CPU per workload rolled", "ms", median(r.cpu for r in result.rolls) / result.count * 1000, 4),
        Row("start until ready, nothing to do", "s", result.start, max(1.0, result.count / 1000)),
        Row("resident memory, idle", "MiB", idle, memory),
        Row("resident memory, peak", "MiB", peak, memory),
        Row("worst stall, its own computing", "ms", max(stall.worst_own for stall in stalls) * 1000, 100),
        Row("worst stall, by the clock", "ms", max(stall.worst for stall in stalls) * 1000),
        Row("99th percentile of /healthz", "ms", max(stall.p99 for stall in stalls) * 1000),
        Row("render offline", "/s", result.rendered, 500, at_least=True),
    ]


def _admission(seen: Admission) -> list[Row]:
    return [
        Row("admission requests a second", "/s", seen.rate, RATE * 0.99, at_least=True),
        Row(f"answered within {WITHIN * 1000:.0f} ms, in the handler", "%", seen.in_handler * 100, 99, at_least=True),
        Row("99th percentile of admission, its own computing", "ms", seen.own_p99 * 1000, 10),
        Row("99th percentile of admission, by the clock", "ms", seen.wall_p99 * 1000),
        Row("requests without the answer that is due", "", len(seen.wrong), 0),
        Row("certificates loaded meanwhile", "", seen.certificates, 2 if seen.seconds >= 60 else None, at_least=True),
        Row("templates written meanwhile, by workload", "", seen.injected, 1, at_least=True),
        Row("create, without admission", "ms", seen.create_alone * 1000),
        Row("create, slower by admission", "ms", seen.slower * 1000, 8),
    ]
