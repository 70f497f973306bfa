"""A connection of our own to the cluster under test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from localcluster import LocalCluster
from sidecarpolicy.cluster.client import Client, connect


@pytest.fixture
async def client(cluster: LocalCluster) -> AsyncIterator[Client]:
    async with connect(str(cluster.kubeconfig)) as connection:
        yield connection
