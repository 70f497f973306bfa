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
from collections.abc import Sequence
from dataclasses import dataclass

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
    index = {placed.item.name: number for number, placed in enumerate(ours)}
    follows: dict[int, set[int]] = {number: set() for number in range(len(ours))}
    for number, placed in enumerate(ours):
        for name in placed.item.after:
            if name in index:
                follows[number].add(index[name])
        for name in placed.item.before:
            if name in index:
                follows[index[name]].add(number)
    ready = [(_class(ours[number].item), number) for number, needs in follows.items() if not needs]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        _, number = heapq.heappop(ready)
        order.append(number)
        for other, needs in follows.items():
            if number in needs:
                needs.discard(number)
                if not needs:
                    heapq.heappush(ready, (_class(ours[other].item), other))
    if len(order) < len(ours):
        return _cycle([ours[number] for number in follows if number not in order])
    return [ours[number] for number in order]


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
    latest = list(bounds)
    for index in range(len(sequence) - 2, -1, -1):
        latest[index] = (latest[index][0], min(latest[index][1], latest[index + 1][1]))
    slots: list[int] = []
    for index, placed in enumerate(sequence):
        earliest = max(bounds[index][0], slots[-1] if slots else 0)
        if earliest > latest[index][1]:
            return _cycle(_quarrel(sequence, bounds, index))
        slots.append(latest[index][1] if _hangs(placed.item) and bounds[index][1] < len(author) else earliest)
    return slots


def _hangs(item: Item) -> bool:
    """Only `before` is given: it stands directly before its anchor."""
    return bool(item.before) and not item.after


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
