"""The fault proxy passes everything on, except what a rule says."""

import asyncio
import base64
import json
import ssl
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from aiohttp import ClientError, ClientSession, TCPConnector

from localcluster import LocalCluster
from localcluster.faults import Answer, Blackhole, CloseWatch, Cut, Delay, LoseAnswer, Rule
from localcluster.proxy import FaultProxy
from localcluster.waiting import until

SOON = timedelta(milliseconds=300)
READS = frozenset({"GET"})
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@pytest.fixture
async def proxy(cluster: LocalCluster) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(cluster, seed=1) as running:
        yield running


@pytest.fixture
async def client(cluster: LocalCluster, namespace: str, proxy: FaultProxy) -> AsyncIterator[ClientSession]:
    """A client that comes through the proxy as a service account that may edit its namespace."""
    await asyncio.to_thread(_allow, cluster, namespace)
    config = await asyncio.to_thread(proxy.kubeconfig_for, namespace, "default")
    async with _session(config) as session:
        yield session


def _allow(cluster: LocalCluster, namespace: str) -> None:
    user = f"{namespace}:default"
    cluster.kubectl(
        "create", "rolebinding", "edits", "--clusterrole=edit", f"--serviceaccount={user}", f"--namespace={namespace}"
    )
    question = ("auth", "can-i", "create", "configmaps", f"--as=system:serviceaccount:{user}", f"-n={namespace}")
    until(lambda: cluster.run_kubectl(*question, check=False).returncode == 0)


def _session(config: Path) -> ClientSession:
    content = yaml.safe_load(config.read_text())
    where = content["clusters"][0]["cluster"]
    authority = base64.b64decode(where["certificate-authority-data"]).decode()
    connector = TCPConnector(ssl=ssl.create_default_context(cadata=authority))
    headers = {"Authorization": f"Bearer {content['users'][0]['user']['token']}", "User-Agent": "tester/1"}
    return ClientSession(where["server"], connector=connector, headers=headers)


def _maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


async def _created(client: ClientSession, namespace: str, name: str) -> int:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    async with client.post(_maps(namespace), json=body) as answer:
        return answer.status


async def _names(client: ClientSession, namespace: str) -> set[str]:
    async with client.get(_maps(namespace)) as answer:
        return {item["metadata"]["name"] for item in (await answer.json())["items"]}


async def test_without_rules_everything_passes(client: ClientSession, namespace: str) -> None:
    status = await _created(client, namespace, "one")

    assert status == 201
    assert "one" in await _names(client, namespace)


async def test_identity_is_passed_on(client: ClientSession, namespace: str) -> None:
    async with client.get("/api/v1/nodes") as answer:
        message = (await answer.json())["message"]

    assert f"system:serviceaccount:{namespace}:default" in message


async def test_requests_are_counted(client: ClientSession, proxy: FaultProxy, namespace: str) -> None:
    await _created(client, namespace, "one")
    await _names(client, namespace)
    await _names(client, namespace)

    assert proxy.count(Rule(Cut(), methods=READS, path="/configmaps$", user_agent="^tester/")) == 2
    assert proxy.count(Rule(Cut(), methods=WRITES)) == 1


async def test_429_says_when_to_come_again(client: ClientSession, proxy: FaultProxy, namespace: str) -> None:
    proxy.use(Rule(Answer(429, retry_after=2), path="configmaps", times=1))

    async with client.get(_maps(namespace)) as first:
        refused = (first.status, first.headers["Retry-After"])
    async with client.get(_maps(namespace)) as second:
        served = second.status

    assert refused == (429, "2")
    assert served == 200


async def test_only_what_the_rule_names_is_met(client: ClientSession, proxy: FaultProxy, namespace: str) -> None:
    proxy.use(Rule(Answer(500), methods=WRITES))

    written = await _created(client, namespace, "one")

    assert written == 500
    assert "one" not in await _names(client, namespace)


async def test_dice_fall_the_same_by_the_same_seed(cluster: LocalCluster) -> None:
    rule = Rule(Answer(504), chance=0.5)

    async def statuses() -> list[int]:
        async with FaultProxy(cluster, seed=7) as proxy, ClientSession(proxy.server, connector=_blind()) as anybody:
            proxy.use(rule)
            return [(await anybody.get("/version")).status for _ in range(20)]

    first, second = await statuses(), await statuses()

    assert first == second
    assert set(first) == {200, 504}


async def test_watch_ends_in_good_order(client: ClientSession, proxy: FaultProxy, namespace: str) -> None:
    proxy.use(Rule(CloseWatch(SOON), watches=True))

    async with client.get(_maps(namespace), params={"watch": "true"}) as watch:
        await _created(client, namespace, "seen")
        events = [json.loads(line) async for line in watch.content]

    assert "seen" in {event["object"]["metadata"]["name"] for event in events}


async def test_answer_comes_late(client: ClientSession, proxy: FaultProxy, namespace: str) -> None:
    proxy.use(Rule(Delay(SOON)))
    started = time.monotonic()

    await _names(client, namespace)

    assert time.monotonic() - started >= SOON.total_seconds()


async def test_cut_request_was_never_heard(client: ClientSession, proxy: FaultProxy, namespace: str) -> None:
    proxy.use(Rule(Cut(), methods=WRITES))

    with pytest.raises(ClientError):
        await _created(client, namespace, "one")

    assert "one" not in await _names(client, namespace)


async def test_lost_answer_was_done(client: ClientSession, proxy: FaultProxy, namespace: str) -> None:
    proxy.use(Rule(LoseAnswer(), methods=WRITES))

    with pytest.raises(ClientError):
        await _created(client, namespace, "one")

    assert "one" in await _names(client, namespace)


async def test_blackhole_never_answers(client: ClientSession, proxy: FaultProxy, namespace: str) -> None:
    proxy.use(Rule(Blackhole()))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SOON.total_seconds()):
            await _names(client, namespace)


async def test_kubectl_works_through_it(cluster: LocalCluster, proxy: FaultProxy) -> None:
    config = await asyncio.to_thread(proxy.kubeconfig_for, "default", "default")

    version = await asyncio.to_thread(cluster.kubectl, "version", kubeconfig=config)

    assert "Server Version" in version
    assert proxy.count(Rule(Cut(), user_agent="^kubectl/")) > 0


def _blind() -> TCPConnector:
    """Connect without looking at certificates: what the test asks for is public."""
    return TCPConnector(ssl=False)
