"""One guarded patch, and every way in which it can end."""

from __future__ import annotations

import pytest

from cluster.conftest import Create
from cluster.objects import SIDECAR, TEMPLATE, Json, add, change, containers, cron_job, deployment
from localcluster import LocalCluster
from sidecarpolicy.api.names import FIELD_MANAGER
from sidecarpolicy.cluster import read, write
from sidecarpolicy.cluster.client import Client, connect
from sidecarpolicy.cluster.resources import path_of
from sidecarpolicy.planning.workload import Ref

INJECT = add(f"{TEMPLATE}/initContainers", [SIDECAR])


async def edit(client: Client, body: Json, patch: Json) -> Json:
    """Change an object as anybody else would."""
    return await client.request("PATCH", path_of(body), body=patch, content_type="application/merge-patch+json")


async def test_applied_change_returns_the_workload_as_it_is_now(client: Client, create: Create) -> None:
    body = await create(deployment())

    outcome = await write.apply(client, change(body, INJECT))

    assert isinstance(outcome, write.Applied)
    assert [each["name"] for each in containers(outcome.body, "initContainers")] == ["shipper"]
    found = await read.get(client, change(body).ref)
    assert found is not None
    assert outcome.body["spec"] == found["spec"]


async def test_a_change_is_ours_in_managed_fields(client: Client, create: Create) -> None:
    outcome = await write.apply(client, change(await create(deployment()), INJECT))

    assert isinstance(outcome, write.Applied)
    assert FIELD_MANAGER in {entry["manager"] for entry in outcome.body["metadata"]["managedFields"]}


@pytest.mark.parametrize(
    ("guards", "edited"),
    [
        pytest.param({"/metadata/uid": "another"}, {}, id="another-object-of-that-name"),
        pytest.param({"/metadata/generation": 1}, {"spec": {"paused": True}}, id="the-author-changed-the-spec"),
        pytest.param(
            {"/metadata/labels": None}, {"metadata": {"labels": {"tier": "gold"}}}, id="the-author-changed-a-label"
        ),
        pytest.param(
            {"/metadata/annotations": None},
            {"metadata": {"annotations": {"team": "shop"}}},
            id="somebody-added-the-first-annotation",
        ),
    ],
)
async def test_failed_guard_is_stale_and_writes_nothing(
    client: Client, create: Create, guards: Json, edited: Json
) -> None:
    body = await create(deployment())
    edited_body = await edit(client, body, edited)

    outcome = await write.apply(client, change(body, INJECT, guards=guards))

    assert outcome == write.Stale()
    found = await read.get(client, change(body).ref)
    assert found is not None
    assert containers(found) == containers(edited_body)
    assert containers(found, "initContainers") == []


async def test_change_of_a_deleted_workload_is_gone(client: Client, create: Create) -> None:
    body = await create(cron_job())
    await client.request("DELETE", path_of(body))

    assert await write.apply(client, change(body)) == write.Gone()


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        pytest.param(
            add(f"{TEMPLATE}/containers/0/image", ""),
            'Deployment.apps "web" is invalid: spec.template.spec.containers[0].image: Required value',
            id="invalid-field",
        ),
        pytest.param(
            add(f"{TEMPLATE}/containers/0/imagee", "nginx"),
            'strict decoding error: unknown field "spec.template.spec.containers[0].imagee"',
            id="field-that-this-api-server-does-not-know",
        ),
        pytest.param(
            add(f"{TEMPLATE}/containers/0/env", 1),
            "json: cannot unmarshal number into Go struct field"
            " Container.spec.template.spec.containers.env of type []v1.EnvVar",
            id="wrong-type",
        ),
    ],
)
async def test_invalid_change_is_refused_in_the_api_servers_words(
    client: Client, create: Create, operation: Json, message: str
) -> None:
    body = await create(deployment())

    assert await write.apply(client, change(body, operation)) == write.Refused(message)


async def test_change_that_we_may_not_make_is_refused(cluster: LocalCluster, create: Create, namespace: str) -> None:
    body = await create(deployment())

    async with connect(str(cluster.kubeconfig_for(namespace, "default"))) as nobody:
        outcome = await write.apply(nobody, change(body, INJECT))

    assert isinstance(outcome, write.Refused)
    assert 'cannot patch resource "deployments" in API group "apps"' in outcome.message


async def test_change_of_an_immutable_field_is_refused(client: Client, create: Create) -> None:
    job = cron_job("import")
    job |= {"apiVersion": "batch/v1", "kind": "Job", "spec": {**job["spec"]["jobTemplate"]["spec"], "suspend": True}}
    body = await create(job)

    outcome = await write.apply(client, change(body, INJECT))

    assert isinstance(outcome, write.Refused)
    assert "field is immutable" in outcome.message


async def test_missing_workload_is_none(client: Client, namespace: str) -> None:
    assert await read.get(client, Ref("Deployment", namespace, "none")) is None
