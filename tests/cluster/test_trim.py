"""After our claims are given back, authors go on as if we were not there, and what we added stays."""

from __future__ import annotations

import json

import pytest

from cluster.conftest import Create
from cluster.objects import SIDECAR, Json, add, change, containers, cron_job, deployment
from localcluster import LocalCluster
from sidecarpolicy.cluster import read, write
from sidecarpolicy.cluster.claims import trimmed_claims
from sidecarpolicy.cluster.client import MERGE_PATCH, Client
from sidecarpolicy.cluster.resources import path_of
from sidecarpolicy.planning.workload import KINDS

FILL = {"limits": {"memory": "256Mi"}, "requests": {"memory": "128Mi"}}
PROBE = {"tcpSocket": {"port": 8080}, "periodSeconds": 20}


async def inject(client: Client, body: Json, *more: Json) -> Json:
    """Write a sidecar and some values into the author's container, as the operator does."""
    path = "".join(f"/{step}" for step in (*KINDS[body["kind"]].template, "spec"))
    app = f"{path}/containers/0"
    operations = (
        add(f"{path}/initContainers", [SIDECAR]),
        add(f"{path}/volumes", [{"name": "logs", "emptyDir": {}}]),
        add(f"{app}/volumeMounts", [{"name": "logs", "mountPath": "/logs"}]),
        add(f"{app}/env", [{"name": "LOGS", "value": "/logs"}]),
        add(f"{app}/resources", FILL),
        add(f"{app}/livenessProbe", PROBE),
    )
    outcome = await write.apply(client, change(body, *operations, *more))
    assert isinstance(outcome, write.Applied)
    return outcome.body


class Author:
    """A team that applies its manifest server-side."""

    def __init__(self, cluster: LocalCluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace

    def apply(self, manifest: Json) -> str:
        """Apply, and return the error: empty if there is none."""
        arguments = ("apply", "--server-side", f"--namespace={self._namespace}", "--filename=-")
        done = self._cluster.run_kubectl(*arguments, stdin=json.dumps(manifest), check=False)
        return done.stderr if done.returncode else ""


@pytest.fixture
def author(cluster: LocalCluster, namespace: str) -> Author:
    return Author(cluster, namespace)


async def found(client: Client, body: Json) -> Json:
    current = await read.get(client, change(body).ref)
    assert current is not None
    return current


KIND = pytest.mark.parametrize(
    "manifest", [pytest.param(deployment, id="deployment"), pytest.param(cron_job, id="cron-job")]
)


@KIND
async def test_without_it_the_authors_next_apply_conflicts(
    client: Client, namespace: str, author: Author, manifest: type[Json]
) -> None:
    author.apply(manifest())
    await inject(client, await found(client, in_namespace(manifest(), namespace)))

    assert "conflict" in author.apply(manifest(resources={"limits": {"memory": "512Mi"}}))


@KIND
async def test_the_author_applies_values_of_their_own(
    client: Client, namespace: str, author: Author, manifest: type[Json]
) -> None:
    author.apply(manifest())
    injected = await inject(client, await found(client, in_namespace(manifest(), namespace)))
    trimmed = await write.trim(client, injected)

    own = {"resources": {"limits": {"memory": "512Mi"}}, "livenessProbe": {"tcpSocket": {"port": 9090}}}
    refused = author.apply(manifest(**own))

    assert trimmed is not None
    assert refused == ""
    body = await found(client, injected)
    app = containers(body)[0]
    assert app["resources"]["limits"]["memory"] == "512Mi"
    assert app["livenessProbe"]["tcpSocket"]["port"] == 9090
    assert [each["name"] for each in containers(body, "initContainers")] == ["shipper"]


async def test_what_we_added_survives_the_authors_removals(client: Client, namespace: str, author: Author) -> None:
    manifest = deployment(env=[{"name": "OWN", "value": "1"}])
    manifest["spec"]["template"]["spec"]["volumes"] = [{"name": "own", "emptyDir": {}}]
    author.apply(manifest)
    body = await found(client, in_namespace(manifest, namespace))
    injected = await inject(client, body, add("/spec/template/spec/volumes/-", {"name": "own", "emptyDir": {}}))
    await write.trim(client, injected)

    refused = author.apply(deployment())

    assert refused == ""
    body = await found(client, injected)
    app = containers(body)[0]
    assert [each["name"] for each in containers(body, "volumes")] == ["logs"]
    assert [each["name"] for each in app["volumeMounts"]] == ["logs"]
    assert [each["name"] for each in containers(body, "initContainers")] == ["shipper"]
    assert app["resources"] == FILL


async def test_it_is_no_rollout_and_needed_once(client: Client, create: Create) -> None:
    injected = await inject(client, await create(deployment()))

    trimmed = await write.trim(client, injected)

    assert trimmed is not None
    assert trimmed["metadata"]["generation"] == injected["metadata"]["generation"]
    assert trimmed["spec"] == injected["spec"]
    assert await write.trim(client, trimmed) is None


async def test_it_finds_our_claims_again_after_others_wrote(client: Client, create: Create) -> None:
    injected = await inject(client, await create(deployment()))
    for other in ("a", "b"):
        patch = {"metadata": {"labels": {other: other}}}
        query = {"fieldManager": other}
        await client.request("PATCH", path_of(injected), query=query, body=patch, content_type=MERGE_PATCH)

    trimmed = await write.trim(client, injected)

    assert trimmed is not None
    assert trimmed["metadata"]["labels"] == {"a": "a", "b": "b"}
    assert trimmed_claims(trimmed) is None


async def test_a_workload_that_is_gone_has_no_claims(client: Client, create: Create) -> None:
    injected = await inject(client, await create(cron_job()))
    await client.request("DELETE", path_of(injected))

    assert await write.trim(client, injected) is None


def in_namespace(manifest: Json, namespace: str) -> Json:
    metadata = {"uid": "", **manifest["metadata"], "namespace": namespace}
    return {**manifest, "metadata": metadata}
