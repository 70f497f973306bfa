"""What becomes of requests whose senders are told to end, and of the leader's writes that are under way then."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest

from cluster.conftest import Create
from cluster.objects import Json, add, change, deployment
from localcluster.faults import Blackhole, Delay, Rule
from localcluster.proxy import FaultProxy
from localcluster.waiting import PATIENCE, becomes
from sidecarpolicy.cluster import read, write
from sidecarpolicy.cluster.client import Client

PATCHES = frozenset({"PATCH"})
LATE = Rule(Delay(timedelta(milliseconds=300)), methods=PATCHES)


async def given_up(client_behind: Client, proxy: FaultProxy, body: Json, *guards: Json) -> None:
    """Send a write, and cancel its sender once the proxy has heard it."""
    sender = asyncio.create_task(write.apply(client_behind, change(body, *guards, add("/spec/paused", True))))
    await becomes(lambda: proxy.seen)
    sender.cancel()
    await asyncio.wait([sender])
    assert sender.cancelled()


async def test_a_write_under_way_is_waited_for(
    client_behind: Client, proxy: FaultProxy, client: Client, create: Create
) -> None:
    body = await create(deployment())
    proxy.use(LATE)
    await given_up(client_behind, proxy, body)
    await client_behind.finish(PATIENCE)

    found = await read.get(client, change(body).ref)
    assert found is not None
    assert found["spec"]["paused"] is True


async def test_a_write_that_is_not_answered_is_cut(client_behind: Client, proxy: FaultProxy, create: Create) -> None:
    body = await create(deployment())
    proxy.use(Rule(Blackhole(), methods=PATCHES))
    await given_up(client_behind, proxy, body)
    async with asyncio.timeout(PATIENCE):
        await client_behind.finish(0.01)
        # Nothing is left to wait for.
        await client_behind.finish(PATIENCE * 2)


async def test_a_refusal_that_nobody_waits_for_is_no_complaint(
    client_behind: Client, proxy: FaultProxy, create: Create, caplog: pytest.LogCaptureFixture
) -> None:
    body = await create(deployment())
    proxy.use(LATE)
    await given_up(client_behind, proxy, body, {"op": "test", "path": "/kind", "value": "Pod"})
    await client_behind.finish(PATIENCE)

    assert caplog.messages == []


@pytest.mark.parametrize("later", [-0.02, 0.02], ids=["before-its-timeout", "after-its-timeout"])
async def test_a_cancellation_in_the_turn_of_a_timeout_is_not_taken_for_it(
    client_behind: Client, proxy: FaultProxy, namespace: str, later: float
) -> None:
    proxy.use(Rule(Blackhole()))
    loop, timeout = asyncio.get_running_loop(), 1.0
    begun = loop.time()
    path = f"/api/v1/namespaces/{namespace}/pods"
    asked = asyncio.create_task(client_behind.request("GET", path, timeout=timeout, attempts=1))
    await becomes(lambda: proxy.seen)
    loop.call_at(begun + timeout + later, asked.cancel)
    # After it both are due.
    time.sleep(timeout + 0.1)  # noqa: ASYNC251 - nothing of the process gets a turn
    await asyncio.wait([asked])

    assert asked.cancelled()
