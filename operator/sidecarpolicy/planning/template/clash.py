"""What of a workload stands against a policy's contribution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sidecarpolicy.api.policy import Json
from sidecarpolicy.api.reasons import BlockReason
from sidecarpolicy.planning.policy import Item, Policy
from sidecarpolicy.planning.template import merge
from sidecarpolicy.planning.template.claims import added_volumes, contributed, converting, rules_for
from sidecarpolicy.planning.template.fill import fill
from sidecarpolicy.planning.template.requests import exceeded
from sidecarpolicy.planning.workload import container_names

Clash = tuple[BlockReason, str]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a contribution meets outside the template."""

    claim_templates: frozenset[str] = frozenset()
    """Names of a StatefulSet's volumeClaimTemplates: volumes that its pods have and its template does not list."""
    may_convert: bool = False
    """Admission answers, so that a later apply of the author's manifest does not fail."""
    converted: frozenset[str] = frozenset()
    """Containers that are converted already."""


def clashes(spec: Json, kept: Sequence[Policy], policy: Policy, around: Surroundings) -> Iterator[Clash]:
    """Yield every reason why a policy's contribution cannot go into the author's pod spec, beside those kept."""
    yield from _names(spec, policy)
    yield from _volume_names(spec, policy, around)
    yield from _ports(spec, policy)
    yield from _platform(spec, policy)
    yield from _conversions(spec, kept, policy)
    yield from _waiting_conversions(spec, policy, around)
    yield from _missing_volumes(spec, [*kept, policy], around)
    yield from _pod_resources(spec, [*kept, policy])


def _names(spec: Json, policy: Policy) -> Iterator[Clash]:
    inits = {container["name"]: container for container in spec.get("initContainers", ())}
    apps = container_names(spec)
    for item in policy.content.items:
        if item.name in apps or (item.name in inits and not merge.covers(inits[item.name], item.container)):
            yield (
                BlockReason.WORKLOAD_CONFLICT,
                f"the workload has a container {item.name} of its own: rename the sidecar in the policy, or convert it",
            )


def _volume_names(spec: Json, policy: Policy, around: Surroundings) -> Iterator[Clash]:
    own = {volume["name"]: volume for volume in spec.get("volumes", ())}
    for volume in policy.content.volumes:
        name = volume["name"]
        if name in around.claim_templates or (name in own and not merge.covers(own[name], volume)):
            yield (
                BlockReason.WORKLOAD_CONFLICT,
                f"the workload has another volume {name} of its own: rename the volume in the policy",
            )


def _ports(spec: Json, policy: Policy) -> Iterator[Clash]:
    declared = {
        (port["containerPort"], port.get("protocol", "TCP")): container["name"]
        for container in (*spec["containers"], *filter(_is_sidecar, spec.get("initContainers", ())))
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


def _is_sidecar(init: Json) -> bool:
    return bool(init.get("restartPolicy") == "Always")


def _platform(spec: Json, policy: Policy) -> Iterator[Clash]:
    items = contributed(spec, policy)
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


def _is_windows(spec: Json) -> bool:
    system = (spec.get("os") or {}).get("name") or (spec.get("nodeSelector") or {}).get("kubernetes.io/os")
    return bool(system == "windows")


def _conversions(spec: Json, kept: Sequence[Policy], policy: Policy) -> Iterator[Clash]:
    apps = {container["name"]: container for container in spec["containers"]}
    wanted = [item.name for item in converting(spec, policy)]
    taken = {item.name for one in (*kept, policy) for item in one.content.convert}
    if wanted and not apps.keys() - taken:
        yield (
            BlockReason.WORKLOAD_CONFLICT,
            f"converting {', '.join(wanted)} would leave the pod without a container: convert fewer",
        )
    for name in wanted:
        if "restartPolicy" in apps[name] or "restartPolicyRules" in apps[name]:
            yield (
                BlockReason.WORKLOAD_CONFLICT,
                f"container {name} has a restart policy of its own, and a native sidecar always restarts:"
                " remove it from the workload, or do not convert the container",
            )


def _waiting_conversions(spec: Json, policy: Policy, around: Surroundings) -> Iterator[Clash]:
    waiting = [item.name for item in converting(spec, policy) if item.name not in around.converted]
    if waiting and not around.may_convert:
        yield (
            BlockReason.ADMISSION_UNAVAILABLE,
            f"converting {', '.join(waiting)} waits for the admission webhook: without it the next apply of the"
            " workload's own manifest, which still lists the container, would fail",
        )


def _missing_volumes(spec: Json, policies: Sequence[Policy], around: Surroundings) -> Iterator[Clash]:
    """Every mount of the last policy needs a volume: the author's, its own or one of a policy before it."""
    there = {volume["name"] for volume in spec.get("volumes", ())} | around.claim_templates
    there |= {volume["name"] for policy in policies for volume in added_volumes(spec, policy)}
    for owner, mount in _mounts(spec, policies[-1]):
        if mount["name"] not in there:
            yield (
                BlockReason.VOLUME_MISSING,
                f"{owner} mounts volume {mount['name']}, which neither the workload nor the policy has: add it",
            )


def _mounts(spec: Json, policy: Policy) -> Iterator[tuple[str, Json]]:
    for item in contributed(spec, policy):
        for mount in item.container.get("volumeMounts", ()):
            yield f"sidecar {item.name}", mount
    for container in spec["containers"]:
        taken = {mount["mountPath"] for mount in container.get("volumeMounts", ())}
        for rule in rules_for(policy, container["name"]):
            for mount in rule.volumeMounts:
                if mount["mountPath"] not in taken:
                    yield f"container {container['name']}", mount


def _pod_resources(spec: Json, policies: Sequence[Policy]) -> Iterator[Clash]:
    if not spec.get("resources"):
        return
    containers = []
    for container in spec["containers"]:
        rules = [rule for policy in policies for rule in rules_for(policy, container["name"])]
        containers.append(fill(container, rules).container)
    items: list[Item] = [item for policy in policies for item in contributed(spec, policy)]
    excess = exceeded(spec, containers, [item.container for item in items])
    if excess:
        yield (
            BlockReason.POD_RESOURCES_EXCEEDED,
            f"with the policy the containers would ask for more {excess} than the pod's own resources allow:"
            " raise the pod's resources, or lower the sidecar's",
        )
