"""Lists in pages, single objects, and what we may do."""

from __future__ import annotations

import asyncio

import pytest

from cluster.conftest import Create
from cluster.objects import deployment, policy
from localcluster import LocalCluster
from running import SYSTEM_NAMESPACE
from sidecarpolicy.api import names
from sidecarpolicy.cluster import read
from sidecarpolicy.cluster.client import Client, NotFound, connect
from sidecarpolicy.cluster.resources import RESOURCES


async def test_pages_hold_every_workload_once_and_say_what_it_is(
    client: Client, create: Create, namespace: str
) -> None:
    await asyncio.gather(*(create(deployment(f"web-{number}")) for number in range(7)))

    pages = [page async for page in read.pages(client, "Deployment", namespace=namespace, size=3)]

    assert [len(page) for page in pages] == [3, 3, 1]
    items = [item for page in pages for item in page]
    assert sorted(item["metadata"]["name"] for item in items) == [f"web-{number}" for number in range(7)]
    assert {(item["apiVersion"], item["kind"]) for item in items} == {("apps/v1", "Deployment")}


async def test_pages_hold_only_what_the_selector_selects(client: Client, create: Create, namespace: str) -> None:
    await create(deployment("plain"))
    labelled = deployment("labelled")
    labelled["metadata"]["labels"] = {"logs": "shipped"}
    await create(labelled)

    pages = [page async for page in read.pages(client, "Deployment", namespace=namespace, selector="logs in (shipped)")]

    assert [item["metadata"]["name"] for page in pages for item in page] == ["labelled"]


async def test_a_namespace_without_workloads_is_one_empty_page(client: Client, namespace: str) -> None:
    assert [page async for page in read.pages(client, "StatefulSet", namespace=namespace)] == [[]]


async def test_a_look_at_pods_is_limited(client: Client, create: Create, namespace: str) -> None:
    body = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "app", "image": "nginx:1.27"}]}}
    for number in range(3):
        await create({**body, "metadata": {"name": f"web-{number}", "labels": {"app": "web"}}})

    assert len(await read.pods(client, namespace, "app=web", 2)) == 2
    assert await read.pods(client, namespace, "app=other", 2) == []


@pytest.mark.usefixtures("policies")
async def test_policies_of_both_kinds_are_found(client: Client, create: Create, namespace: str) -> None:
    everywhere = policy(f"everywhere-{namespace}", names.CLUSTER_POLICY_KIND)
    path = RESOURCES[names.CLUSTER_POLICY_KIND].path()
    everywhere["spec"]["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    await create(policy("here"))
    await client.request("POST", path, body=everywhere)

    found = {(item["kind"], item["metadata"]["name"]) for item in await read.policies(client)}

    await client.request("DELETE", f"{path}/{everywhere['metadata']['name']}")
    assert {(names.POLICY_KIND, "here"), (names.CLUSTER_POLICY_KIND, f"everywhere-{namespace}")} <= found


async def test_namespaces_are_found(client: Client, namespace: str) -> None:
    assert {namespace, "kube-system"} <= {item["metadata"]["name"] for item in await read.namespaces(client)}


async def test_version_is_two_numbers(client: Client) -> None:
    version = await read.version(client)

    assert version >= (1, 30)


async def test_a_kind_that_is_not_installed_is_not_found(client: Client) -> None:
    with pytest.raises(NotFound):
        await client.request("GET", "/apis/sidecarpolicy.dev/v0/nothing")


async def test_an_admin_misses_no_permission(client: Client) -> None:
    assert await read.missing_permissions(client, SYSTEM_NAMESPACE) == []


async def test_what_an_account_misses_is_named(cluster: LocalCluster, namespace: str) -> None:
    async with connect(str(cluster.kubeconfig_for(namespace, "default"))) as nobody:
        missing = await read.missing_permissions(nobody, SYSTEM_NAMESPACE)

    assert {"patch deployments.apps", "list pods", "patch sidecarpolicies/status.sidecarpolicy.dev"} <= set(missing)
