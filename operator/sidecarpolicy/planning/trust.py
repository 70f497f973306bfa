"""Whether the record on a workload belongs to the template beside it, and what to make of it if not.

A StatefulSet's `rollout undo` brings back an old template and leaves the newest record; `replace` by an export without
annotations loses the record and keeps the template; a patch of the whole template does the opposite.

    template says   record says       what is ours
    r1              r1                what the record says
    r1              nothing, or r0    what r1 asks and the template has
    nothing         r1                what the record says, if our sidecars are there; else nothing
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sidecarpolicy.api import quantity
from sidecarpolicy.api.policy import LISTS, PROBES, Fill, Json
from sidecarpolicy.planning.policy import Content, PolicyRef
from sidecarpolicy.planning.record import NOTHING, Part, Record
from sidecarpolicy.planning.selection import chooses
from sidecarpolicy.planning.template import merge
from sidecarpolicy.planning.template.desired import marker_of
from sidecarpolicy.planning.template.fill import joined


@dataclass(frozen=True, slots=True)
class History:
    """What the revisions of all policies asked for, by their hash, and whose they are."""

    contents: Mapping[str, Content] = field(default_factory=dict)
    owners: Mapping[str, frozenset[PolicyRef]] = field(default_factory=dict)


def trusted(template: Json, record: Record | None, history: History, namespace: str) -> Record:
    """Return the record of what is ours in this very template."""
    marker = marker_of(template)
    if marker:
        if record is not None and record.marker == marker:
            return record
        rebuilt = _rebuilt(template, marker, history, namespace)
        if rebuilt.parts:
            return rebuilt
    if record is not None and _is_there(template, record, history):
        return record
    return NOTHING


def _is_there(template: Json, record: Record, history: History) -> bool:
    inits = {init["name"]: init for init in template["spec"].get("initContainers", ())}
    sidecars = [(part.revision, name) for part in record.parts.values() for name in part.init_containers]
    if not sidecars:
        # What was filled is taken away only where it still has our value.
        return True
    return any(name in inits and _is_ours(inits[name], history.contents.get(revision)) for revision, name in sidecars)


def _is_ours(container: Json, content: Content | None) -> bool:
    if content is None:
        return True
    return any(item.name == container["name"] and merge.covers(container, item.container) for item in content.items)


def _rebuilt(template: Json, marker: str, history: History, namespace: str) -> Record:
    parts = {}
    for revision in marker.split("."):
        owners = sorted(ref for ref in history.owners.get(revision, ()) if ref.namespace in ("", namespace))
        if owners and revision in history.contents:
            part = _found(template["spec"], revision, history.contents[revision])
            if not part.is_empty:
                parts[owners[0].key] = part
    return Record(marker, parts)


def _found(spec: Json, revision: str, content: Content) -> Part:
    """Return the part of a revision that a pod spec has."""
    inits = {init["name"]: init for init in spec.get("initContainers", ())}
    held = {volume["name"]: volume for volume in spec.get("volumes", ())}
    apps = tuple(container["name"] for container in spec["containers"])
    fills = {container["name"]: _found_fill(container, content.fills) for container in spec["containers"]}
    return Part(
        revision=revision,
        init_containers=tuple(
            item.name for item in content.items if item.name in inits and merge.covers(inits[item.name], item.container)
        ),
        volumes=tuple(
            volume["name"]
            for volume in content.volumes
            if volume["name"] in held and merge.covers(held[volume["name"]], volume)
        ),
        converted={
            item.name: apps
            for item in content.convert
            if inits.get(item.name, {}).get("restartPolicy") == "Always" and item.name not in apps
        },
        fills={name: filled for name, filled in fills.items() if filled},
    )


def _found_fill(container: Json, rules: tuple[Fill, ...]) -> Json:
    found: Json = {}
    for rule in rules:
        if chooses(rule.names, container["name"]):
            found = joined(found, _found_rule(container, rule))
    return found


def _found_rule(container: Json, rule: Fill) -> Json:
    found: Json = {name: _found_items(container, name, getattr(rule, name)) for name in LISTS}
    found["resources"] = _found_resources(container, rule)
    for probe in PROBES:
        wanted: Json | None = getattr(rule, probe)
        if wanted and container.get(probe) == wanted:
            found[probe] = wanted
    return {name: value for name, value in found.items() if value}


def _found_items(container: Json, name: str, asked: list[Json]) -> list[Json]:
    key = LISTS[name]
    there = {item[key]: item for item in container.get(name, ())}
    return [item for item in asked if item[key] in there and merge.covers(there[item[key]], item)]


def _found_resources(container: Json, rule: Fill) -> Json:
    found: Json = {}
    for side in ("requests", "limits"):
        there = (container.get("resources") or {}).get(side) or {}
        for name, amount in (rule.resources.get(side) or {}).items():
            if name in there and quantity.parse(there[name]) == quantity.parse(amount):
                found.setdefault(side, {})[name] = there[name]
    return found
