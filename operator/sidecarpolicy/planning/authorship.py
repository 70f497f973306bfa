"""What the author of a workload wrote, as far as it can be told from outside the template.

A value that the author set to exactly ours looks like ours. Client-side apply leaves the author's manifest in an
annotation; server-side apply leaves the author's fields in managedFields. Updates are no evidence: a `rollout undo`
brings values of ours back under kubectl's name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from sidecarpolicy.api import names
from sidecarpolicy.api.policy import Json
from sidecarpolicy.planning.workload import reach

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

AWAITED = "terminationMessagePath"
"""The field of a converted container that we own only as long as its appliers have not got back their claims on it.

Our conversion takes the container out of everybody's fields, which looks as if its author had removed it. Every
container has this field, the API server sets it again wherever it is lost, and our later writes leave it alone.
"""


class Author:
    """Evidence of the author's own writing; read lazily, since most looks at a workload need none."""

    def __init__(self, body: Json, template_path: tuple[str, ...]) -> None:
        self._body = body
        self._metadata: Json = body.get("metadata") or {}
        self._path = (*template_path, "spec")

    def wrote(self, container: str, *path: str) -> bool:
        """Tell whether the author gives this field of an own container."""
        steps = ("containers", container, *path)
        return _holds(self._manifest, steps) or any(_owns(owned, steps) for owned in self._applied)

    def lists(self, section: str, name: str) -> bool:
        """Tell whether the author's manifest has an item under `initContainers` or `volumes`."""
        return _holds(self._manifest, (section, name)) or any(_owns(owned, (section, name)) for owned in self._applied)

    def removed(self, container: str) -> bool:
        """Tell whether the author's manifest no longer has a container that it had; False without evidence."""
        listed = list(self._listed(container))
        return bool(listed) and not any(listed)

    def _listed(self, container: str) -> Iterator[bool]:
        """Yield what every whole manifest that is known of says."""
        if isinstance(self._manifest.get("containers"), list):
            yield _holds(self._manifest, ("containers", container))
        present = [one["name"] for one in (reach(self._body, self._path) or {}).get("containers", ())]
        # Somebody's update, as by `kubectl replace`, takes what it lists from those who applied it.
        is_claimed = any(self._owns(entry, "containers", container) for entry in self._others)
        for entry in self._applications:
            # Who applies but some fields of some containers says nothing of the others.
            is_whole = all(self._owns(entry, "containers", name, "image") for name in present)
            if is_whole and (is_claimed or not self._is_awaited(container)):
                yield is_claimed

    def _is_awaited(self, container: str) -> bool:
        """Tell whether its appliers have yet to get back the claims that our own conversion took from them."""
        ours = (entry for entry in self._entries if entry.get("manager") == names.FIELD_MANAGER)
        return any(self._owns(entry, "initContainers", container, AWAITED) for entry in ours)

    @cached_property
    def _manifest(self) -> Json:
        """The pod spec that was last applied client-side."""
        text = (self._metadata.get("annotations") or {}).get(_LAST_APPLIED)
        try:
            spec = reach(json.loads(text), self._path) if text else None
        except (ValueError, AttributeError):
            return {}
        return spec if isinstance(spec, dict) else {}

    @cached_property
    def _applied(self) -> list[Json]:
        """The fields of the pod spec that others own by server-side apply."""
        return [fields for entry in self._applications if (fields := self._owned(entry))]

    @property
    def _applications(self) -> Iterator[Json]:
        """Of everybody else who uses server-side apply."""
        return (entry for entry in self._others if entry.get("operation") == "Apply")

    @property
    def _others(self) -> Iterator[Json]:
        """Of everybody but us."""
        return (entry for entry in self._entries if entry.get("manager") != names.FIELD_MANAGER)

    @property
    def _entries(self) -> list[Json]:
        """Who wrote which fields."""
        return list(self._metadata.get("managedFields") or ())

    def _owned(self, entry: Json) -> Json:
        """The part of an entry that is about the pod spec."""
        path = tuple(f"f:{step}" for step in self._path)
        return reach(entry.get("fieldsV1") or {}, path) or {}

    def _owns(self, entry: Json, *path: str) -> bool:
        return _owns(self._owned(entry), path)


def _holds(value: Any, path: tuple[str, ...]) -> bool:
    """Walk a manifest; a step into a list names an item by its `name` or `mountPath`."""
    for step in path:
        match value:
            case list():
                # Anybody may edit the annotation: an item may be anything.
                items = (item for item in value if isinstance(item, dict))
                value = next((item for item in items if step in (item.get("name"), item.get("mountPath"))), None)
            case dict():
                value = value.get(step)
            case _:
                return False
    return value is not None


def _owns(owned: Json, path: tuple[str, ...]) -> bool:
    """Walk a managedFields entry, where list items are keyed by `name` or `mountPath`."""
    for step in path:
        keys = (f"f:{step}", f'k:{{"name":"{step}"}}', f'k:{{"mountPath":"{step}"}}')
        found = next((owned[key] for key in keys if key in owned), None)
        if found is None:
            return False
        owned = found
    return True
