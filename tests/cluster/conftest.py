"""A connection of our own to the cluster under test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from localcluster import LocalCluster

from cluster.objects import Json
from sidecarpolicy.cluster.client import Client, connect
from sidecarpolicy.cluster.resources import path_of

Create = Callable[[Json], Awaitable[Json]]


@pytest.fixture
async def client(cluster: LocalCluster) -> AsyncIterator[Client]:
    async with connect(str(cluster.kubeconfig)) as connection:
        yield connection


@pytest.fixture
def create(client: Client, namespace: str) -> Create:
    """Create an object in the test's namespace, as its author would."""

    async def as_its_author(body: Json) -> Json:
        body = {**body, "metadata": {"namespace": namespace, **body["metadata"]}}
        collection = path_of(body).rpartition("/")[0]
        return await client.request("POST", collection, query={"fieldManager": "author"}, body=body)

    return as_its_author
