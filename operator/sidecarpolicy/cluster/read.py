"""What we ask the API server."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator

from sidecarpolicy.api import names
from sidecarpolicy.api.policy import Json
from sidecarpolicy.cluster.client import Client, Expired, NotFound
from sidecarpolicy.cluster.resources import RESOURCES, Right, rights
from sidecarpolicy.planning.workload import Ref

PAGE = 50
"""Parsed objects are ten times their text: with pages of 500 the first look alone takes 50 MiB, with these 6."""

_RESTARTS = 3
_QUESTIONS = 4


async def pages(
    client: Client, kind: str, *, namespace: str | None = None, selector: str | None = None, size: int = PAGE
) -> AsyncIterator[list[Json]]:
    """List in pages; where the list grew too old between two of them it starts over, and items come again."""
    restarts = 0
    token: str | None = ""
    while token is not None:
        try:
            items, token = await _page(client, kind, namespace, selector, size, token)
        except Expired:
            if restarts == _RESTARTS:
                raise
            restarts, token = restarts + 1, ""
            continue
        yield items


async def _page(
    client: Client, kind: str, namespace: str | None, selector: str | None, size: int, token: str
) -> tuple[list[Json], str | None]:
    resource = RESOURCES[kind]
    query = {"limit": str(size), "labelSelector": selector or "", "continue": token}
    answer = await client.request(
        "GET", resource.path(namespace), query={key: value for key, value in query.items() if value}
    )
    # Items of a list do not say what they are.
    items = [{"apiVersion": resource.api_version, "kind": kind, **item} for item in answer["items"]]
    return items, answer["metadata"].get("continue") or None


async def get(client: Client, ref: Ref) -> Json | None:
    """Return one workload, or None if there is none."""
    try:
        return await client.request("GET", RESOURCES[ref.kind].path(ref.namespace, ref.name))
    except NotFound:
        return None


async def policies(client: Client) -> list[Json]:
    """Return all policies of both kinds; raises NotFound where they are not installed."""
    kinds = (names.POLICY_KIND, names.CLUSTER_POLICY_KIND)
    return [item for kind in kinds async for page in pages(client, kind) for item in page]


async def namespaces(client: Client) -> list[Json]:
    """Return all namespaces."""
    return [item async for page in pages(client, "Namespace") for item in page]


async def pods(client: Client, namespace: str, selector: str, limit: int) -> list[Json]:
    """Return some pods of a workload: a look, not a census."""
    items, _ = await _page(client, "Pod", namespace, selector, limit, "")
    return items


async def version(client: Client) -> tuple[int, int]:
    """Return the API server's version, such as (1, 36)."""
    answer = await client.request("GET", "/version")
    # Some providers say "30+".
    major, minor = (int(re.sub(r"\D.*", "", answer[part]) or 0) for part in ("major", "minor"))
    return major, minor


async def missing_permissions(client: Client, own: str) -> list[str]:
    """Return what we may not do but need to, each as `verb resource.group`; `own` is the operator's namespace."""
    # Some at a time: as many connections at once cost memory that is never needed again.
    room = asyncio.Semaphore(_QUESTIONS)

    async def is_missing(namespace: str, right: Right, verb: str) -> bool:
        async with room:
            return not await _can_i(client, namespace, right, verb)

    asked = [
        (namespace, right, verb)
        for namespace in ("", own)
        for right, verbs in rights(own=bool(namespace)).items()
        for verb in sorted(verbs)
    ]
    missing = await asyncio.gather(*(is_missing(*one) for one in asked))
    return [_said(verb, right) for _, right, verb in itertools.compress(asked, missing)]


def _said(verb: str, right: Right) -> str:
    return f"{verb} {right.resource}.{right.group}".rstrip(".")


async def _can_i(client: Client, namespace: str, right: Right, verb: str) -> bool:
    plural, _, subresource = right.resource.partition("/")
    asked = {"verb": verb, "group": right.group, "resource": plural, "subresource": subresource}
    asked |= {"namespace": namespace, "name": right.name}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer = await client.request("POST", path, body=body, by_leader_only=False)
    return bool(answer["status"]["allowed"])
