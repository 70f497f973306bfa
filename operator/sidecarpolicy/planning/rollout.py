"""Which changes may start now, so that no policy has more workloads in flux than it allows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sidecarpolicy.planning.assess import Assessment, Standing
from sidecarpolicy.planning.patch import Change
from sidecarpolicy.planning.policy import Policy, PolicyRef

_DEFAULT_LIMIT = 10
"""For what is left of policies that are gone."""

_MOVING = (Standing.OUTDATED, Standing.RESTORING)


@dataclass(frozen=True, slots=True)
class Wave:
    """The changes that may start now, and how many have to wait for one of them."""

    changes: tuple[Change, ...]
    waiting: int


def next_wave(policies: Mapping[PolicyRef, Policy], fleet: Iterable[Assessment], started: frozenset[str]) -> Wave:
    """Return the changes that may start without more workloads in flux than any of their policies allows.

    `started` holds the uids of workloads whose change is on its way to the API server.
    """
    known = list(fleet)
    room = _room(policies, known, started)
    ready = sorted(
        (one for one in known if one.change is not None and one.uid not in started),
        # One that is in trouble already is changed last; it shows least of what the change does.
        key=lambda one: (one.in_flux, one.ref.namespace, one.ref.name, one.ref.kind),
    )
    changes: list[Change] = []
    for one in ready:
        movers = [ref for ref, state in one.states.items() if state.standing in _MOVING]
        if one.change is None or (one.change.restarts and any(room.get(ref, _DEFAULT_LIMIT) <= 0 for ref in movers)):
            continue
        changes.append(one.change)
        if one.change.restarts:
            for ref in movers:
                room[ref] = room.get(ref, _DEFAULT_LIMIT) - 1
    return Wave(tuple(changes), len(ready) - len(changes))


def limit(policy: Policy, matched: int) -> int:
    """Return how many workloads of a policy may be in flux; a percentage is rounded up, as maxSurge is."""
    if isinstance(policy.max_concurrent, int):
        return policy.max_concurrent
    return max(1, math.ceil(matched * int(policy.max_concurrent.rstrip("%")) / 100))


def _room(
    policies: Mapping[PolicyRef, Policy], fleet: Sequence[Assessment], started: frozenset[str]
) -> dict[PolicyRef, int]:
    matched: Counter[PolicyRef] = Counter()
    in_flux: Counter[PolicyRef] = Counter()
    for one in fleet:
        for ref, state in one.states.items():
            matched[ref] += 1
            if one.uid in started or (state.standing is Standing.UP_TO_DATE and one.in_flux):
                in_flux[ref] += 1
    return {ref: limit(policy, matched[ref]) - in_flux[ref] for ref, policy in policies.items()}
