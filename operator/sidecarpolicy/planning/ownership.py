"""Which fields of a workload we own in managedFields, and which of them we give back to its author.

A field that we own makes the author's own server-side apply of another value fail with a conflict. So we stay the owner
of whole list items that we added (sidecars, volumes, mounts, variables), and of no leaf in the author's containers.

A container that we convert or restore leaves the fields of everybody who applied it. They get their claims on it back:
later, that a claim is gone tells that its author removed the container for good.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from sidecarpolicy.api.names import FIELD_MANAGER
from sidecarpolicy.api.policy import Json
from sidecarpolicy.planning.authorship import AWAITED
from sidecarpolicy.planning.workload import KINDS, container_names, reach, template_of

_OWNED_LISTS = ("f:env", "f:volumeMounts")
_IDENTITY = ("manager", "operation", "time", "subresource")
_CLIENT_SIDE = "kubectl-client-side-apply"
_Path = tuple[str, ...]


def trimmed_claims(body: Json, before: Json | None = None) -> list[Json] | None:
    """Return the guarded JSON Patch that gives claims back, in an object that we have written to as it was `before`.

    None if there are none to give back.
    """
    metadata = body["metadata"]
    path = _spec_path(body)
    entries = metadata.get("managedFields", [])
    applied = dict(_applied(body, before, path))
    # Who applies a container says what it runs; one who claims only its resources could not remove it.
    containers = [reach(fields, (*path, "f:containers")) or {} for fields in applied.values()]
    claimed = {key for each in containers for key, claim in each.items() if "f:image" in claim}
    changes: list[Json] = []
    for index, entry in enumerate(entries):
        fields = entry.get("fieldsV1", {})
        wanted = _trim(fields, path, claimed) if _is_of(entry, FIELD_MANAGER) else applied.get(index, fields)
        if wanted != fields:
            changes += _replace(index, entry, wanted)
    return [_test("/metadata/uid", metadata["uid"]), *changes] if changes else None


def unmoved_claims(body: Json, moved: Collection[str]) -> Iterator[Json]:
    """Yield the JSON Patch that drops what a client-side apply claims of containers that its own request has moved.

    The API server notes the claims before admission changes the object: they are on fields that are not there, and
    would conflict when the same manifest is applied server-side. Those of others are kept, since they alone tell that
    somebody's manifest lists the container; of this one the last-applied annotation tells.
    """
    path = (*_spec_path(body), "f:containers")
    keys = {_key(name) for name in moved}
    for index, entry in enumerate(body["metadata"].get("managedFields") or ()):
        fields = entry.get("fieldsV1") or {}
        claimed = (reach(fields, path) or {}) if _is_of(entry, _CLIENT_SIDE) else {}
        if keys.intersection(claimed):
            kept = {key: claim for key, claim in claimed.items() if key not in keys}
            yield _set_fields(index, _put(fields, path, kept))


def _is_of(entry: Json, manager: str) -> bool:
    """Tell whether an entry holds what a manager claims by writing, not by server-side apply."""
    return entry.get("manager") == manager and entry.get("operation") == "Update" and not entry.get("subresource")


def _replace(index: int, entry: Json, fields: Json) -> list[Json]:
    # The list has no keys, its order moves with every other writer, and two applies of a second have the same time.
    return [_test(f"/metadata/managedFields/{index}", entry), _set_fields(index, fields)]


def _set_fields(index: int, fields: Json) -> Json:
    return {"op": "replace", "path": f"/metadata/managedFields/{index}/fieldsV1", "value": fields}


def _test(path: str, value: Any) -> Json:
    return {"op": "test", "path": path, "value": value}


def _trim(fields: Json, path: _Path, claimed: set[str]) -> Json:
    """Return our fields without leaves in the author's containers."""
    spec = reach(fields, path) or {}
    fields = _put(fields, (*path, "f:containers"), _our_items(spec.get("f:containers", {})))
    return _put(fields, (*path, "f:initContainers"), _awaiting(spec.get("f:initContainers", {}), claimed))


def _put(fields: Json, path: _Path, value: Json) -> Json:
    head, *rest = path
    inner = _put(fields.get(head, {}), tuple(rest), value) if rest else value
    others = {key: owned for key, owned in fields.items() if key != head}
    # An empty set would claim the field itself.
    return {**others, head: inner} if inner else others


def _our_items(containers: Json) -> Json:
    # One that is ours as a whole was converted and came back: all in it is its author's.
    kept = {name: _our_lists(container) for name, container in containers.items() if "." not in container}
    return {name: lists for name, lists in kept.items() if lists}


def _our_lists(container: Json) -> Json:
    lists = {name: _whole_items(container[name]) for name in _OWNED_LISTS if name in container}
    return {name: items for name, items in lists.items() if items}


def _whole_items(items: Json) -> Json:
    return {key: leaves for key, leaves in items.items() if key.startswith("k:") and "." in leaves}


def _awaiting(sidecars: Json, claimed: set[str]) -> Json:
    """Return our sidecars, those that their appliers claim as converted containers marked as no longer awaited."""
    return {
        name: {leaf: owned for leaf, owned in leaves.items() if leaf != f"f:{AWAITED}"} if name in claimed else leaves
        for name, leaves in sidecars.items()
    }


def _applied(body: Json, before: Json | None, path: _Path) -> Iterator[tuple[int, Json]]:
    """Yield the place and the fields of everybody who applies, with what our write has taken from them."""
    path = (*path, "f:containers")
    moved = _containers(body) ^ _containers(before) if before else set()
    earlier = {_identity(entry): entry for entry in before["metadata"].get("managedFields", [])} if before else {}
    for index, entry in enumerate(body["metadata"].get("managedFields", [])):
        if entry.get("operation") == "Apply":
            fields = entry.get("fieldsV1", {})
            # Who has applied a change since then has said anew what they claim.
            was = reach(earlier.get(_identity(entry), {}).get("fieldsV1", {}), path) or {}
            taken = {key: claim for key, claim in was.items() if key in moved}
            yield index, _put(fields, path, {**(reach(fields, path) or {}), **taken}) if taken else fields


def _identity(entry: Json) -> tuple[Any, ...]:
    return tuple(entry.get(key) for key in _IDENTITY)


def _containers(body: Json) -> set[str]:
    return {_key(name) for name in container_names(template_of(body)["spec"])}


def _spec_path(body: Json) -> _Path:
    return tuple(f"f:{step}" for step in (*KINDS[body["kind"]].template, "spec"))


def _key(name: str) -> str:
    return f'k:{{"name":"{name}"}}'
