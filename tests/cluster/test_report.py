"""What users read: a policy's status, and the Events of `kubectl describe`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest

from cluster.conftest import Create
from cluster.objects import Json, deployment, policy, template
from localcluster import LocalCluster
from sidecarpolicy.api import names
from sidecarpolicy.cluster.client import Client, connect
from sidecarpolicy.cluster.report import Recorder, Subject, write_status
from sidecarpolicy.cluster.resources import RESOURCES, path_of

CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "Ready",
    "message": "all 2 workloads run it",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
    "observedGeneration": 1,
}


def subject(body: Json) -> Subject:
    metadata = body["metadata"]
    return Subject(body["kind"], metadata.get("namespace", ""), metadata["name"], metadata["uid"])


async def events(client: Client, about: Subject) -> list[Json]:
    """The Events about an object, as the API server has them."""
    selector = {"fieldSelector": f"regarding.uid={about.uid}"}
    answer = await client.request("GET", RESOURCES["Event"].path(about.namespace or "default"), query=selector)
    return list(answer["items"])


async def until(reached: Callable[[list[Json]], bool], client: Client, about: Subject) -> list[Json]:
    async with asyncio.timeout(20):
        while not reached(found := await events(client, about)):  # noqa: ASYNC110 - nobody can tell us
            await asyncio.sleep(0.05)
    return found


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the API server's own Events stand beside


@pytest.fixture
async def recorder(client: Client) -> AsyncIterator[Recorder]:
    recorder = Recorder(client, instance="operator-0", clock=now)
    running = asyncio.create_task(recorder.run())
    yield recorder
    running.cancel()


def reported() -> Json:
    """An object whose status is nobody's, while a policy's is the operator's of this run: a pod of no scheduler."""
    spec = {"schedulerName": "nobody", **template()["spec"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": spec}


async def test_conditions_are_replaced_and_other_keys_kept(client: Client, create: Create) -> None:
    body = await create(reported())
    await write_status(client, body, {"message": "kept", "conditions": [{**CONDITION, "type": "Accepted"}]})

    await write_status(client, body, {"conditions": [CONDITION]})

    found = await client.request("GET", path_of(body))
    assert found["status"]["message"] == "kept"
    assert [one | CONDITION for one in found["status"]["conditions"]] == found["status"]["conditions"]
    assert found["metadata"]["generation"] == 1


async def test_the_status_of_a_policy_that_is_gone_is_none(client: Client, create: Create) -> None:
    body = await create(deployment())
    await client.request("DELETE", path_of(body))

    assert await write_status(client, body, {"observedGeneration": 1}) is None


async def test_describe_shows_an_event(
    cluster: LocalCluster, client: Client, create: Create, recorder: Recorder, namespace: str
) -> None:
    about = subject(await create(deployment()))

    recorder.record(about, "Normal", "SidecarsInjected", "log-shipper added shipper")

    await until(lambda found: len(found) == 1, client, about)
    described = cluster.kubectl("describe", "deployment/web", f"--namespace={namespace}")
    [line] = [line.split() for line in described.splitlines() if "SidecarsInjected" in line]
    assert line[:2] == ["Normal", "SidecarsInjected"]
    assert " ".join(line[3:]) == "sidecarpolicy.dev log-shipper added shipper"


async def test_a_repeated_event_is_counted_not_sent_again(
    cluster: LocalCluster, client: Client, create: Create, recorder: Recorder, namespace: str
) -> None:
    about = subject(await create(deployment()))
    recorder.record(about, "Warning", "SidecarsBlocked", "the name is taken")
    await until(lambda found: len(found) == 1, client, about)

    recorder.record(about, "Warning", "SidecarsBlocked", "the name is taken")
    recorder.record(about, "Warning", "SidecarsBlocked", "the name is taken")

    found = await until(lambda found: found[0].get("series", {}).get("count") == 3, client, about)
    assert len(found) == 1
    assert "(x3 over" in cluster.kubectl("describe", "deployment/web", f"--namespace={namespace}")


async def test_an_event_that_has_expired_is_told_anew(client: Client, create: Create, recorder: Recorder) -> None:
    about = subject(await create(deployment()))
    recorder.record(about, "Normal", "SidecarsRestored", "all as it was")
    [first] = await until(lambda found: len(found) == 1, client, about)
    path = RESOURCES["Event"].path(about.namespace, first["metadata"]["name"])
    await client.request("DELETE", path)

    recorder.record(about, "Normal", "SidecarsRestored", "all as it was")

    [second] = await until(lambda found: len(found) == 1, client, about)
    assert second["metadata"]["name"] != first["metadata"]["name"]
    assert "series" not in second


@pytest.mark.usefixtures("policies")
async def test_events_of_a_cluster_wide_policy_are_shown_with_it(
    cluster: LocalCluster, client: Client, recorder: Recorder, namespace: str
) -> None:
    name = f"everywhere-{namespace}"
    path = RESOURCES[names.CLUSTER_POLICY_KIND].path()
    about = subject(await client.request("POST", path, body=policy(name, names.CLUSTER_POLICY_KIND)))

    recorder.record(about, "Warning", "RolloutHalted", "two workloads failed")

    # The operator of this run may tell of it too.
    await until(lambda found: "RolloutHalted" in {one["reason"] for one in found}, client, about)
    described = cluster.kubectl("describe", f"cscp/{name}")
    await client.request("DELETE", f"{path}/{name}")
    assert "RolloutHalted" in described


async def test_a_flood_is_sent_slowly_and_what_is_too_much_is_counted(client: Client, create: Create) -> None:
    about = subject(await create(deployment()))
    recorder = Recorder(client, instance="operator-0", clock=now, rate=1.0, burst=3)
    for number in range(600):
        recorder.record(about, "Normal", "SidecarsInjected", f"number {number}")

    running = asyncio.create_task(recorder.run())
    await until(lambda found: len(found) >= 3, client, about)
    found = await events(client, about)
    running.cancel()

    assert recorder.dropped == 100
    assert len(found) < 6


async def test_an_event_that_may_not_be_sent_is_dropped(cluster: LocalCluster, create: Create, namespace: str) -> None:
    about = subject(await create(deployment()))
    async with connect(str(cluster.kubeconfig_for(namespace, "default"))) as nobody:
        recorder = Recorder(nobody, instance="operator-0", clock=now)
        running = asyncio.create_task(recorder.run())
        recorder.record(about, "Normal", "SidecarsInjected", "not allowed")
        async with asyncio.timeout(20):
            while not recorder.dropped:  # noqa: ASYNC110 - nobody can tell us
                await asyncio.sleep(0.05)
        running.cancel()

    assert recorder.dropped == 1
