"""What the app's own containers get where they have nothing, and how it is taken away again.

`filled` is the shape a record keeps per container: {"volumeMounts": [...], "env": [...], "resources": {...},
"readinessProbe": {...}}, each value as we wrote it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sidecarpolicy.api import quantity
from sidecarpolicy.api.policy import LISTS, PROBES, Fill, Json
from sidecarpolicy.api.reasons import NoteReason
from sidecarpolicy.planning import canonical
from sidecarpolicy.planning.authorship import Author
from sidecarpolicy.planning.template import merge

_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_OVERCOMMITTED = frozenset({"cpu", "memory", "ephemeral-storage"})
"""Of every other resource Kubernetes wants request and limit equal."""


@dataclass(frozen=True, slots=True)
class Filled:
    """One container after filling, what was filled, and what could not be."""

    container: Json
    filled: Json
    notes: tuple[tuple[NoteReason, str], ...] = ()


@dataclass(frozen=True, slots=True)
class There:
    """A container as it stands in the cluster, and what of it we filled."""

    now: Json = field(default_factory=dict)
    before: Json = field(default_factory=dict)


NOWHERE = There()


def fill(container: Json, rules: Sequence[Fill], there: There = NOWHERE) -> Filled:
    """Fill one container of the app, given without anything of ours, where it has nothing."""
    result, filled, notes = container, dict[str, Any](), list[tuple[NoteReason, str]]()
    for rule in rules:
        for step in (_fill_lists, _fill_resources, _fill_probes):
            done = step(result, rule, there)
            result, filled = done.container, joined(filled, done.filled)
            notes += done.notes
    return Filled(result, filled, tuple(notes))


def unfill(container: Json, filled: Json, author: Author) -> Json:
    """Return the container without what we filled and its author neither changed nor wrote."""
    result = dict(container)
    for name, key in LISTS.items():
        if name in filled and name in result:
            _put(result, name, _without(result, name, filled[name], key, author))
    if "resources" in filled and "resources" in result:
        result["resources"] = _own_resources(result, filled["resources"], author)
    for probe in PROBES:
        if probe in filled and probe in result:
            _put(result, probe, _own_probe(result, probe, filled[probe], author))
    return result


def _put(container: Json, name: str, value: Any) -> None:
    """Set a field of our own copy; the API server stores no empty list or probe."""
    if value:
        container[name] = value
    else:
        del container[name]


def joined(first: Json, second: Json) -> Json:
    """Join what two rules, or two policies, filled: lists add up, resources key by key, probes stand alone."""
    result = dict(first)
    for name, value in second.items():
        match value, result.get(name):
            case list(), list() as there:
                result[name] = [*there, *value]
            case dict(), dict() as there:
                result[name] = joined(there, value)
            case _:
                result[name] = value
    return result


def _fill_lists(container: Json, rule: Fill, there: There) -> Filled:
    filled: Json = {}
    notes: list[tuple[NoteReason, str]] = []
    result = dict(container)
    for name, key in LISTS.items():
        own = {item[key]: item for item in result.get(name, ())}
        asked: list[Json] = getattr(rule, name)
        notes += [_taken(container, name, item) for item in asked if not _is_free(own, item, key)]
        added = [item for item in asked if item[key] not in own]
        if added:
            now, before = ({item[key]: item for item in where.get(name, ())} for where in (there.now, there.before))
            ours = (_as_stored(item, now.get(item[key]), before.get(item[key])) for item in added)
            result[name] = [*result.get(name, ()), *ours]
            filled[name] = added
    return Filled(result, filled, tuple(notes))


def _as_stored(value: Json, now: Json | None, before: Json | None) -> Json:
    """Return our value with what the API server filled in beside what we filled before."""
    return dict(merge.merged(now, value, before)) if now and before and merge.covers(now, before) else value


def _is_free(own: Json, item: Json, key: str) -> bool:
    return item[key] not in own or merge.covers(own[item[key]], item)


def _taken(container: Json, name: str, item: Json) -> tuple[NoteReason, str]:
    if name == "env":
        return (
            NoteReason.VARIABLE_TAKEN,
            f"container {container['name']} sets {item['name']} itself, and keeps its value: give the policy's"
            " variable another name, or leave it out",
        )
    return (
        NoteReason.MOUNT_PATH_TAKEN,
        f"container {container['name']} mounts something else at {item['mountPath']}, so {item['name']} is not"
        " mounted there: give the policy another mountPath",
    )


def _fill_resources(container: Json, rule: Fill, there: There) -> Filled:
    del there
    own = container.get("resources") or {}
    requests, limits = dict(own.get("requests") or {}), dict(own.get("limits") or {})
    filled: dict[str, Json] = {"requests": {}, "limits": {}}
    notes = []
    for name, amount in (rule.resources.get("requests") or {}).items():
        if name not in requests:
            requests[name] = filled["requests"][name] = _at_most(name, amount, limits.get(name))
    for name, amount in _limits(rule, filled["requests"]).items():
        if name not in limits and name not in requests:
            notes.append(_no_request(container, name))
        elif name not in limits:
            limits[name] = filled["limits"][name] = _at_least(name, amount, requests[name])
    filled = {side: amounts for side, amounts in filled.items() if amounts}
    if not filled:
        return Filled(container, {}, tuple(notes))
    resources = {**own, **({"limits": limits} if limits else {}), **({"requests": requests} if requests else {})}
    return Filled({**container, "resources": resources}, {"resources": filled}, tuple(notes))


def _limits(rule: Fill, requests: Json) -> Json:
    """Return the limits that a rule asks for; a request that may not be overcommitted is one as well."""
    implied = {name: amount for name, amount in requests.items() if name not in _OVERCOMMITTED}
    return {**implied, **(rule.resources.get("limits") or {})}


def _at_most(name: str, amount: str, limit: str | None) -> str:
    if limit is None:
        return amount
    above = quantity.parse(amount) > quantity.parse(limit)
    return limit if above or name not in _OVERCOMMITTED else amount


def _at_least(name: str, amount: str, request: str) -> str:
    below = quantity.parse(amount) < quantity.parse(request)
    return request if below or name not in _OVERCOMMITTED else amount


def _no_request(container: Json, name: str) -> tuple[NoteReason, str]:
    return (
        NoteReason.LIMIT_WITHOUT_REQUEST,
        f"container {container['name']} has no {name} request, and a limit alone would become its request:"
        f" add requests.{name} to the policy",
    )


def _fill_probes(container: Json, rule: Fill, there: There) -> Filled:
    result, filled, notes = dict(container), dict[str, Any](), []
    for name in PROBES:
        asked: Json | None = getattr(rule, name)
        if not asked or name in container:
            continue
        if not is_declared(container, asked):
            notes.append(_no_port(container, name))
            continue
        filled[name] = asked
        result[name] = _as_stored(asked, there.now.get(name), there.before.get(name))
    return Filled(result, filled, tuple(notes))


def is_declared(container: Json, probe: Json) -> bool:
    """Tell whether a container has a probe's port: a named one resolves only there (pkg/probe/util.go)."""
    handler: Json = next((probe[name] for name in _HANDLERS if name in probe), {})
    port = handler.get("port")
    if port is None:
        return True
    ports = container.get("ports") or []
    if isinstance(port, str):
        return any(declared.get("name") == port for declared in ports)
    return not ports or any(declared["containerPort"] == port for declared in ports)


def _no_port(container: Json, probe: str) -> tuple[NoteReason, str]:
    return (
        NoteReason.PROBE_PORT_MISSING,
        f"container {container['name']} does not declare the port of the {probe}, which would fail for ever:"
        " declare the port in the workload, or leave the container out of the policy",
    )


def _without(container: Json, section: str, ours: list[Json], key: str, author: Author) -> list[Json]:
    filled = {item[key]: item for item in ours}

    def is_ours(item: Json) -> bool:
        name = item[key]
        return merge.covers(item, filled[name]) and not author.wrote(container["name"], section, name)

    return [item for item in container[section] if item[key] not in filled or not is_ours(item)]


def _own_resources(container: Json, ours: Json, author: Author) -> Json:
    result = dict(container["resources"])
    for side, amounts in ours.items():
        own = {
            name: amount
            for name, amount in (result.get(side) or {}).items()
            if name not in amounts
            or quantity.parse(amount) != quantity.parse(amounts[name])
            or author.wrote(container["name"], "resources", side, name)
        }
        result.pop(side, None)
        if own:
            result[side] = own
    return result


def _own_probe(container: Json, name: str, ours: Json, author: Author) -> Json:
    """Return what the author has of a probe beside ours.

    Equal to ours: all of it goes. Another handler: the author has an own probe, and our keys go from it. Our handler
    with other settings: the author took the probe over by editing it, and it stays.
    """
    current: Json = container[name]
    own = {
        key: value
        for key, value in current.items()
        if key not in ours or value != ours[key] or author.wrote(container["name"], name, key)
    }
    if not own and current == ours:
        return {}
    handler = next((key for key in _HANDLERS if key in own), None)
    if handler is None:
        return current
    own[handler] = _own_handler(own[handler], ours.get(handler, {}), author, (container["name"], name, handler))
    return canonical.probe(own)


def _own_handler(current: Json, ours: Json, author: Author, path: tuple[str, ...]) -> Json:
    """Return a handler without keys of ours that the author's apply was merged into."""
    container, *steps = path
    if not author.wrote(container, *steps):
        return current
    return {
        key: value
        for key, value in current.items()
        if key not in ours or value != ours[key] or author.wrote(container, *steps, key)
    }
