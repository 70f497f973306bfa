"""The Secret and the configuration of the webhook: written guarded, where they differ, and kept by users' applies."""

from __future__ import annotations

import json
import uuid
from base64 import b64encode
from collections.abc import Iterator

import pytest

from cluster.objects import Json
from localcluster import LocalCluster
from localcluster.certificates import Authority
from sidecarpolicy.api import names
from sidecarpolicy.api.webhook import PATH, configuration
from sidecarpolicy.cluster import webhook
from sidecarpolicy.cluster.client import Client, NotFound

DATA = {"tls.crt": b"first", "tls.key": b"first"}
AUTHORITIES = Authority().certificate.encode()
OTHER = {"tls.crt": b"second", "tls.key": b"second"}


@pytest.fixture
def body(cluster: LocalCluster) -> Iterator[Json]:
    """A configuration as in the manifests, of which no namespace is told."""
    service = {"namespace": "nowhere", "name": names.WEBHOOK_SERVICE, "path": PATH}
    body = configuration(f"test-{uuid.uuid4().hex[:10]}", {"service": service}, [])
    body["webhooks"][0]["namespaceSelector"] = {"matchLabels": {"told": "none"}}
    yield body
    cluster.kubectl("delete", "mutatingwebhookconfiguration", body["metadata"]["name"], "--ignore-not-found")


async def test_of_two_who_create_the_first_stays(client: Client, namespace: str) -> None:
    await webhook.save_secret(client, namespace, DATA, None)
    await webhook.save_secret(client, namespace, OTHER, None)

    found = await webhook.read_secret(client, namespace)
    assert found
    assert webhook.content(found) == DATA


async def test_of_two_who_change_the_first_stays(client: Client, namespace: str) -> None:
    await webhook.save_secret(client, namespace, DATA, None)
    found = await webhook.read_secret(client, namespace)
    await webhook.save_secret(client, namespace, OTHER, found)
    await webhook.save_secret(client, namespace, DATA, found)

    kept = await webhook.read_secret(client, namespace)
    assert kept
    assert webhook.content(kept) == OTHER


async def test_one_that_was_deleted_meanwhile_does_not_come_back(
    cluster: LocalCluster, client: Client, namespace: str
) -> None:
    await webhook.save_secret(client, namespace, DATA, None)
    found = await webhook.read_secret(client, namespace)
    cluster.kubectl("delete", f"secret/{names.WEBHOOK_SECRET}", f"--namespace={namespace}")

    await webhook.save_secret(client, namespace, OTHER, found)

    assert await webhook.read_secret(client, namespace) is None


async def test_a_namespace_that_is_missing_is_told(client: Client) -> None:
    with pytest.raises(NotFound, match='namespaces "nowhere" not found'):
        await webhook.save_secret(client, "nowhere", DATA, None)


async def trusted(client: Client, body: Json, authorities: bytes) -> bytes | None:
    return await webhook.trust(client, authorities, configuration=body["metadata"]["name"])


async def test_whom_to_trust_is_written_once(cluster: LocalCluster, client: Client, body: Json) -> None:
    cluster.apply(body)
    kind, name = "mutatingwebhookconfiguration", body["metadata"]["name"]

    assert await trusted(client, body, AUTHORITIES) == b""
    written = cluster.get(kind, name)
    assert written["webhooks"][0]["clientConfig"]["caBundle"] == b64encode(AUTHORITIES).decode()
    assert await trusted(client, body, AUTHORITIES) == AUTHORITIES
    assert cluster.get(kind, name) == written


async def test_nobody_is_trusted_where_nobody_is_called(cluster: LocalCluster, client: Client, body: Json) -> None:
    assert await trusted(client, body, AUTHORITIES) is None

    body["webhooks"][0]["name"] = "another.example.com"
    cluster.apply(body)

    assert await trusted(client, body, AUTHORITIES) is None


@pytest.mark.parametrize(
    "flags",
    [pytest.param([], id="client-side"), pytest.param(["--server-side", "--force-conflicts"], id="server-side")],
)
async def test_applying_the_manifests_again_keeps_whom_to_trust(
    cluster: LocalCluster, client: Client, body: Json, flags: list[str]
) -> None:
    def apply() -> None:
        cluster.kubectl("apply", *flags, "--filename=-", stdin=json.dumps(body))

    apply()
    await trusted(client, body, AUTHORITIES)
    apply()
    body["webhooks"][0]["timeoutSeconds"] = 5
    apply()

    found = cluster.get("mutatingwebhookconfiguration", body["metadata"]["name"])["webhooks"][0]
    assert found["timeoutSeconds"] == 5
    assert await trusted(client, body, AUTHORITIES) == AUTHORITIES


async def test_what_is_announced_replaces_what_a_killed_run_left(
    cluster: LocalCluster, client: Client, body: Json
) -> None:
    name = body["metadata"]["name"]
    for port in (9443, 9444):
        url = f"https://127.0.0.1:{port}{PATH}"
        await webhook.announce(client, {**body, "webhooks": [{**body["webhooks"][0], "clientConfig": {"url": url}}]})

    [found] = cluster.get("mutatingwebhookconfiguration", name)["webhooks"]
    assert found["clientConfig"] == {"url": "https://127.0.0.1:9444/mutate"}
    await webhook.withdraw(client, name)
    await webhook.withdraw(client, name)
    assert cluster.run_kubectl("get", "mutatingwebhookconfiguration", name, check=False).returncode == 1
