"""The record: what every policy added to one workload, kept in its annotation so that it can be taken away exactly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sidecarpolicy.api.policy import Json


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


NOTHING = Record(marker="", parts={})


def parse(text: str | None) -> Record | None:
    """Return the record that an annotation holds; None if there is none or somebody broke it."""
    if not text:
        return None
    try:
        data = json.loads(text)
        return Record(data["revision"], {key: _part(value) for key, value in data["policies"].items()})
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def dump(record: Record) -> str:
    """Return the annotation's text."""
    parts = {key: _plain(part) for key, part in record.parts.items()}
    return json.dumps({"revision": record.marker, "policies": parts}, separators=(",", ":"))


def _part(data: Json) -> Part:
    return Part(
        revision=data["revision"],
        init_containers=tuple(data.get("initContainers", ())),
        volumes=tuple(data.get("volumes", ())),
        converted={name: tuple(before) for name, before in data.get("converted", {}).items()},
        fills=dict(data.get("containers", {})),
    )


def _plain(part: Part) -> dict[str, Any]:
    data = {
        "revision": part.revision,
        "initContainers": list(part.init_containers),
        "volumes": list(part.volumes),
        "converted": {name: list(before) for name, before in part.converted.items()},
        "containers": dict(part.fills),
    }
    return {key: value for key, value in data.items() if value}
