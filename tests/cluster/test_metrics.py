"""Requests to the API server, counted with its answers."""

from __future__ import annotations

import asyncio

import pytest

from localcluster import LocalCluster
from localcluster.faults import Answer, Cut, Fault, Rule
from localcluster.proxy import FaultProxy
from sidecarpolicy.cluster import read
from sidecarpolicy.cluster.client import NotFound, connect
from sidecarpolicy.cluster.resources import RESOURCES
from sidecarpolicy.cluster.watch import Streams, watch_session
from sidecarpolicy.controller.metrics import Metrics

Counts = dict[tuple[str, str], float]


def requests(metrics: Metrics) -> Counts:
    """How often each method met each code."""
    found = (sample for metric in metrics.registry.collect() for sample in metric.samples)
    return {
        (sample.labels["method"], sample.labels["code"]): sample.value
        for sample in found
        if sample.name == "sidecarpolicy_api_requests_total"
    }


async def test_every_request_is_counted_by_method_and_code(cluster: LocalCluster) -> None:
    metrics = Metrics()
    async with connect(str(cluster.kubeconfig), middlewares=(metrics.follow,)) as client:
        await read.version(client)
        with pytest.raises(NotFound):
            await client.request("DELETE", "/api/v1/namespaces/there-is-none")
    taken = metrics.registry.get_sample_value("sidecarpolicy_api_request_duration_seconds_count", {"method": "DELETE"})

    assert requests(metrics) == {("GET", "200"): 1, ("DELETE", "404"): 1}
    assert taken == 1


@pytest.mark.parametrize(
    ("fault", "code"), [pytest.param(Answer(429), "429", id="429"), pytest.param(Cut(), "none", id="no-answer")]
)
async def test_every_attempt_counts(cluster: LocalCluster, namespace: str, fault: Fault, code: str) -> None:
    metrics = Metrics()
    async with FaultProxy(cluster) as proxy:
        proxy.use(Rule(fault, times=1))
        kubeconfig = await asyncio.to_thread(proxy.kubeconfig_for, namespace, "default")
        async with connect(str(kubeconfig), middlewares=(metrics.follow,)) as client:
            await read.version(client)

    assert requests(metrics) == {("GET", code): 1, ("GET", "200"): 1}


async def test_watches_are_counted_by_what_they_watch(cluster: LocalCluster) -> None:
    metrics, query = Metrics(), {"watch": "true", "timeoutSeconds": "1"}
    async with (
        connect(str(cluster.kubeconfig), middlewares=(metrics.follow,)) as client,
        watch_session(client, Streams({}, print)) as session,
        session.get(client.credentials.server + RESOURCES["CronJob"].path(), params=query) as answer,
    ):
        await answer.read()

    assert metrics.registry.get_sample_value("sidecarpolicy_watches_begun_total", {"resource": "cronjobs"}) == 1
    assert requests(metrics) == {("GET", "200"): 1}
