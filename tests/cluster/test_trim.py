"""After our claims are given back, authors go on as if we were not there, and what we added stays."""

from __future__ import annotations

import copy
import json

import pytest

from cluster.conftest import Create
from cluster.objects import SIDECAR, Json, add, change, containers, cron_job, deployment
from localcluster import LocalCluster
from sidecarpolicy.cluster import read, write
from sidecarpolicy.cluster.client import MERGE_PATCH, Client
from sidecarpolicy.cluster.resources import path_of
from sidecarpolicy.planning import authorship
from sidecarpolicy.planning.ownership import trimmed_claims
from sidecarpolicy.planning.workload import KINDS, reach

FILL = {"limits": {"memory": "256Mi"}, "requests": {"memory": "128Mi"}}
OTHERS = {"fieldManager": "others"}
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

    def apply(self, manifest: Json, manager: str = "kubectl") -> str:
        """Apply, and return the error: empty if there is none."""
        how = ("--server-side", f"--field-manager={manager}")
        arguments = ("apply", *how, f"--namespace={self._namespace}", "--filename=-")
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


ENVOY = {"name": "envoy", "image": "envoy:1", "env": [{"name": "LEVEL", "value": "info"}]}
TAIL = {"name": "tail", "image": "tail:1"}


def listing(manifest: Json, *more: Json) -> Json:
    """The manifest with more containers."""
    spec = reach(manifest, (*KINDS[manifest["kind"]].template, "spec")) or {}
    spec["containers"] += copy.deepcopy(more)
    return manifest


async def moved(client: Client, body: Json, *, back: bool = False) -> tuple[Json, Json | None]:
    """Convert the second container or bring it back, as the operator does; the workload after each of two writes."""
    path = "".join(f"/{step}" for step in (*KINDS[body["kind"]].template, "spec"))
    (app, *rest), inits = containers(body), containers(body, "initContainers")
    if back:
        (envoy,) = inits
        del envoy["restartPolicy"]
        operations = (
            add(f"{path}/containers", [app, envoy, *rest]),
            {"op": "remove", "path": f"{path}/initContainers"},
        )
    else:
        envoy, tail = rest
        sidecar = {**envoy, "restartPolicy": "Always"}
        operations = (add(f"{path}/containers", [app, tail]), add(f"{path}/initContainers", [sidecar]))
    outcome = await write.apply(client, change(body, *operations))
    assert isinstance(outcome, write.Applied)
    return outcome.body, await write.trim(client, outcome.body, body)


def is_removed(body: Json) -> bool:
    """Tell whether the author is seen to have removed the container."""
    return authorship.Author(body, KINDS[body["kind"]].template).removed("envoy")


@KIND
async def test_a_converted_container_is_seen_to_be_removed_by_the_very_next_apply(
    client: Client, namespace: str, author: Author, manifest: type[Json]
) -> None:
    author.apply(listing(manifest(), ENVOY, TAIL))
    author.apply(listing(manifest(), TAIL), "ci")
    body = await found(client, in_namespace(manifest(), namespace))

    converted, given = await moved(client, body)

    assert given is not None
    assert given["metadata"]["generation"] == converted["metadata"]["generation"]
    assert trimmed_claims(given) is None
    assert (is_removed(converted), is_removed(given)) == (False, False)

    others_write = {"metadata": {"labels": {"x": "y"}}}
    await client.request("PATCH", path_of(body), query=OTHERS, body=others_write, content_type=MERGE_PATCH)
    await write.apply(client, change(given, add("/metadata/annotations", {"ours": "x"})))

    earlier = await found(client, body)
    assert is_removed(earlier) is False
    assert author.apply(listing(manifest(), TAIL)) == ""
    after = await found(client, body)
    assert is_removed(after) is True
    assert after["spec"] == earlier["spec"]


@KIND
async def test_a_container_that_comes_back_is_its_authors_again(
    client: Client, namespace: str, author: Author, manifest: type[Json]
) -> None:
    author.apply(listing(manifest(), ENVOY, TAIL))
    body = await found(client, in_namespace(manifest(), namespace))
    _, given = await moved(client, body)
    assert given is not None
    await moved(client, given, back=True)

    assert author.apply(listing(manifest(), {**ENVOY, "env": [{"name": "LEVEL", "value": "debug"}]}, TAIL)) == ""
    assert containers(await found(client, body))[1]["env"] == [{"name": "LEVEL", "value": "debug"}]


@KIND
async def test_a_container_that_came_back_goes_by_the_very_next_apply(
    client: Client, namespace: str, author: Author, manifest: type[Json]
) -> None:
    author.apply(listing(manifest(), ENVOY, TAIL))
    body = await found(client, in_namespace(manifest(), namespace))
    _, given = await moved(client, body)
    assert given is not None
    await moved(client, given, back=True)

    assert author.apply(listing(manifest(), TAIL)) == ""
    assert [one["name"] for one in containers(await found(client, body))] == ["app", "tail"]


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
