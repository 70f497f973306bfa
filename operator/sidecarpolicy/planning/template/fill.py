"""What the app's own containers get where they have nothing, and how it is taken away again.

`filled` is the shape a record keeps per container: {"volumeMounts": [...], "env": [...], "resources": {...},
"readinessProbe": {...}}, each value as we wrote it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sidecarpolicy.api import quantity
from sidecarpolicy.api.policy import Fill, Json
from sidecarpolicy.api.reasons import NoteReason
from sidecarpolicy.planning import canonical
from sidecarpolicy.planning.authorship import Author
from sidecarpolicy.planning.template import merge

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_LISTS = {"volumeMounts": "mountPath", "env": "name"}
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_OVERCOMMITTED = frozenset({"cpu", "memory", "ephemeral-storage"})
"""Of every other resource Kubernetes wants request and limit equal."""


@dataclass(frozen=True, slots=True)
class Filled:
    """One container after filling, what was filled, and what could not be."""

    container: Json
    filled: Json
    notes: tuple[tuple[NoteReason, str], ...] = ()


def fill(container: Json, rules: Sequence[Fill], now: Json) -> Filled:
    """Fill one container of the app where it has nothing.

    `container` is the author's, without anything of ours; `now` is the same container as it stands in the cluster,
    whose spelling of our values (API defaults) is kept.
    """
    result, filled, notes = container, dict[str, Any](), list[tuple[NoteReason, str]]()
    for rule in rules:
        for step in (_fill_lists, _fill_resources, _fill_probes):
            done = step(result, rule, now)
            result, filled = done.container, _joined(filled, done.filled)
            notes += done.notes
    return Filled(result, filled, tuple(notes))


def unfill(container: Json, filled: Json, author: Author) -> Json:
    """Return the container without what we filled and its author neither changed nor wrote."""
    result = dict(container)
    for field, key in _LISTS.items():
        if field in filled and field in result:
            _put(result, field, _without(result, field, filled[field], key, author))
    if "resources" in filled and "resources" in result:
        result["resources"] = _own_resources(result, filled["resources"], author)
    for probe in PROBES:
        if probe in filled and probe in result:
            _put(result, probe, _own_probe(result, probe, filled[probe], author))
    return result


def _put(container: Json, field: str, value: Any) -> None:
    """Set a field of our own copy; the API server stores no empty list or probe."""
    if value:
        container[field] = value
    else:
        del container[field]


def _joined(first: Json, second: Json) -> Json:
    """Join what two rules filled: lists add up, resources key by key, probes stand alone."""
    result = dict(first)
    for field, value in second.items():
        match value, result.get(field):
            case list(), list() as there:
                result[field] = [*there, *value]
            case dict(), dict() as there:
                result[field] = _joined(there, value)
            case _:
                result[field] = value
    return result


def _fill_lists(container: Json, rule: Fill, now: Json) -> Filled:
    filled: Json = {}
    notes: list[tuple[NoteReason, str]] = []
    result = dict(container)
    for field, key in _LISTS.items():
        there = {item[key] for item in result.get(field, ())}
        added = [item for item in getattr(rule, field) if item[key] not in there]
        if field == "volumeMounts":
            notes += [_path_taken(container, item) for item in rule.volumeMounts if _is_taken(container, item)]
        if added:
            stored = {item[key]: item for item in now.get(field, ())}
            result[field] = [*result.get(field, ()), *(_as_stored(item, stored.get(item[key])) for item in added)]
            filled[field] = added
    return Filled(result, filled, tuple(notes))


def _as_stored(item: Json, stored: Json | None) -> Json:
    return stored if stored is not None and merge.covers(stored, item) else item


def _is_taken(container: Json, mount: Json) -> bool:
    return any(
        own["mountPath"] == mount["mountPath"] and not merge.covers(own, mount)
        for own in container.get("volumeMounts", ())
    )


def _path_taken(container: Json, mount: Json) -> tuple[NoteReason, str]:
    return (
        NoteReason.MOUNT_PATH_TAKEN,
        f"container {container['name']} mounts another volume at {mount['mountPath']}, so {mount['name']} is not"
        " mounted there: give the policy another mountPath",
    )


def _fill_resources(container: Json, rule: Fill, now: Json) -> Filled:
    del now
    own = container.get("resources") or {}
    requests, limits = dict(own.get("requests") or {}), dict(own.get("limits") or {})
    filled: Json = {}
    notes = []
    for name, amount in (rule.resources.get("requests") or {}).items():
        if name not in requests:
            requests[name] = _at_most(name, amount, limits.get(name))
            filled.setdefault("requests", {})[name] = requests[name]
    for name, amount in (rule.resources.get("limits") or {}).items():
        if name in limits:
            continue
        if name not in requests:
            notes.append(_no_request(container, name))
            continue
        limits[name] = _at_least(name, amount, requests[name])
        filled.setdefault("limits", {})[name] = limits[name]
    if not filled:
        return Filled(container, {}, tuple(notes))
    resources = {**own, **({"limits": limits} if limits else {}), **({"requests": requests} if requests else {})}
    return Filled({**container, "resources": resources}, {"resources": filled}, tuple(notes))


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


def _fill_probes(container: Json, rule: Fill, now: Json) -> Filled:
    del now
    result, filled, notes = dict(container), dict[str, Any](), []
    for name in PROBES:
        asked: Json | None = getattr(rule, name)
        if not asked or name in container:
            continue
        if not _is_declared(container, asked):
            notes.append(_no_port(container, name))
            continue
        result[name] = filled[name] = canonical.probe(asked)
    return Filled(result, filled, tuple(notes))


def _is_declared(container: Json, probe: Json) -> bool:
    """A named port resolves only inside its own container (pkg/probe/util.go); a wrong one restarts the app for ever."""
    handler = next((probe[name] for name in _HANDLERS if name in probe), {})
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


def _without(container: Json, field: str, ours: list[Json], key: str, author: Author) -> list[Json]:
    filled = {item[key]: item for item in ours}

    def is_ours(item: Json) -> bool:
        name = item[key]
        if name not in filled or not merge.covers(item, filled[name]):
            return False
        return not author.wrote(container["name"], field, name)

    return [item for item in container[field] if not is_ours(item)]


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
    current, filled = canonical.probe(container[name]), canonical.probe(ours)

    def is_ours(key: str) -> bool:
        return bool(current[key] == filled.get(key)) and not author.wrote(container["name"], name, key)

    own = {key: value for key, value in container[name].items() if not is_ours(key)}
    if current == filled and all(is_ours(key) for key in filled):
        return {}
    return canonical.probe(own) if any(handler in own for handler in _HANDLERS) else container[name]
