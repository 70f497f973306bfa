"""What a policy would write into a template, by name: no two policies may write the same."""

from __future__ import annotations

from collections.abc import Iterator

from sidecarpolicy.api.policy import PROBES, Fill, Json
from sidecarpolicy.planning.policy import Item, Policy
from sidecarpolicy.planning.selection import chooses
from sidecarpolicy.planning.template import fill
from sidecarpolicy.planning.workload import container_names

Claim = tuple[str, ...]


def claims(spec: Json, policy: Policy) -> Iterator[Claim]:
    """Name everything of the author's pod spec that the policy would write."""
    for item in (*contributed(spec, policy), *converting(spec, policy)):
        yield "container name", item.name
        for port in item.container.get("ports", ()):
            yield "port", str(port["containerPort"]), port.get("protocol", "TCP")
    for volume in added_volumes(spec, policy):
        yield "volume name", volume["name"]
    for container in spec["containers"]:
        for rule in rules_for(policy, container["name"]):
            for what, name in _filled(container, rule):
                yield what, name, f"of container {container['name']}"


def contributed(spec: Json, policy: Policy) -> list[Item]:
    """Return the containers of a policy that its workload does not have anyway."""
    own = {init["name"] for init in spec.get("initContainers", ())}
    return [item for item in policy.content.items if item.name not in own]


def converting(spec: Json, policy: Policy) -> list[Item]:
    """Return what a policy converts of this workload's containers."""
    apps = container_names(spec)
    return [item for item in policy.content.convert if item.name in apps]


def added_volumes(spec: Json, policy: Policy) -> list[Json]:
    """Return the volumes of a policy that its workload does not have anyway."""
    own = {volume["name"] for volume in spec.get("volumes", ())}
    return [volume for volume in policy.content.volumes if volume["name"] not in own]


def rules_for(policy: Policy, container: str) -> list[Fill]:
    """Return the rules of a policy that fill one container of the app."""
    return [rule for rule in policy.content.fills if chooses(rule.names, container)]


def _filled(container: Json, rule: Fill) -> Iterator[tuple[str, str]]:
    """Name what a rule asks for where the author has nothing, also where another policy has to go first."""
    own = container.get("resources") or {}
    paths = {mount["mountPath"] for mount in container.get("volumeMounts", ())}
    variables = {variable["name"] for variable in container.get("env", ())}
    for mount in rule.volumeMounts:
        if mount["mountPath"] not in paths:
            yield "mount path", mount["mountPath"]
    for variable in rule.env:
        if variable["name"] not in variables:
            yield "variable", variable["name"]
    for side, amounts in rule.resources.items():
        for name in amounts.keys() - (own.get(side) or {}).keys():
            yield "field", f"resources.{side}.{name}"
    for probe in PROBES:
        if getattr(rule, probe) and probe not in container and fill.is_declared(container, getattr(rule, probe)):
            yield "field", probe
