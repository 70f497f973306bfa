"""Who may contribute to a template: what each policy claims of it, and whose contribution is withheld whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sidecarpolicy.api import quantity
from sidecarpolicy.api.policy import Fill, Json
from sidecarpolicy.api.reasons import BlockReason
from sidecarpolicy.planning.policy import Policy
from sidecarpolicy.planning.selection import chooses
from sidecarpolicy.planning.template import fill, merge
from sidecarpolicy.planning.template.place import Cycle, Placed, place

Claim = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Withheld:
    """One policy's contribution that a workload does not get, and why."""

    policy: Policy
    reason: BlockReason
    message: str
    other: Policy | None = None
    """The policy that it clashes with."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a contribution meets outside the template."""

    claim_templates: frozenset[str] = frozenset()
    """Names of a StatefulSet's volumeClaimTemplates: volumes that its pods have and its template does not list."""
    may_convert: bool = False
    """Admission answers, so that a later apply of the author's manifest does not fail."""
    converted: frozenset[str] = frozenset()
    """Containers that are converted already."""


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
    for policy in policies:
        refusal = _clash_with_workload(spec, policy, around) or _clash_with_policies(spec, policy, taken)
        if refusal is None:
            refusal = _clash_of_volumes(spec, [*kept, policy], around)
        if refusal is not None:
            withheld.append(refusal)
            continue
        kept.append(policy)
        taken.update(dict.fromkeys(claims(spec, policy), policy))
    return _in_place(spec, kept, withheld)


def claims(spec: Json, policy: Policy) -> Iterator[Claim]:
    """Name everything of the author's pod spec that the policy would write."""
    content = policy.content
    for item in (*content.items, *content.convert):
        yield "container name", item.name
        for port in item.container.get("ports", ()):
            yield "port", str(port["containerPort"]), port.get("protocol", "TCP")
    for volume in content.volumes:
        yield "volume name", volume["name"]
    for container in spec["containers"]:
        filled = fill.fill(container, rules_for(policy, container["name"]), container).filled
        yield from _claims_of_fill(container["name"], filled)


def rules_for(policy: Policy, container: str) -> list[Fill]:
    """Return the rules of a policy that fill one container of the app."""
    return [rule for rule in policy.content.fills if chooses(rule.names, container)]


def _claims_of_fill(container: str, filled: Json) -> Iterator[Claim]:
    for mount in filled.get("volumeMounts", ()):
        yield "mount path", mount["mountPath"], f"of container {container}"
    for variable in filled.get("env", ()):
        yield "variable", variable["name"], f"of container {container}"
    for side, amounts in filled.get("resources", {}).items():
        for name in amounts:
            yield "field", f"resources.{side}.{name}", f"of container {container}"
    for probe in fill.PROBES:
        if probe in filled:
            yield "field", probe, f"of container {container}"


def _clash_with_policies(spec: Json, policy: Policy, taken: dict[Claim, Policy]) -> Withheld | None:
    for claim in claims(spec, policy):
        other = taken.get(claim)
        if other is not None:
            message = f"{' '.join(claim)} is claimed by {other.ref} too, which goes first: rename it, or select apart"
            return Withheld(policy, BlockReason.POLICY_CONFLICT, message, other)
    return None


def _clash_with_workload(spec: Json, policy: Policy, around: Surroundings) -> Withheld | None:
    return next(
        (
            Withheld(policy, reason, message)
            for reason, message in (
                *_clashing_names(spec, policy),
                *_clashing_ports(spec, policy),
                *_forbidden_by_platform(spec, policy),
                *_conversions(spec, policy, around),
            )
        ),
        None,
    )


def _clashing_names(spec: Json, policy: Policy) -> Iterator[tuple[BlockReason, str]]:
    inits = {container["name"]: container for container in spec.get("initContainers", ())}
    apps = {container["name"] for container in spec["containers"]}
    for item in policy.content.items:
        if item.name in apps or (item.name in inits and not merge.covers(inits[item.name], item.container)):
            yield (
                BlockReason.WORKLOAD_CONFLICT,
                f"the workload has a container {item.name} of its own: rename the sidecar in the policy, or convert it",
            )
    own = {volume["name"]: volume for volume in spec.get("volumes", ())}
    for volume in policy.content.volumes:
        if volume["name"] in own and not merge.covers(own[volume["name"]], volume):
            yield (
                BlockReason.WORKLOAD_CONFLICT,
                f"the workload has another volume {volume['name']} of its own: rename the volume in the policy",
            )


def _clashing_ports(spec: Json, policy: Policy) -> Iterator[tuple[BlockReason, str]]:
    declared = {
        (port["containerPort"], port.get("protocol", "TCP")): container["name"]
        for container in (*spec["containers"], *_sidecars(spec))
        for port in container.get("ports", ())
    }
    for item in policy.content.items:
        for port in item.container.get("ports", ()):
            owner = declared.get((port["containerPort"], port.get("protocol", "TCP")))
            if owner is not None and owner != item.name:
                yield (
                    BlockReason.WORKLOAD_CONFLICT,
                    f"port {port['containerPort']} of sidecar {item.name} is that of the workload's container {owner},"
                    " and all share one network: give the sidecar another port",
                )


def _sidecars(spec: Json) -> list[Json]:
    return [init for init in spec.get("initContainers", ()) if init.get("restartPolicy") == "Always"]


def _forbidden_by_platform(spec: Json, policy: Policy) -> Iterator[tuple[BlockReason, str]]:
    items = policy.content.items
    if spec.get("hostNetwork") and any(item.container.get("ports") for item in items):
        yield (
            BlockReason.HOST_NETWORK_PORTS,
            "the pods use the host's network, where a declared port is taken on the node, one pod a node:"
            " remove the ports from the sidecar, or do not select this workload",
        )
    if items and _is_windows(spec):
        yield (
            BlockReason.WINDOWS_PODS,
            "the pods run on Windows, where this sidecar's image and security context do not:"
            " do not select this workload",
        )
    excess = _over_pod_limit(spec, policy)
    if excess:
        yield (
            BlockReason.POD_RESOURCES_EXCEEDED,
            f"with the policy the containers would request more {excess} than the pod's own resources allow:"
            " raise the pod's resources, or lower the sidecar's",
        )


def _is_windows(spec: Json) -> bool:
    system = (spec.get("os") or {}).get("name") or (spec.get("nodeSelector") or {}).get("kubernetes.io/os")
    return bool(system == "windows")


def _over_pod_limit(spec: Json, policy: Policy) -> str | None:
    """Pod-level requests bound the sum of the containers' (validatePodResourceConsistency)."""
    for name, amount in ((spec.get("resources") or {}).get("requests") or {}).items():
        filled = [fill.fill(own, rules_for(policy, own["name"]), own).container for own in spec["containers"]]
        sidecars = [*_sidecars(spec), *(item.container for item in policy.content.items if _always(item.container))]
        if _requested(name, [*filled, *sidecars]) > quantity.parse(amount):
            return str(name)
    return None


def _always(container: Json) -> bool:
    return bool(container.get("restartPolicy") == "Always")


def _requested(name: str, containers: Iterable[Json]) -> float:
    requests = [((container.get("resources") or {}).get("requests") or {}).get(name, 0) for container in containers]
    return float(sum(quantity.parse(amount) for amount in requests))


def _conversions(spec: Json, policy: Policy, around: Surroundings) -> Iterator[tuple[BlockReason, str]]:
    names = {container["name"] for container in spec["containers"]}
    wanted = [item.name for item in policy.content.convert if item.name in names]
    if wanted and len(wanted) == len(names):
        yield (
            BlockReason.WORKLOAD_CONFLICT,
            f"converting {', '.join(wanted)} would leave the pod without a container: convert fewer",
        )
    if [name for name in wanted if name not in around.converted] and not around.may_convert:
        yield (
            BlockReason.ADMISSION_UNAVAILABLE,
            f"converting {', '.join(wanted)} waits for the admission webhook: without it the next apply of the"
            " workload's own manifest, which still lists the container, would fail",
        )


def _clash_of_volumes(spec: Json, policies: Sequence[Policy], around: Surroundings) -> Withheld | None:
    """Every mount of the last policy needs a volume: the author's, its own or one of a policy before it."""
    there = {volume["name"] for volume in spec.get("volumes", ())} | around.claim_templates
    there |= {volume["name"] for policy in policies for volume in policy.content.volumes}
    policy = policies[-1]
    for owner, mount in _mounts(spec, policy):
        if mount["name"] not in there:
            message = f"{owner} mounts volume {mount['name']}, which neither the workload nor the policy has: add it"
            return Withheld(policy, BlockReason.VOLUME_MISSING, message)
    return None


def _mounts(spec: Json, policy: Policy) -> Iterator[tuple[str, Json]]:
    for item in policy.content.items:
        for mount in item.container.get("volumeMounts", ()):
            yield f"sidecar {item.name}", mount
    for container in spec["containers"]:
        filled = fill.fill(container, rules_for(policy, container["name"]), container).filled
        for mount in filled.get("volumeMounts", ()):
            yield f"container {container['name']}", mount


def _in_place(spec: Json, kept: list[Policy], withheld: list[Withheld]) -> Settlement:
    """Place what is kept; of policies that cannot be placed together the last one waits, until the rest can."""
    convertible = {container["name"] for container in spec["containers"]}
    while True:
        taken = {item.name for policy in kept for item in policy.content.convert} & convertible
        author = [init["name"] for init in spec.get("initContainers", ())]
        ours = [
            Placed(str(policy.ref), item)
            for policy in kept
            for item in (*policy.content.items, *(one for one in policy.content.convert if one.name in taken))
            if item.name not in author
        ]
        order = place(author, ours)
        if not isinstance(order, Cycle):
            return Settlement(tuple(kept), tuple(order), tuple(withheld))
        involved = [policy for policy in kept if str(policy.ref) in order.owners]
        loser = involved[-1]
        kept.remove(loser)
        withheld.append(_unplaceable(loser, involved[:-1], order))


def _unplaceable(loser: Policy, others: Sequence[Policy], cycle: Cycle) -> Withheld:
    other = others[-1] if others else None
    message = f"before and after of {', '.join(cycle.names)} cannot all be met: remove one of them"
    if other is None:
        return Withheld(loser, BlockReason.WORKLOAD_CONFLICT, message)
    return Withheld(loser, BlockReason.POLICY_CONFLICT, f"{message}; {other.ref} goes first", other)

