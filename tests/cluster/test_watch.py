"""The session that kopf watches with: it cannot write, and cannot run hot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import aiohttp
import pytest

from cluster.conftest import Create
from cluster.objects import deployment
from localcluster import LocalCluster
from localcluster.faults import CloseWatch, Rule
from localcluster.proxy import FaultProxy
from sidecarpolicy.cluster import read
from sidecarpolicy.cluster.client import Client, Forbidden, connect
from sidecarpolicy.cluster.resources import RESOURCES, path_of
from sidecarpolicy.cluster.watch import Streams, Throttle, watch_session
from sidecarpolicy.planning.workload import Ref

DEPLOYMENTS = ("/apis/apps/v1/deployments", True)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_it_refuses_to_write(client: Client, create: Create, namespace: str, method: str) -> None:
    body = await create(deployment())
    async with watch_session(client, watching()) as session:
        with pytest.raises(Forbidden, match=f"{method} /apis/apps/v1/namespaces/{namespace}/deployments/web"):
            await session.request(method, client.credentials.server + path_of(body), json={})

    found = await read.get(client, Ref("Deployment", namespace, "web"))
    assert found is not None
    assert found["spec"] == body["spec"]


async def test_it_reads_under_a_name_of_its_own(cluster: LocalCluster, namespace: str) -> None:
    async with FaultProxy(cluster) as proxy:
        kubeconfig = await asyncio.to_thread(proxy.kubeconfig_for, namespace, "default")
        async with connect(str(kubeconfig)) as client, watch_session(client, watching()) as session:
            await session.get(f"{proxy.server}/version")

    assert [one.request.user_agent.partition("/")[0] for one in proxy.seen] == ["sidecarpolicy-watch"]


async def test_watches_that_have_begun_are_known(client: Client) -> None:
    streams = watching("Deployment", "Job")
    async with watch_session(client, streams) as session:
        for kind in ("Deployment", "Job"):
            assert not streams.begun.is_set()
            await begin(session, client.credentials.server + RESOURCES[kind].path())

    assert streams.begun.is_set()


@pytest.mark.parametrize(
    ("query", "lost"),
    [
        pytest.param({"watch": "true", "timeoutSeconds": "1", "resourceVersion": "1"}, False, id="watched-again"),
        pytest.param({"limit": "1"}, True, id="listed-again"),
        pytest.param({"limit": "1", "continue": "x"}, False, id="the-next-page"),
    ],
)
async def test_a_list_after_the_first_says_that_a_watch_was_lost(
    client: Client, query: dict[str, str], lost: bool
) -> None:
    told: list[str] = []
    streams = watching("Job", lost=told.append)
    url = client.credentials.server + RESOURCES["Job"].path()
    async with watch_session(client, streams) as session:
        await (await session.get(url, params={"limit": "1"})).read()
        await begin(session, url)
        assert told == []
        await (await session.get(url, params=query)).read()

    assert told == (["Job"] if lost else [])


def watching(*kinds: str, lost: Callable[[str], None] = print) -> Streams:
    return Streams({RESOURCES[kind].path(): kind for kind in kinds}, lost)


async def begin(session: aiohttp.ClientSession, url: str) -> None:
    async with session.get(url, params={"watch": "true", "timeoutSeconds": "1"}) as answer:
        assert answer.status == 200
        # To its end: a TLS connection that is left in the middle closes later than this test.
        await answer.read()


async def test_watches_that_are_closed_at_once_do_not_run_hot(cluster: LocalCluster, namespace: str) -> None:
    async with FaultProxy(cluster) as proxy:
        proxy.use(Rule(CloseWatch(timedelta(0))))
        kubeconfig = await asyncio.to_thread(proxy.kubeconfig_for, namespace, "default")
        async with connect(str(kubeconfig)) as client, watch_session(client, watching()) as session:
            begun = asyncio.get_running_loop().time()
            for _ in range(4):
                async with session.get(f"{proxy.server}/api/v1/pods", params={"watch": "true"}) as answer:
                    await answer.read()

    # The last two waited for half a second and a second, give or take a quarter.
    assert asyncio.get_running_loop().time() - begun > 1.1


@pytest.mark.parametrize(
    ("starts", "pauses"),
    [
        pytest.param([0], [0], id="the-first-is-free"),
        pytest.param([0, 1], [0, 0], id="so-is-one-repetition"),
        pytest.param([0, 1, 2, 3, 5], [0, 0, 0.5, 1, 2], id="every-further-one-waits-twice-as-long"),
        pytest.param([0, 1, 2, 60, 61, 62], [0, 0, 0.5, 0, 0, 0.5], id="a-long-watch-is-forgiven"),
        pytest.param([n * 35 for n in range(5)], [0] * 5, id="watches-that-end-in-their-time-never-wait"),
    ],
)
def test_pause_grows_while_watches_are_short(starts: list[float], pauses: list[float]) -> None:
    throttle = Throttle()

    assert [throttle.pause(DEPLOYMENTS, at) for at in starts] == pauses


def test_pause_has_an_end() -> None:
    throttle = Throttle()
    now = 0.0
    for _ in range(20):
        longest = throttle.pause(DEPLOYMENTS, now)
        now += longest

    assert longest == 30


def test_every_stream_is_paused_by_itself() -> None:
    throttle = Throttle()
    for at in (0, 1, 2):
        throttle.pause(DEPLOYMENTS, at)

    assert throttle.pause(("/apis/apps/v1/statefulsets", True), 2) == 0
    assert throttle.pause(("/apis/apps/v1/deployments", False), 2) == 0
