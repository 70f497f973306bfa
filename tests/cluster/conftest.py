"""A connection of our own to the cluster under test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from cluster.objects import Json
from localcluster import LocalCluster
from localcluster.proxy import FaultProxy
from sidecarpolicy.api import names
from sidecarpolicy.cluster.client import Client, connect
from sidecarpolicy.cluster.resources import path_of

Create = Callable[[Json], Awaitable[Json]]

CRDS = Path(__file__).parents[2] / "crds"


@pytest.fixture
async def client(cluster: LocalCluster) -> AsyncIterator[Client]:
    async with connect(str(cluster.kubeconfig)) as connection:
        yield connection


@pytest.fixture
async def proxy(cluster: LocalCluster) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(cluster) as running:
        yield running


@pytest.fixture
async def client_behind(cluster: LocalCluster, proxy: FaultProxy, namespace: str) -> AsyncIterator[Client]:
    """A client whose requests meet the proxy's faults."""
    account = f"--serviceaccount={namespace}:default"
    cluster.kubectl("create", "rolebinding", "edit", "--clusterrole=edit", account, f"--namespace={namespace}")
    async with connect(str(proxy.kubeconfig_for(namespace, "default"))) as connection:
        yield connection


@pytest.fixture
def create(client: Client, namespace: str) -> Create:
    """Create an object in the test's namespace, as its author would."""

    async def as_its_author(body: Json) -> Json:
        body = {**body, "metadata": {"namespace": namespace, **body["metadata"]}}
        collection = path_of(body).rpartition("/")[0]
        return await client.request("POST", collection, query={"fieldManager": "author"}, body=body)

    return as_its_author


@pytest.fixture(scope="session")
def policies(cluster: LocalCluster) -> None:
    """The policy kinds, installed and served."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", f"--kustomize={CRDS}")
    kinds = (names.POLICY_PLURAL, names.CLUSTER_POLICY_PLURAL)
    definitions = [f"customresourcedefinition/{kind}.{names.GROUP}" for kind in kinds]
    for definition in definitions:
        # Right after its creation a definition has no conditions, which `kubectl wait` takes for an error.
        cluster.kubectl("wait", definition, "--for=jsonpath={.status.acceptedNames.kind}", "--timeout=60s")
    cluster.kubectl("wait", *definitions, "--for=condition=Established", "--timeout=60s")
