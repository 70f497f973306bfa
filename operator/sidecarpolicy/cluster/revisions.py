"""Earlier contents of a policy, kept as ControllerRevisions that go with it."""

from __future__ import annotations

from collections.abc import Collection

from sidecarpolicy.api import names
from sidecarpolicy.api.policy import Json
from sidecarpolicy.cluster.client import Client, Conflict, NotFound
from sidecarpolicy.cluster.read import pages
from sidecarpolicy.cluster.resources import RESOURCES
from sidecarpolicy.cluster.write import AS_US

OWNER_LABEL = f"{names.GROUP}/policy-uid"
"""On a ControllerRevision: whose it is; a policy's name may be too long for a label."""

KEPT = 10
_LOOKS = 5


async def revisions(client: Client, *, namespace: str | None = None, owner_uid: str | None = None) -> list[Json]:
    """Return the revisions kept of one policy or of all; `data` is a policy's content then."""
    selector = f"{OWNER_LABEL}={owner_uid}" if owner_uid else OWNER_LABEL
    kind = "ControllerRevision"
    return [item async for page in pages(client, kind, namespace=namespace, selector=selector) for item in page]


async def save_revision(client: Client, owner: Json, namespace: str, revision: str, data: Json) -> None:
    """Keep a policy's content under its revision; saving it again changes nothing."""
    resource = RESOURCES["ControllerRevision"]
    body = _revision(owner, namespace, revision, data)
    for _ in range(_LOOKS):
        try:
            await client.request("POST", resource.path(namespace), query=AS_US, body=body)
        except Conflict:
            if await _is_kept(client, resource.path(namespace, body["metadata"]["name"]), body["metadata"]):
                return
        else:
            return
    raise Conflict(f"revision {body['metadata']['name']} comes and goes in {namespace}")


async def _is_kept(client: Client, path: str, wanted: Json) -> bool:
    """Tell whether the revision there is this policy's; one of a deleted policy of that name is cleared away."""
    try:
        found = await client.request("GET", path)
    except NotFound:
        return False
    if found["metadata"].get("labels") == wanted["labels"]:
        return True
    # The garbage collector is about to delete it.
    await _delete(client, found)
    return False


async def prune_revisions(client: Client, owner: Json, namespace: str, in_use: Collection[str]) -> None:
    """Delete a policy's oldest revisions beyond those kept, but none that a workload may carry."""
    owner_metadata = owner["metadata"]
    kept = await revisions(client, namespace=namespace, owner_uid=owner_metadata["uid"])
    kept.sort(key=lambda item: (item["revision"], item["metadata"]["creationTimestamp"]), reverse=True)
    names_in_use = {f"{owner_metadata['name']}-{revision}" for revision in in_use}
    for item in kept[KEPT:]:
        if item["metadata"]["name"] not in names_in_use:
            await _delete(client, item)


async def _delete(client: Client, item: Json) -> None:
    metadata = item["metadata"]
    path = RESOURCES["ControllerRevision"].path(metadata["namespace"], metadata["name"])
    try:
        await client.request("DELETE", path, body={"preconditions": {"uid": metadata["uid"]}})
    except (NotFound, Conflict):
        return  # gone already, or another's by that name


def _revision(owner: Json, namespace: str, revision: str, data: Json) -> Json:
    metadata = owner["metadata"]
    reference = {key: metadata[key] for key in ("name", "uid")}
    return {
        "apiVersion": RESOURCES["ControllerRevision"].api_version,
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{metadata['name']}-{revision}",
            "namespace": namespace,
            "labels": {OWNER_LABEL: metadata["uid"]},
            "ownerReferences": [{"apiVersion": owner["apiVersion"], "kind": owner["kind"], **reference}],
        },
        "revision": metadata.get("generation", 1),
        "data": data,
    }
