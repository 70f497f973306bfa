"""Where our init containers and sidecars stand among the author's own.

Ours keep one order among themselves whatever the author does: by class (First, before, between, after, Last), then by
policy, then as listed, moved only by anchors that name each other. Into that fixed sequence the author's own init
containers are merged without changing theirs. With `before` sorted ahead of `after` every one-sided wish can be met.

    ours:    vault-agent (First)   envoy (after schema-check)   tail (Last)
    author:  schema-check, migrate
    placed:  vault-agent, schema-check, envoy, migrate, tail
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import accumulate

from sidecarpolicy.planning.policy import Item


@dataclass(frozen=True, slots=True)
class Placed:
    """One of ours, with the policy that asks for it."""

    owner: str
    item: Item


@dataclass(frozen=True, slots=True)
class Cycle:
    """Wishes that cannot be met together, and whose they are."""

    owners: tuple[str, ...]
    names: tuple[str, ...]


def place(author: Sequence[str], ours: Sequence[Placed]) -> list[str] | Cycle:
    """Return all names in order; `ours` comes in the order of the policies, as listed in each."""
    sequence = _sequence(ours)
    if isinstance(sequence, Cycle):
        return sequence
    slots = _slots(author, sequence)
    if isinstance(slots, Cycle):
        return slots
    order: list[str] = []
    for index in range(len(author) + 1):
        order += [placed.item.name for placed, slot in zip(sequence, slots, strict=True) if slot == index]
        order += author[index : index + 1]
    return order


def _sequence(ours: Sequence[Placed]) -> list[Placed] | Cycle:
    """Order ours among themselves: anchors between them first, then class, policy and listing."""
    direct = _follows(ours)
    try:
        # An anchor that two of ours share orders them, be it there or not: before it, after it.
        return _sorted(ours, _through_shared_anchors(ours, direct))
    except CycleError:
        pass
    try:
        return _sorted(ours, direct)
    except CycleError as error:
        return _cycle([ours[number] for number in sorted(set(error.args[1]))])


def _sorted(ours: Sequence[Placed], follows: Mapping[int, set[int]]) -> list[Placed]:
    """Return a topological order, of those that are free the first by class, policy and listing; or CycleError."""
    sorter = TopologicalSorter(follows)
    sorter.prepare()
    free: list[tuple[int, int]] = []
    order = []
    while sorter.is_active():
        for number in sorter.get_ready():
            heapq.heappush(free, (_class(ours[number].item), number))
        _, number = heapq.heappop(free)
        order.append(ours[number])
        sorter.done(number)
    return order


def _follows(ours: Sequence[Placed]) -> dict[int, set[int]]:
    """Return, for each of ours, which of ours it has to follow."""
    index = {placed.item.name: number for number, placed in enumerate(ours)}
    follows = {
        number: {index[name] for name in ours[number].item.after if name in index} for number in range(len(ours))
    }
    for number, placed in enumerate(ours):
        for name in placed.item.before:
            if name in index:
                follows[index[name]].add(number)
    return follows


def _through_shared_anchors(ours: Sequence[Placed], follows: Mapping[int, set[int]]) -> dict[int, set[int]]:
    leading: dict[str, set[int]] = {}
    for number, placed in enumerate(ours):
        for name in placed.item.before:
            leading.setdefault(name, set()).add(number)
    return {
        number: needs.union(*(leading.get(name, ()) for name in ours[number].item.after))
        for number, needs in follows.items()
    }


def _class(item: Item) -> int:
    if item.position == "Last":
        return 4
    match bool(item.before), bool(item.after):
        case False, False:
            return 0
        case True, False:
            return 1
        case True, True:
            return 2
        case _:
            return 3


def _slots(author: Sequence[str], sequence: Sequence[Placed]) -> list[int] | Cycle:
    """Return, for each of ours, how many of the author's stand before it."""
    bounds = [_bounds(placed.item, author) for placed in sequence]
    # Who stands later may hold back who stands before it.
    latest = list(accumulate((last for _, last in reversed(bounds)), min))[::-1]
    slots: list[int] = []
    for index, placed in enumerate(sequence):
        earliest = max(bounds[index][0], *slots[-1:], 0)
        if earliest > latest[index]:
            return _cycle(_quarrel(sequence, bounds, index))
        slots.append(latest[index] if _hangs(placed.item, author) else earliest)
    return slots


def _hangs(item: Item, author: Sequence[str]) -> bool:
    """It stands directly before an init container of the author, since only `before` is given."""
    return not item.after and any(name in author for name in item.before)


def _bounds(item: Item, author: Sequence[str]) -> tuple[int, int]:
    """Return the first and the last slot that one item's own wishes allow, among the author's init containers."""
    after = [author.index(name) + 1 for name in item.after if name in author]
    before = [author.index(name) for name in item.before if name in author]
    if item.position == "Last":
        return len(author), len(author)
    if item.position == "First":
        return 0, 0
    return max(after, default=0), min(before, default=len(author))


def _quarrel(sequence: Sequence[Placed], bounds: Sequence[tuple[int, int]], index: int) -> list[Placed]:
    """Name who cannot be met: the item itself, who pushes it late and who holds it early."""
    late = max(range(index + 1), key=lambda number: bounds[number][0])
    early = min(range(index, len(sequence)), key=lambda number: bounds[number][1])
    return [sequence[number] for number in sorted({late, index, early})]


def _cycle(placed: Sequence[Placed]) -> Cycle:
    return Cycle(
        owners=tuple(dict.fromkeys(one.owner for one in placed)),
        names=tuple(dict.fromkeys(one.item.name for one in placed)),
    )
