"""What a replica that does not lead may send: questions, tries and what is every replica's own; no other write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from cluster.conftest import Create
from cluster.objects import add, change, deployment
from localcluster import LocalCluster
from localcluster.proxy import FaultProxy
from localcluster.waiting import PATIENCE
from sidecarpolicy.cluster import read, webhook, write
from sidecarpolicy.cluster.client import Client, NotLeading, connect
from sidecarpolicy.cluster.lease import Elector
from sidecarpolicy.cluster.watch import Streams, watch_session
from sidecarpolicy.planning.workload import ref_of


@pytest.fixture
async def standby(cluster: LocalCluster, proxy: FaultProxy, namespace: str) -> AsyncIterator[Client]:
    """A client that may do everything in its namespace, but does not lead."""
    account = f"--serviceaccount={namespace}:default"
    cluster.kubectl("create", "rolebinding", "admin", "--clusterrole=cluster-admin", account, f"-n={namespace}")
    async with connect(str(proxy.kubeconfig_for(namespace, "default")), identity="host_1") as connection:
        connection.may_write = lambda: False
        yield connection


async def test_a_write_does_not_leave_the_process(standby: Client, proxy: FaultProxy, create: Create) -> None:
    body = await create(deployment())
    with pytest.raises(NotLeading, match="this replica does not lead"):
        await write.apply(standby, change(body, add("/spec/paused", True)))

    assert proxy.seen == []


@pytest.mark.parametrize("asked", [pytest.param(2, id="before-its-headers"), pytest.param(3, id="before-its-body")])
async def test_a_write_that_lost_its_right_on_its_way_is_not_heard(
    standby: Client, proxy: FaultProxy, create: Create, asked: int
) -> None:
    body = await create(deployment())
    answers = iter([True] * (asked - 1) + [False])
    standby.may_write = lambda: next(answers)
    with pytest.raises(NotLeading):
        await write.apply(standby, change(body, add("/spec/paused", True)))

    assert proxy.seen == []


async def test_reads_and_dry_runs_pass(standby: Client, create: Create) -> None:
    body = await create(deployment())

    assert await read.get(standby, ref_of(body))
    assert await webhook.serves(standby, ref_of(body)) is False


async def test_what_every_replica_looks_after_passes(standby: Client, namespace: str) -> None:
    await webhook.save_secret(standby, namespace, {"tls.crt": b"", "tls.key": b""}, None)
    found = await webhook.read_secret(standby, namespace)
    await webhook.save_secret(standby, namespace, {"tls.crt": b"1", "tls.key": b""}, found)
    changed = await webhook.read_secret(standby, namespace)

    assert changed is not None
    assert webhook.content(changed)["tls.crt"] == b"1"


async def test_an_elector_writes_as_soon_as_it_is_elected(standby: Client, namespace: str, create: Create) -> None:
    body = await create(deployment())
    elector = Elector(
        standby, lambda: datetime(2026, 11, 21, tzinfo=UTC), namespace=namespace, identity=standby.identity
    )
    standby.may_write = lambda: elector.may_write
    running = asyncio.create_task(elector.run())
    await asyncio.wait_for(elector.leading.wait(), PATIENCE)

    assert isinstance(await write.apply(standby, change(body, add("/spec/paused", True))), write.Applied)
    running.cancel()
    await asyncio.wait((running,))
    with pytest.raises(NotLeading):
        await write.apply(standby, change(body, add("/spec/paused", False)))
    await elector.release()
    assert elector.holder == ""


async def test_requests_and_watches_say_which_replica_they_are_from(standby: Client, proxy: FaultProxy) -> None:
    await read.version(standby)
    async with watch_session(standby, Streams({}, print)) as session:
        await session.get(f"{standby.credentials.server}/version")

    agents = [one.request.user_agent for one in proxy.seen]
    assert [agent.partition("/")[0] for agent in agents] == ["sidecarpolicy", "sidecarpolicy-watch"]
    assert all(agent.endswith(" (host_1)") for agent in agents)
