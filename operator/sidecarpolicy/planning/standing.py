"""How a workload stands towards each policy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sidecarpolicy.api.policy import LISTS, PROBES, Json
from sidecarpolicy.api.reasons import BlockReason
from sidecarpolicy.planning.policy import Policy, PolicyRef
from sidecarpolicy.planning.record import Part, Record
from sidecarpolicy.planning.template.desired import Desired, same_but_for_leftovers


class Standing(Enum):
    """How a workload stands towards one policy."""

    UP_TO_DATE = "upToDate"
    OUTDATED = "outdated"
    RESTORING = "restoring"
    """It carries what this policy no longer asks for."""
    BLOCKED = "blocked"
    FINISHED = "finished"
    OPTED_OUT = "optedOut"
    """The policy selects it, and its author keeps every policy away."""


@dataclass(frozen=True, slots=True)
class State:
    """A standing, with the reason where it is blocked."""

    standing: Standing
    reason: BlockReason | None = None
    message: str = ""
    other: PolicyRef | None = None
    """The policy that it clashes with."""

    @property
    def is_moving(self) -> bool:
        """A change of the workload is wanted."""
        return self.standing in (Standing.OUTDATED, Standing.RESTORING)


UP_TO_DATE, OUTDATED = State(Standing.UP_TO_DATE), State(Standing.OUTDATED)
RESTORING, FINISHED = State(Standing.RESTORING), State(Standing.FINISHED)
OPTED_OUT = State(Standing.OPTED_OUT)

States = dict[PolicyRef, State]


def states_of(template: Json, before: Record, wanted: Desired, policies: Iterable[Policy]) -> States:
    """Return how a template stands towards policies whose contribution to it was decided together."""
    policies = list(policies)
    states = dict.fromkeys((policy.ref for policy in policies), UP_TO_DATE)
    if not same_but_for_leftovers(template, wanted.template, before, wanted.record):
        outdated = [policy.ref for policy in policies if _differs(template, before, wanted, policy)]
        states |= dict.fromkeys(outdated, OUTDATED)
    for held in wanted.withheld:
        other = held.other.ref if held.other else None
        states[held.policy.ref] = State(Standing.BLOCKED, held.reason, held.message, other)
    return states


def _differs(template: Json, before: Record, wanted: Desired, policy: Policy) -> bool:
    part, there = wanted.record.parts.get(policy.ref.key), before.parts.get(policy.ref.key)
    if part is None or there is None:
        return part is not there
    if not part.same_work(there) or share(template, part) != share(wanted.template, part):
        return True
    return bool(part.init_containers or part.converted) and _moved(template, wanted.template)


def _moved(template: Json, wanted: Json) -> bool:
    """Tell whether init containers stand in another order; those that come or go move nobody."""
    now, then = ([init["name"] for init in one["spec"].get("initContainers", ())] for one in (template, wanted))
    return [name for name in now if name in then] != [name for name in then if name in now]


def share(template: Json, part: Part) -> list[Any]:
    """Return what a template has of one policy's part."""
    spec = template["spec"]
    ours = {*part.init_containers, *part.converted}
    return [
        [init for init in spec.get("initContainers", ()) if init["name"] in ours],
        [volume for volume in spec.get("volumes", ()) if volume["name"] in part.volumes],
        [
            _filled(container, part.fills[container["name"]])
            for container in spec["containers"]
            if container["name"] in part.fills
        ],
    ]


def _filled(container: Json, filled: Json) -> list[Any]:
    resources = container.get("resources") or {}
    keyed = {name: {item[key]: item for item in container.get(name, ())} for name, key in LISTS.items()}
    return [
        *(keyed[name].get(item[key]) for name, key in LISTS.items() for item in filled.get(name, ())),
        *((resources.get(side) or {}).get(name) for side, own in filled.get("resources", {}).items() for name in own),
        *(container.get(probe) for probe in PROBES if probe in filled),
    ]


def blocked(states: Mapping[PolicyRef, State], obstacle: State) -> States:
    """Return the states where what stands against the change holds up every policy that wants it."""
    return {ref: obstacle if state.is_moving else state for ref, state in states.items()}
