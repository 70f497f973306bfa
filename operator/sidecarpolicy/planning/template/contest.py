"""Who may contribute to a template: policy by policy in their order, each whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sidecarpolicy.api.policy import Json
from sidecarpolicy.api.reasons import BlockReason
from sidecarpolicy.planning.policy import Policy
from sidecarpolicy.planning.template.claims import Claim, claims, contributed, converting
from sidecarpolicy.planning.template.clash import Surroundings, clashes
from sidecarpolicy.planning.template.place import Cycle, Placed, place


@dataclass(frozen=True, slots=True)
class Withheld:
    """One policy's contribution that a workload does not get, and why."""

    policy: Policy
    reason: BlockReason
    message: str
    other: Policy | None = None
    """The policy that it clashes with."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """Whose contribution goes in, what stands where, and who has to wait."""

    policies: tuple[Policy, ...]
    order: tuple[str, ...]
    """All init containers by name, the author's and ours."""
    withheld: tuple[Withheld, ...]


def settle(spec: Json, policies: Sequence[Policy], around: Surroundings) -> Settlement:
    """Decide, policy by policy in their order, whose contribution the author's pod spec gets."""
    taken: dict[Claim, Policy] = {}
    kept: list[Policy] = []
    withheld: list[Withheld] = []
    order = _placed(spec, kept)
    for policy in policies:
        claimed = list(claims(spec, policy))
        found = next(clashes(spec, kept, policy, around), None)
        refusal = Withheld(policy, *found) if found else _claimed_before(policy, claimed, taken)
        placed = _placed(spec, [*kept, policy]) if refusal is None else order
        if isinstance(placed, Cycle):
            refusal = _unplaceable(policy, kept, placed)
        if refusal is not None:
            withheld.append(refusal)
            continue
        kept.append(policy)
        order = placed
        taken |= dict.fromkeys(claimed, policy)
    return Settlement(tuple(kept), () if isinstance(order, Cycle) else tuple(order), tuple(withheld))


def _claimed_before(policy: Policy, claimed: Sequence[Claim], taken: dict[Claim, Policy]) -> Withheld | None:
    for claim in claimed:
        other = taken.get(claim)
        if other is not None:
            message = f"{' '.join(claim)} is claimed by {other.ref} too, which goes first: rename it, or select apart"
            return Withheld(policy, BlockReason.POLICY_CONFLICT, message, other)
    return None


def _placed(spec: Json, policies: Sequence[Policy]) -> list[str] | Cycle:
    author = [init["name"] for init in spec.get("initContainers", ())]
    ours = [
        Placed(str(policy.ref), item)
        for policy in policies
        for item in (*contributed(spec, policy), *converting(spec, policy))
    ]
    return place(author, ours)


def _unplaceable(policy: Policy, kept: Sequence[Policy], cycle: Cycle) -> Withheld:
    message = (
        f"before and after of {', '.join(cycle.names)} cannot all be met:"
        " remove one of them, or say by before and after how these stand to each other"
    )
    other = next((one for one in reversed(kept) if str(one.ref) in cycle.owners), None)
    if other is None:
        return Withheld(policy, BlockReason.WORKLOAD_CONFLICT, message)
    return Withheld(policy, BlockReason.POLICY_CONFLICT, f"{message}; {other.ref} goes first", other)
