"""What the author of a workload wrote, as far as it can be told from outside the template.

A value that the author set to exactly ours looks like ours. Client-side apply leaves the author's manifest in an
annotation; server-side apply leaves the author's fields in managedFields, which has no entry for values that a
client-side apply left as they were.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from sidecarpolicy.api import names
from sidecarpolicy.api.policy import Json

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Author:
    """Evidence of the author's own writing; read lazily, since most looks at a workload need none."""

    def __init__(self, body: Json, template_path: tuple[str, ...]) -> None:
        self._metadata: Json = body.get("metadata") or {}
        self._path = template_path

    def wrote(self, container: str, *path: str) -> bool:
        """Tell whether the author gives this field of an own container."""
        return self._applied(container, path) or self._owns(container, path)

    def lists(self, container: str) -> bool:
        """Tell whether the author's manifest still has the container under `containers`; True without evidence."""
        opinions = [opinion for opinion in (self._applied_lists(container), self._owner_lists(container)) if opinion is not None]
        return any(opinions) if opinions else True

    def lists_init(self, container: str) -> bool:
        """Tell whether the author's manifest has the container under `initContainers`."""
        init = self._last_applied.get("initContainers") or []
        return any(item.get("name") == container for item in init) or any(
            _item(owned, "f:initContainers", container) is not None for owned in self._owners(operation="Apply")
        )

    def _applied(self, container: str, path: tuple[str, ...]) -> bool:
        for item in self._last_applied.get("containers") or []:
            if item.get("name") == container:
                return _reach(item, path)
        return False

    def _owns(self, container: str, path: tuple[str, ...]) -> bool:
        for owned in self._owners(operation=None):
            item = _item(owned, "f:containers", container)
            if item is not None and _owned(item, path):
                return True
        return False

    def _applied_lists(self, container: str) -> bool | None:
        if not self._last_applied:
            return None
        return any(item.get("name") == container for item in self._last_applied.get("containers") or [])

    def _owner_lists(self, container: str) -> bool | None:
        owners = [owned for owned in self._owners(operation="Apply") if "f:containers" in owned]
        return any(_item(owned, "f:containers", container) is not None for owned in owners) if owners else None

    @cached_property
    def _last_applied(self) -> Json:
        text = (self._metadata.get("annotations") or {}).get(_LAST_APPLIED)
        try:
            spec: Any = json.loads(text) if text else {}
            for step in (*self._path, "spec"):
                spec = spec.get(step) or {}
        except (ValueError, AttributeError):
            return {}
        return spec if isinstance(spec, dict) else {}

    def _owners(self, operation: str | None) -> list[Json]:
        owners = []
        for entry in self._metadata.get("managedFields") or []:
            if entry.get("manager") == names.FIELD_MANAGER or (operation and entry.get("operation") != operation):
                continue
            owned = entry.get("fieldsV1") or {}
            for step in (*self._path, "spec"):
                owned = owned.get(f"f:{step}") or {}
            owners.append(owned)
        return owners


def _item(owned: Json, field: str, container: str) -> Json | None:
    item: Json | None = (owned.get(field) or {}).get(f'k:{{"name":"{container}"}}')
    return item


def _reach(value: Any, path: tuple[str, ...]) -> bool:
    """Walk a manifest; a step into a list names an item by its `name` or `mountPath`."""
    for step in path:
        if isinstance(value, list):
            value = next((item for item in value if step in (item.get("name"), item.get("mountPath"))), None)
        elif isinstance(value, dict):
            value = value.get(step)
        if value is None:
            return False
    return True


def _owned(owned: Json, path: tuple[str, ...]) -> bool:
    """Walk a managedFields entry, where list items are keyed by `name` or `mountPath`."""
    for step in path:
        keys = (f"f:{step}", f'k:{{"name":"{step}"}}', f'k:{{"mountPath":"{step}"}}')
        found = next((owned[key] for key in keys if key in owned), None)
        if found is None:
            return False
        owned = found
    return True
