"""The record: what every policy added to one workload, kept in its annotation so that it can be taken away exactly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sidecarpolicy.api import quantity
from sidecarpolicy.api.policy import LISTS, PROBES, Json


@dataclass(frozen=True, slots=True)
class Part:
    """What one policy added to one template."""

    revision: str
    init_containers: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    converted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The names that stood before each converted container in `containers`."""
    fills: Mapping[str, Json] = field(default_factory=dict)
    """Per container of the app: volumeMounts, env, resources and probes as we filled them."""
    keep: bool = False
    """It is the author's once the policy is gone; a `rollout undo` brings the record back that was taken away then."""

    @property
    def is_empty(self) -> bool:
        """Nothing was added: the workload had everything the policy asks for."""
        return not (self.init_containers or self.volumes or self.converted or self.fills)

    def same_work(self, other: Part | None) -> bool:
        """Tell whether both added the same, whatever revision asked for it."""
        return other is not None and replace(other, revision=self.revision) == self


@dataclass(frozen=True, slots=True)
class Record:
    """Every policy's part, and the template annotation that it was written with."""

    marker: str
    parts: Mapping[str, Part]
    """By PolicyRef.key, in the order of the policies."""

    def without(self, keys: frozenset[str]) -> Record:
        """Return the record without the parts of some policies, which stay in the template as the author's."""
        return replace(self, parts={key: part for key, part in self.parts.items() if key not in keys})

    def same_work(self, other: Record | None) -> bool:
        """Tell whether both say of the same template that the same was added, whatever revisions asked for it."""
        return (
            other is not None
            and other.marker == self.marker
            and other.parts.keys() == self.parts.keys()
            and all(part.same_work(other.parts[key]) for key, part in self.parts.items())
        )


NOTHING = Record(marker="", parts={})


def parse(text: str | None) -> Record | None:
    """Return the record that an annotation holds; None if there is none or somebody broke it."""
    if not text:
        return None
    try:
        data = json.loads(text)
        return Record(_text(data["revision"]), {key: _part(value) for key, value in data["policies"].items()})
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def dump(record: Record) -> str:
    """Return the annotation's text."""
    parts = {key: _plain(part) for key, part in record.parts.items()}
    return json.dumps({"revision": record.marker, "policies": parts}, separators=(",", ":"))


def _part(data: Json) -> Part:
    return Part(
        revision=_text(data["revision"]),
        init_containers=_texts(data.get("initContainers", [])),
        volumes=_texts(data.get("volumes", [])),
        converted={name: _texts(before) for name, before in data.get("converted", {}).items()},
        fills={name: _filled(filled) for name, filled in data.get("containers", {}).items()},
        keep=data.get("keep", False) is True,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(value)
    return tuple(_text(item) for item in value)


def _filled(filled: Json) -> Json:
    """Return what was filled of one container if it is all there: anybody may edit an annotation."""
    for name, key in LISTS.items():
        for item in filled.get(name, []):
            _text(item[key])
    for amounts in filled.get("resources", {}).values():
        for amount in amounts.values():
            quantity.parse(amount)
    for probe in PROBES:
        filled.get(probe, {}).items()
    return filled


def _plain(part: Part) -> dict[str, Any]:
    data = {
        "revision": part.revision,
        "initContainers": list(part.init_containers),
        "volumes": list(part.volumes),
        "converted": {name: list(before) for name, before in part.converted.items()},
        "containers": dict(part.fills),
        "keep": part.keep,
    }
    return {key: value for key, value in data.items() if value}
