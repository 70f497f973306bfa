"""What becomes of requests whose senders are told to end, and of the leader's writes that are under way then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from cluster.conftest import Create
from cluster.objects import Json, add, change, deployment
from localcluster import LocalCluster
from localcluster.faults import Blackhole, Delay, Rule
from localcluster.proxy import FaultProxy
from localcluster.waiting import PATIENCE, becomes
from sidecarpolicy.cluster import read, write
from sidecarpolicy.cluster.client import Client, connect

PATCHES = frozenset({"PATCH"})
LATE = Rule(Delay(timedelta(milliseconds=300)), methods=PATCHES)


@pytest.fixture
async def proxy(cluster: LocalCluster) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(cluster) as running:
        yield running


@pytest.fixture
async def leader(cluster: LocalCluster, proxy: FaultProxy, namespace: str) -> AsyncIterator[Client]:
    """A client that may edit, behind the proxy."""
    account = f"--serviceaccount={namespace}:default"
    cluster.kubectl("create", "rolebinding", "edit", "--clusterrole=edit", account, f"--namespace={namespace}")
    async with connect(str(proxy.kubeconfig_for(namespace, "default"))) as connection:
        yield connection


async def given_up(leader: Client, proxy: FaultProxy, body: Json, *guards: Json) -> None:
    """Send a write, and cancel its sender once the proxy has heard it."""
    sender = asyncio.create_task(write.apply(leader, change(body, *guards, add("/spec/paused", True))))
    await becomes(lambda: proxy.seen)
    sender.cancel()
    await asyncio.wait([sender])
    assert sender.cancelled()


async def test_a_write_under_way_is_waited_for(
    leader: Client, proxy: FaultProxy, client: Client, create: Create
) -> None:
    body = await create(deployment())
    proxy.use(LATE)
    await given_up(leader, proxy, body)
    await leader.finish(PATIENCE)

    found = await read.get(client, change(body).ref)
    assert found is not None
    assert found["spec"]["paused"] is True


async def test_a_write_that_is_not_answered_is_cut(leader: Client, proxy: FaultProxy, create: Create) -> None:
    body = await create(deployment())
    proxy.use(Rule(Blackhole(), methods=PATCHES))
    await given_up(leader, proxy, body)
    async with asyncio.timeout(PATIENCE):
        await leader.finish(0.01)
        # Nothing is left to wait for.
        await leader.finish(PATIENCE * 2)


async def test_a_refusal_that_nobody_waits_for_is_no_complaint(
    leader: Client, proxy: FaultProxy, create: Create, caplog: pytest.LogCaptureFixture
) -> None:
    body = await create(deployment())
    proxy.use(LATE)
    await given_up(leader, proxy, body, {"op": "test", "path": "/kind", "value": "Pod"})
    await leader.finish(PATIENCE)

    assert caplog.messages == []


@pytest.mark.parametrize("later", [-0.02, 0.02], ids=["before-its-timeout", "after-its-timeout"])
async def test_a_cancellation_in_the_turn_of_a_timeout_is_not_taken_for_it(
    leader: Client, proxy: FaultProxy, namespace: str, later: float
) -> None:
    proxy.use(Rule(Blackhole()))
    loop, timeout = asyncio.get_running_loop(), 1.0
    begun = loop.time()
    path = f"/api/v1/namespaces/{namespace}/pods"
    asked = asyncio.create_task(leader.request("GET", path, timeout=timeout, attempts=1))
    await becomes(lambda: proxy.seen)
    loop.call_at(begun + timeout + later, asked.cancel)
    # After it both are due.
    time.sleep(timeout + 0.1)  # noqa: ASYNC251 - nothing of the process gets a turn
    await asyncio.wait([asked])

    assert asked.cancelled()
