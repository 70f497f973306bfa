"""A bad day of the API server: what is tried again, what never is, and what we say of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from cluster.conftest import Create
from cluster.objects import Json, add, change, deployment
from localcluster.faults import Answer, Blackhole, Cut, Delay, Fault, LoseAnswer, Rule
from localcluster.proxy import FaultProxy
from sidecarpolicy.cluster import read, write
from sidecarpolicy.cluster.client import Client, Unavailable, connect
from sidecarpolicy.cluster.resources import path_of
from sidecarpolicy.planning.workload import Ref

PATCHES = frozenset({"PATCH"})
READS = frozenset({"GET"})


def pause() -> Json:
    """A change that can be seen, and would not fail if it came twice."""
    return add("/spec/paused", True)


@pytest.mark.parametrize(
    ("fault", "is_written"),
    [
        pytest.param(Answer(500), False, id="500"),
        pytest.param(Answer(504), False, id="504"),
        pytest.param(Cut(), False, id="cut-before-it-was-heard"),
        pytest.param(LoseAnswer(), True, id="cut-after-it-was-done"),
    ],
)
async def test_a_write_of_unknown_end_is_sent_once(
    client: Client, client_behind: Client, proxy: FaultProxy, create: Create, fault: Fault, is_written: bool
) -> None:
    body = await create(deployment())
    rule = Rule(fault, methods=PATCHES)
    proxy.use(rule)

    outcome = await write.apply(client_behind, change(body, pause()))

    assert isinstance(outcome, write.Unknown)
    assert proxy.count(rule) == 1
    found = await read.get(client, change(body).ref)
    assert found is not None
    assert found["spec"].get("paused", False) is is_written


async def test_a_write_without_an_answer_ends_in_time(client_behind: Client, proxy: FaultProxy, create: Create) -> None:
    body = await create(deployment())
    proxy.use(Rule(Blackhole()))

    with pytest.raises(Unavailable) as caught:
        await client_behind.request("PATCH", path_of(body), body={}, timeout=0.2)

    assert caught.value.unknown


async def test_a_write_that_was_turned_away_is_sent_again(
    client_behind: Client, proxy: FaultProxy, create: Create
) -> None:
    body = await create(deployment())
    rule = Rule(Answer(429), methods=PATCHES, times=3)
    proxy.use(rule)

    outcome = await write.apply(client_behind, change(body, pause()))

    assert isinstance(outcome, write.Applied)
    assert proxy.count(rule) == 4


async def test_retry_after_is_waited_for(client_behind: Client, proxy: FaultProxy, namespace: str) -> None:
    proxy.use(Rule(Answer(429, retry_after=1), times=1))

    begun = asyncio.get_running_loop().time()
    await read.get(client_behind, Ref("Deployment", namespace, "none"))

    assert asyncio.get_running_loop().time() - begun >= 1


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Answer(429), id="429"),
        pytest.param(Answer(500), id="500"),
        pytest.param(Answer(503), id="503"),
        pytest.param(Cut(), id="cut"),
    ],
)
async def test_a_read_is_tried_again(
    client_behind: Client, proxy: FaultProxy, create: Create, namespace: str, fault: Fault
) -> None:
    await create(deployment())
    proxy.use(Rule(fault, methods=READS, times=2))

    found = await read.get(client_behind, Ref("Deployment", namespace, "web"))

    assert found is not None


async def test_a_slow_answer_is_waited_for(client_behind: Client, proxy: FaultProxy, create: Create) -> None:
    body = await create(deployment())
    proxy.use(Rule(Delay(timedelta(seconds=0.5))))

    assert isinstance(await write.apply(client_behind, change(body, pause())), write.Applied)


async def test_a_list_that_grew_too_old_starts_over(
    client_behind: Client, proxy: FaultProxy, create: Create, namespace: str
) -> None:
    for number in range(3):
        await create(deployment(f"web-{number}"))
    pages = read.pages(client_behind, "Deployment", namespace=namespace, size=2)
    first = await anext(pages)
    proxy.use(Rule(Answer(410), times=1))

    rest = [page async for page in pages]

    assert [len(page) for page in (first, *rest)] == [2, 2, 1]
    assert {item["metadata"]["name"] for page in rest for item in page} == {"web-0", "web-1", "web-2"}


async def test_a_server_that_stays_away_is_unavailable_and_nothing_happened(proxy: FaultProxy, namespace: str) -> None:
    kubeconfig = proxy.kubeconfig_for(namespace, "default")
    await proxy.__aexit__(None, None, None)
    async with connect(str(kubeconfig)) as client:
        with pytest.raises(Unavailable, match="cannot reach") as caught:
            await client.request("GET", "/version")

    assert not caught.value.unknown
