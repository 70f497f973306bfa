"""Earlier contents of a policy: kept while they may be needed, gone with the policy."""

from __future__ import annotations

import asyncio

import pytest

from cluster.conftest import Create
from cluster.objects import Json, deployment, policy
from sidecarpolicy.api import names
from sidecarpolicy.cluster.client import MERGE_PATCH, Client
from sidecarpolicy.cluster.resources import RESOURCES, path_of
from sidecarpolicy.cluster.revisions import KEPT, prune_revisions, revisions, save_revision

pytestmark = pytest.mark.usefixtures("policies")


def owning() -> Json:
    """An owner that the operator of this run keeps no revisions of, as it does of a policy."""
    return deployment()


async def kept(client: Client, owner: Json) -> dict[str, Json]:
    found = await revisions(client, owner_uid=owner["metadata"]["uid"])
    return {item["metadata"]["name"]: item["data"] for item in found}


async def until_nothing_is_kept(client: Client, namespace: str) -> None:
    while await revisions(client, namespace=namespace):  # noqa: ASYNC110 - nobody can tell us
        await asyncio.sleep(0.1)


async def test_saved_revision_keeps_the_policys_content(client: Client, create: Create, namespace: str) -> None:
    owner = await create(owning())

    await save_revision(client, owner, namespace, "abc", owner["spec"])

    assert await kept(client, owner) == {"web-abc": owner["spec"]}


async def test_saving_it_again_changes_nothing(client: Client, create: Create, namespace: str) -> None:
    owner = await create(owning())
    await save_revision(client, owner, namespace, "abc", owner["spec"])
    before = await revisions(client, namespace=namespace)

    await save_revision(client, owner, namespace, "abc", owner["spec"])

    assert await revisions(client, namespace=namespace) == before


async def test_revisions_of_one_policy_are_not_anothers(client: Client, create: Create, namespace: str) -> None:
    one, other = await create(deployment("one")), await create(deployment("other"))
    await save_revision(client, one, namespace, "a", {"is": "one"})
    await save_revision(client, other, namespace, "a", {"is": "other"})

    assert await kept(client, one) == {"one-a": {"is": "one"}}
    assert {"one-a", "other-a"} <= {item["metadata"]["name"] for item in await revisions(client)}


async def test_revisions_are_collected_with_their_policy(client: Client, create: Create, namespace: str) -> None:
    owner = await create(owning())
    await save_revision(client, owner, namespace, "abc", {"a": 1})

    await client.request("DELETE", path_of(owner))

    async with asyncio.timeout(60):
        await until_nothing_is_kept(client, namespace)


async def test_revisions_of_a_cluster_wide_policy_are_collected_with_it(client: Client, namespace: str) -> None:
    body = policy(f"everywhere-{namespace}", names.CLUSTER_POLICY_KIND)
    owner = await client.request("POST", RESOURCES[names.CLUSTER_POLICY_KIND].path(), body=body)
    await save_revision(client, owner, namespace, "abc", {"a": 1})
    assert (await kept(client, owner))[f"everywhere-{namespace}-abc"] == {"a": 1}

    await client.request("DELETE", path_of(owner))

    async with asyncio.timeout(60):
        await until_nothing_is_kept(client, namespace)


async def test_a_policy_made_again_is_not_left_with_its_predecessors(
    client: Client, create: Create, namespace: str
) -> None:
    first = await create(owning())
    await save_revision(client, first, namespace, "abc", {"a": 1})
    # Let go first, so that the garbage collector does not come in between.
    [item] = await revisions(client, namespace=namespace)
    orphan = {"metadata": {"ownerReferences": None}}
    await client.request("PATCH", path_of(item), body=orphan, content_type=MERGE_PATCH)
    await client.request("DELETE", path_of(first))
    second = await create(owning())

    await save_revision(client, second, namespace, "abc", {"a": 1})

    [item] = await revisions(client, owner_uid=second["metadata"]["uid"])
    assert [owner["uid"] for owner in item["metadata"]["ownerReferences"]] == [second["metadata"]["uid"]]


async def test_the_oldest_are_pruned_but_none_in_use(client: Client, create: Create, namespace: str) -> None:
    owner = await create(owning())
    for generation in range(KEPT + 3):
        at = {**owner, "metadata": {**owner["metadata"], "generation": generation + 1}}
        await save_revision(client, at, namespace, f"r{generation}", {"a": generation})

    await prune_revisions(client, owner, namespace, in_use={"r1"})

    pruned = {f"web-r{generation}" for generation in (0, 2)}
    assert set(await kept(client, owner)) == {f"web-r{n}" for n in range(KEPT + 3)} - pruned
