"""Our finalizer on a policy, beside everybody else's."""

from __future__ import annotations

import pytest

from cluster.conftest import Create
from cluster.objects import Json, cron_job
from sidecarpolicy.api.names import FINALIZER
from sidecarpolicy.cluster import write
from sidecarpolicy.cluster.client import MERGE_PATCH, Client, NotFound
from sidecarpolicy.cluster.resources import path_of

OTHER = "example.com/other"


def kept() -> Json:
    """An object that the operator of this run keeps no finalizer on, as it does on a policy."""
    return cron_job()


async def set_finalizers(client: Client, body: Json, *finalizers: str) -> Json:
    patch = {"metadata": {"finalizers": list(finalizers)}}
    return await client.request("PATCH", path_of(body), body=patch, content_type=MERGE_PATCH)


@pytest.mark.parametrize("others", [pytest.param([], id="first"), pytest.param([OTHER], id="beside-another")])
async def test_added_finalizer_stands_beside_the_others(client: Client, create: Create, others: list[str]) -> None:
    body = await set_finalizers(client, await create(kept()), *others)

    added = await write.add_finalizer(client, body)

    assert added is not None
    assert added["metadata"]["finalizers"] == [*others, FINALIZER]
    await set_finalizers(client, body)


async def test_finalizer_is_added_once(client: Client, create: Create) -> None:
    added = await write.add_finalizer(client, await create(kept()))
    assert added is not None

    assert await write.add_finalizer(client, added) is added
    await set_finalizers(client, added)


async def test_finalizers_added_and_removed_meanwhile_are_kept(client: Client, create: Create) -> None:
    seen = await write.add_finalizer(client, await create(kept()))
    assert seen is not None
    await set_finalizers(client, seen, FINALIZER, OTHER)

    removed = await write.remove_finalizer(client, seen)

    assert removed is not None
    assert removed["metadata"]["finalizers"] == [OTHER]
    await set_finalizers(client, seen)


async def test_a_deleted_policy_stays_until_ours_is_removed(client: Client, create: Create) -> None:
    body = await write.add_finalizer(client, await create(kept()))
    assert body is not None
    deleting = await client.request("DELETE", path_of(body))
    assert "deletionTimestamp" in deleting["metadata"]

    await write.remove_finalizer(client, body)

    with pytest.raises(NotFound):
        await client.request("GET", path_of(body))


async def test_a_policy_made_again_is_not_its_predecessor(client: Client, create: Create) -> None:
    first = await create(kept())
    await client.request("DELETE", path_of(first))
    second = await create(kept())

    assert await write.add_finalizer(client, first) is None
    assert "finalizers" not in (await client.request("GET", path_of(second)))["metadata"]


async def test_a_policy_that_is_gone_needs_no_finalizer(client: Client, create: Create) -> None:
    body = await create(kept())
    await client.request("DELETE", path_of(body))

    assert await write.add_finalizer(client, body) is None
