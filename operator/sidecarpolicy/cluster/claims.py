"""Which fields of a workload we own in managedFields, and which of them we give back to its author.

A field that we own makes the author's own server-side apply of another value fail with a conflict. So we stay the owner
of whole list items that we added (sidecars, volumes, mounts, variables), and of no leaf in the author's containers.
"""

from __future__ import annotations

from typing import Any

from sidecarpolicy.api.names import FIELD_MANAGER
from sidecarpolicy.api.policy import Json
from sidecarpolicy.planning.workload import KINDS

_OWNED_LISTS = ("f:env", "f:volumeMounts")


def trimmed_claims(body: Json) -> list[Json] | None:
    """Return the guarded JSON Patch that gives our claims on the author's fields back; None if we make none."""
    metadata = body["metadata"]
    path = tuple(f"f:{step}" for step in (*KINDS[body["kind"]].template, "spec", "containers"))
    changes: list[Json] = []
    for index, entry in enumerate(metadata.get("managedFields", [])):
        if _is_ours(entry):
            fields = entry.get("fieldsV1", {})
            trimmed = _trim(fields, path)
            if trimmed != fields:
                changes += _replace(index, entry, trimmed)
    return [_test("/metadata/uid", metadata["uid"]), *changes] if changes else None


def _is_ours(entry: Json) -> bool:
    return entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Update" and not entry.get("subresource")


def _replace(index: int, entry: Json, fields: Json) -> list[Json]:
    pointer = f"/metadata/managedFields/{index}"
    # The list has no keys: its order moves with every other writer.
    guards = [_test(f"{pointer}/{key}", entry[key]) for key in ("manager", "operation", "time") if key in entry]
    return [*guards, {"op": "replace", "path": f"{pointer}/fieldsV1", "value": fields}]


def _test(path: str, value: Any) -> Json:
    return {"op": "test", "path": path, "value": value}


def _trim(fields: Json, path: tuple[str, ...]) -> Json:
    head, *rest = path
    if head not in fields:
        return fields
    inner = _trim(fields[head], tuple(rest)) if rest else _our_items(fields[head])
    others = {key: value for key, value in fields.items() if key != head}
    # An empty set would claim the field itself.
    return {**others, head: inner} if inner else others


def _our_items(containers: Json) -> Json:
    kept = {name: _our_lists(container) for name, container in containers.items()}
    return {name: lists for name, lists in kept.items() if lists}


def _our_lists(container: Json) -> Json:
    lists = {name: _whole_items(container[name]) for name in _OWNED_LISTS if name in container}
    return {name: items for name, items in lists.items() if items}


def _whole_items(items: Json) -> Json:
    return {key: leaves for key, leaves in items.items() if key.startswith("k:") and "." in leaves}
