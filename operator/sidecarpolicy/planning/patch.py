"""The JSON Patch that brings a workload to the template wanted, guarded against everybody else's writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sidecarpolicy.api import names
from sidecarpolicy.api.policy import Json
from sidecarpolicy.planning.workload import KINDS, Ref, container_names

Op = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One workload to write: kept as the bytes that are sent, so that ten thousand of them stay small."""

    ref: Ref
    uid: str
    body: bytes
    """A whole JSON Patch document, its guards (`test`) first."""
    restarts: bool
    """The template changes, so the workload's pods are replaced; else only the record is brought up to date."""
    wish: int
    """What it makes of the template, or else of the record, as one number: a repeated wish has the same."""
    fills: bool
    """Values are written into containers of the author: our claim on them is given back afterwards."""
    moves: bool
    """A container of the author leaves `containers` or comes back: so do the claims of those who apply it."""


def change(ref: Ref, body: Json, template: Json, wanted: Json, record: str | None) -> Change:
    """Return the change of a workload from `template` to `wanted` and its record annotation to `record`."""
    path = "".join(f"/{step}" for step in KINDS[ref.kind].template)
    steps = list(difference(template, wanted, path))
    ops = [*_guards(body["metadata"]), *steps, *annotation(body["metadata"], record)]
    return Change(
        ref=ref,
        uid=body["metadata"]["uid"],
        body=json.dumps(ops, separators=(",", ":")).encode(),
        restarts=bool(steps),
        wish=hash(json.dumps(steps) if steps else record),
        fills=any(step["op"] != "remove" and step["path"].startswith(f"{path}/spec/containers") for step in steps),
        moves=container_names(template["spec"]) != container_names(wanted["spec"]),
    )


def _guards(metadata: Json) -> Iterator[Op]:
    """Nobody may have written what we read: generation moves with every spec; labels and opt-out do not move it."""
    yield {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]}
    yield {"op": "test", "path": "/metadata/generation", "value": metadata["generation"]}
    yield {"op": "test", "path": "/metadata/labels", "value": metadata.get("labels")}
    annotations = metadata.get("annotations")
    if annotations is None:
        # Without this another client's first annotation would be wiped by our map.
        yield {"op": "test", "path": "/metadata/annotations", "value": None}
    else:
        path = f"/metadata/annotations/{pointer(names.INJECT_ANNOTATION)}"
        yield {"op": "test", "path": path, "value": annotations.get(names.INJECT_ANNOTATION)}


def annotation(metadata: Json, record: str | None) -> Iterator[Op]:
    """Yield the step that brings the record annotation to this text, or takes it away."""
    annotations = metadata.get("annotations")
    path = f"/metadata/annotations/{pointer(names.RECORD_ANNOTATION)}"
    if record is None:
        if annotations and names.RECORD_ANNOTATION in annotations:
            yield {"op": "remove", "path": path}
    elif annotations is None:
        yield {"op": "add", "path": "/metadata/annotations", "value": {names.RECORD_ANNOTATION: record}}
    elif annotations.get(names.RECORD_ANNOTATION) != record:
        yield {"op": "add", "path": path, "value": record}


def difference(current: Any, wanted: Any, path: str) -> Iterator[Op]:
    """Yield the steps from one value to the other: maps key by key, lists of one length item by item."""
    if current == wanted:
        return
    if isinstance(current, dict) and isinstance(wanted, dict):
        for key in [key for key in current if key not in wanted]:
            yield {"op": "remove", "path": f"{path}/{pointer(key)}"}
        for key, value in wanted.items():
            if key in current:
                yield from difference(current[key], value, f"{path}/{pointer(key)}")
            else:
                yield {"op": "add", "path": f"{path}/{pointer(key)}", "value": value}
    elif _same_items(current, wanted):
        for index, (there, value) in enumerate(zip(current, wanted, strict=True)):
            yield from difference(there, value, f"{path}/{index}")
    else:
        yield {"op": "replace", "path": path, "value": wanted}


def _same_items(current: Any, wanted: Any) -> bool:
    """Both are lists of the same named items in the same order."""
    if not isinstance(current, list) or not isinstance(wanted, list) or len(current) != len(wanted):
        return False
    pairs = zip(current, wanted, strict=True)
    return all(isinstance(a, dict) and isinstance(b, dict) and a.get("name") == b.get("name") for a, b in pairs)


def pointer(key: str) -> str:
    """Escape one step of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")
