"""Looking again at what a watch that was lost did not tell of."""

from __future__ import annotations

from builders import asking, policy
from builders import deployment as unstored
from cluster.conftest import Create
from cluster.objects import deployment
from sidecarpolicy.api.policy import Json
from sidecarpolicy.cluster.client import Client
from sidecarpolicy.controller.book import Book
from sidecarpolicy.controller.fleet import Fleet
from sidecarpolicy.controller.survey import Survey
from sidecarpolicy.planning.workload import ref_of


async def test_workloads_that_ended_unheard_are_forgotten(client: Client, create: Create, namespace: str) -> None:
    fleet = Fleet()
    there = await create(deployment())
    gone = unstored("gone", metadata={"namespace": namespace, "uid": "gone", "resourceVersion": "1"})

    def observe(body: Json) -> None:
        if body["metadata"]["namespace"] == namespace:
            fleet.observe(body, asking(policy(namespace=namespace)), {})

    for body in (there, gone):
        observe(body)
    assert fleet.known.keys() == {ref_of(there), ref_of(gone)}
    await Survey(client, Book(frozenset()), fleet, observe, fleet.forget, print).kind("Deployment")

    assert fleet.known.keys() == {ref_of(there)}
