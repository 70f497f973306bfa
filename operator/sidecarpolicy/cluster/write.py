"""What we change on workloads and policies: one guarded patch each, and what came of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sidecarpolicy.api.names import FIELD_MANAGER, FINALIZER
from sidecarpolicy.api.policy import Json
from sidecarpolicy.cluster.client import JSON_PATCH, Client, Conflict, Forbidden, Invalid, NotFound, Unavailable
from sidecarpolicy.cluster.resources import RESOURCES, path_of
from sidecarpolicy.planning.ownership import trimmed_claims
from sidecarpolicy.planning.patch import Change

AS_US = {"fieldManager": FIELD_MANAGER}

_STRICT = {**AS_US, "fieldValidation": "Strict"}
"""Without it a field that this API server does not know is dropped in silence, missed at the next look, sent again."""

_GUARD_FAILED = "the server rejected our request due to an error in our request"
_WHOLE_OBJECT = re.compile(r'^.*\}": ', re.DOTALL)
"""What the API server repeats of the object before it says what is wrong with a patch of it."""

_LOOKS = 5


@dataclass(frozen=True, slots=True)
class Applied:
    """It is written; the workload as it now is."""

    body: Json


@dataclass(frozen=True, slots=True)
class Stale:
    """The workload is not what we looked at any more: look again."""


@dataclass(frozen=True, slots=True)
class Gone:
    """There is no such workload any more."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Validation, admission or authorisation refuse it, in the API server's words."""

    message: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may be written or not: read again."""

    message: str


Outcome = Applied | Stale | Gone | Refused | Unknown


async def apply(client: Client, change: Change) -> Outcome:
    """Send one workload's change."""
    path = RESOURCES[change.ref.kind].path(change.ref.namespace, change.ref.name)
    try:
        return Applied(await client.request("PATCH", path, query=_STRICT, body=change.body, content_type=JSON_PATCH))
    except NotFound:
        return Gone()
    except Conflict:
        return Stale()
    except Invalid as error:
        return Stale() if _is_guard(error) else Refused(_WHOLE_OBJECT.sub("", error.message))
    except Forbidden as error:
        return Refused(error.message)
    except Unavailable as error:
        return Unknown(error.message)


async def trim(client: Client, body: Json, before: Json | None = None) -> Json | None:
    """Give back our claims on the author's fields, and what our write to `before` took from those who apply them.

    None if there is nothing to give back, or the workload is gone. Raises Conflict where others write all the time.
    """
    current: Json | None = body
    for _ in range(_LOOKS):
        patch = trimmed_claims(current, before) if current else None
        if current is None or patch is None:
            return None
        trimmed = await guarded(client, current, patch)
        if trimmed:
            return trimmed
        # The workload's controller wrote its status: our entry stands elsewhere in the list now.
        current = await _look(client, current)
    raise Conflict("others write to it all the time")


async def add_finalizer(client: Client, policy: Json) -> Json | None:
    """Keep a policy until its workloads are restored; None if it is gone."""
    return await _set_finalizer(client, policy, wanted=True)


async def remove_finalizer(client: Client, policy: Json) -> Json | None:
    """Let a policy go; None if it is gone."""
    return await _set_finalizer(client, policy, wanted=False)


async def _set_finalizer(client: Client, policy: Json, *, wanted: bool) -> Json | None:
    for _ in range(_LOOKS):
        current = policy["metadata"].get("finalizers", [])
        if (FINALIZER in current) == wanted:
            return policy
        others = [each for each in current if each != FINALIZER]
        patched = await guarded(client, policy, _finalizers(policy, [*others, FINALIZER] if wanted else others))
        if patched:
            return patched
        looked = await _look(client, policy)
        if looked is None:
            return None
        policy = looked
    raise Conflict(f"the finalizers of {policy['kind']} {policy['metadata']['name']} change faster than we can")


def _finalizers(policy: Json, wanted: list[str]) -> list[Json]:
    metadata, path = policy["metadata"], "/metadata/finalizers"
    return [
        {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
        {"op": "test", "path": path, "value": metadata.get("finalizers")},
        {"op": "add", "path": path, "value": wanted},
    ]


async def _look(client: Client, body: Json) -> Json | None:
    try:
        found = await client.request("GET", path_of(body))
    except NotFound:
        return None
    return found if found["metadata"]["uid"] == body["metadata"]["uid"] else None


async def guarded(client: Client, body: Json, patch: list[Json]) -> Json | None:
    """Send a patch; None if a guard in it failed or the object is gone."""
    try:
        return await client.request("PATCH", path_of(body), query=AS_US, body=patch, content_type=JSON_PATCH)
    except (NotFound, Conflict):
        return None
    except Invalid as error:
        if _is_guard(error):
            return None
        raise


def _is_guard(error: Invalid) -> bool:
    # A failed `test` has no code of its own: only this text, and no word about any field.
    return error.message == _GUARD_FAILED and not error.causes
