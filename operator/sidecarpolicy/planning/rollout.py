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
_OUT_OF_REACH = (Standing.FINISHED, Standing.OPTED_OUT)
"""No percentage is taken of them: a thousand Jobs of last week would let everything else restart at once."""
NOBODY: Mapping[PolicyRef, int] = {}


@dataclass(frozen=True, slots=True)
class Wave:
    """The changes that may start now, and how many have to wait for one of them."""

    changes: tuple[Change, ...]
    waiting: int


def next_wave(
    policies: Mapping[PolicyRef, Policy],
    fleet: Iterable[Assessment],
    started: frozenset[str],
    leaving: Mapping[PolicyRef, int] = NOBODY,
) -> Wave:
    """Return the changes that may start without more workloads in flux than any of their policies allows.

    `started` holds the uids of workloads whose change is on its way to the API server; `leaving` how many workloads
    still replace pods after what a policy added was taken away, which nothing on them tells any more.
    """
    known = list(fleet)
    room = _room(policies, known, started, leaving)
    ready = sorted(
        (one for one in known if one.change is not None and one.uid not in started),
        # One that is in trouble already is changed last; it shows least of what the change does.
        key=lambda one: (one.in_flux, one.ref.namespace, one.ref.name, one.ref.kind),
    )
    changes: list[Change] = []
    for one in ready:
        if one.change is None:
            continue
        cost = _cost(policies, one) if one.change.restarts else ()
        if any(room[ref] <= 0 for ref in cost):
            continue
        changes.append(one.change)
        for ref in cost:
            room[ref] -= 1
    return Wave(tuple(changes), len(ready) - len(changes))


def limit(policy: Policy, matched: int) -> int:
    """Return how many workloads of a policy may be in flux; a percentage is rounded up, as maxSurge is."""
    if isinstance(policy.max_concurrent, int):
        return policy.max_concurrent
    return max(1, math.ceil(matched * int(policy.max_concurrent.rstrip("%")) / 100))


def _room(
    policies: Mapping[PolicyRef, Policy],
    fleet: Sequence[Assessment],
    started: frozenset[str],
    leaving: Mapping[PolicyRef, int],
) -> dict[PolicyRef, int]:
    matched = Counter(ref for one in fleet for ref, state in one.states.items() if state.standing not in _OUT_OF_REACH)
    in_flux = Counter(leaving)
    # They were part of the whole a moment ago: all at once means all, also when there are few left.
    matched.update(leaving)
    refs = policies.keys() | matched.keys()
    for one in fleet:
        refs |= one.carrying
        # Most have nothing under way, and what they concern is not asked for.
        if one.uid in started:
            in_flux.update(_concerned(policies, one))
        elif one.in_flux:
            in_flux.update(one.carrying.intersection(_concerned(policies, one)))
    limits = {ref: limit(policies[ref], matched[ref]) if ref in policies else _DEFAULT_LIMIT for ref in refs}
    return {ref: limits[ref] - in_flux[ref] for ref in refs}


def _cost(policies: Mapping[PolicyRef, Policy], one: Assessment) -> list[PolicyRef]:
    """Return the policies that would have one more workload in flux.

    What is in flux with something of theirs counts already; else workloads in trouble could never get the revision
    that cures them.
    """
    counted = one.carrying if one.in_flux else frozenset[PolicyRef]()
    return [ref for ref in _concerned(policies, one) if ref not in counted]


def _concerned(policies: Mapping[PolicyRef, Policy], one: Assessment) -> list[PolicyRef]:
    """Return the policies that a restart of the workload counts for: it runs, gets or loses what they add."""
    refs = one.carrying.union(ref for ref, state in one.states.items() if state.is_moving)
    return [ref for ref in refs if ref not in policies or policies[ref].acts or policies[ref].deleting]
