"""How a value of ours meets the one that is there: ours wins field by field, what others set beside it stays.

Ours is canonical, see `planning.canonical`: it says nothing that the API server would not store.
"""

from __future__ import annotations

from typing import Any

from sidecarpolicy.api.policy import Json

_KEYS = {
    "env": ("name",),
    "volumeMounts": ("mountPath",),
    "ports": ("containerPort", "protocol"),
    "volumeDevices": ("devicePath",),
    "claims": ("name",),
}
"""List-map keys of core/v1; every other list is atomic."""

_ONE_OF = (
    frozenset({"exec", "httpGet", "tcpSocket", "grpc", "sleep"}),
    frozenset({"value", "valueFrom"}),
    frozenset({"fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"}),
)
"""Fields of which core/v1 allows one: where ours is given, another's beside it would be refused."""
_RIVALS = {name: group for group in _ONE_OF for name in group}


def merged(current: Any, ours: Any, previous: Any, field: str = "") -> Any:
    """Return `current` brought to what `ours` says; fields that only `previous`, ours of before, said are gone."""
    if current == ours:
        return current
    if isinstance(current, dict) and isinstance(ours, dict):
        return _merged_map(current, ours, previous if isinstance(previous, dict) else {})
    if isinstance(current, list) and isinstance(ours, list):
        return _merged_list(current, ours, previous if isinstance(previous, list) else [], _KEYS.get(field))
    return ours


def covers(current: Any, ours: Any, field: str = "") -> bool:
    """Tell whether `current` says everything that `ours` says."""
    return bool(merged(current, ours, ours, field) == current)


def merged_volume(current: Json, ours: Json, previous: Json | None) -> Json:
    """Return the volume brought to ours; a volume of another source is replaced, since it can have only one."""
    if set(ours) <= set(current):
        return dict(merged(current, ours, previous or ours))
    return ours


def same_order(current: list[Json], wanted: list[Json], key: str) -> list[Json]:
    """Return `wanted` in the order of `current` where both hold the same keys: order alone is no reason to restart."""
    places = {item[key]: index for index, item in enumerate(current)}
    if len(current) != len(wanted) or any(item[key] not in places for item in wanted):
        return wanted
    return sorted(wanted, key=lambda item: places[item[key]])


def with_list(spec: Json, field: str, items: list[Json]) -> Json:
    """Return the pod spec with a list in it; the API server stores no empty one."""
    if items:
        return {**spec, field: items}
    return {key: value for key, value in spec.items() if key != field}


def _merged_map(current: Json, ours: Json, previous: Json) -> Json:
    rivals = {rival for name in ours.keys() & _RIVALS.keys() for rival in _RIVALS[name] - ours.keys()}
    result = {
        name: value for name, value in current.items() if name in ours or (name not in previous and name not in rivals)
    }
    for name, value in ours.items():
        result[name] = merged(current[name], value, previous.get(name), name) if name in current else value
    return result


def _merged_list(current: list[Any], ours: list[Any], previous: list[Any], keys: tuple[str, ...] | None) -> list[Any]:
    if keys is None:
        if len(current) != len(ours):
            return ours
        before_each = previous if len(previous) == len(ours) else ours
        return [merged(*items) for items in zip(current, ours, before_each, strict=True)]
    there = {_key(item, keys): item for item in current}
    before = {_key(item, keys): item for item in previous}
    wanted = {
        _key(item, keys): merged(there.get(_key(item, keys)), item, before.get(_key(item, keys))) for item in ours
    }
    others = {key: item for key, item in there.items() if key not in wanted and key not in before}
    if [key for key in there if key in wanted] == list(wanted):
        return [wanted.get(key, item) for key, item in there.items() if key in wanted or key in others]
    return [*wanted.values(), *others.values()]


def _key(item: Json, keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(item.get(key, "TCP" if key == "protocol" else None) for key in keys)
