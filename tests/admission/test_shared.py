"""The certificate in the Secret: made once, healed, renewed without a failed connection, and trusted before used."""

from __future__ import annotations

import asyncio
import json
import uuid
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from admission.handshakes import PAUSE, connected, serving, until
from answering import Webhook
from cluster.objects import Json, deployment
from localcluster import LocalCluster
from localcluster.faults import LoseAnswer, Rule
from localcluster.proxy import FaultProxy
from sidecarpolicy.admission.bundle import Life
from sidecarpolicy.admission.keyring import Keyring
from sidecarpolicy.admission.shared import SharedCertificate
from sidecarpolicy.api import names
from sidecarpolicy.api.webhook import PATH
from sidecarpolicy.api.webhook import configuration as rendered
from sidecarpolicy.cluster.client import Client, connect

EVERY = timedelta(seconds=0.1)
LIFE = Life(authority=timedelta(days=100), serving=timedelta(days=90))
DAY = timedelta(days=1)


class Clock:
    """The real one, set back: what is made in its past is still valid for whoever connects."""

    def __init__(self) -> None:
        self.behind = 70 * DAY
        self.asked = 0

    def __call__(self) -> datetime:
        self.asked += 1
        return datetime.now(UTC) - self.behind  # noqa: TID251 - whoever connects goes by the real clock


class Replica:
    """One process's share in it."""

    def __init__(self, client: Client, namespace: str, configuration: str, clock: Clock) -> None:
        self.keyring = Keyring()
        self.leading = asyncio.Event()
        shared = SharedCertificate(
            self.keyring,
            client,
            clock,
            namespace=namespace,
            configuration=configuration,
            hosts=["127.0.0.1"],
            life=LIFE,
            every=EVERY,
        )
        self._running = asyncio.create_task(shared.run(self.leading))

    async def is_ready(self) -> None:
        await asyncio.wait_for(self.keyring.ready.wait(), 20)

    async def end(self) -> None:
        self._running.cancel()
        await asyncio.wait([self._running])
        assert self._running.cancelled(), self._running.exception()


class Cluster:
    """A namespace with its Secret, and a configuration of its own beside it."""

    def __init__(self, cluster: LocalCluster, client: Client, namespace: str, configuration: str) -> None:
        self._cluster = cluster
        self._client = client
        self.namespace = namespace
        self.configuration = configuration
        self.host = f"{names.WEBHOOK_SERVICE}.{namespace}.svc"
        self.clock = Clock()

    @asynccontextmanager
    async def replica(self, *, leads: bool = False, client: Client | None = None) -> AsyncIterator[Replica]:
        one = Replica(client or self._client, self.namespace, self.configuration, self.clock)
        if leads:
            one.leading.set()
        try:
            yield one
        finally:
            await one.end()

    async def secret(self) -> Json:
        path = f"/api/v1/namespaces/{self.namespace}/secrets/{names.WEBHOOK_SECRET}"
        return await self._client.request("GET", path)

    async def webhook(self) -> Json:
        path = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{self.configuration}"
        return await self._client.request("GET", path)

    async def trusted(self) -> bytes:
        [webhook] = (await self.webhook())["webhooks"]
        return b64decode(webhook["clientConfig"].get("caBundle", ""))

    async def authorities(self) -> list[x509.Certificate]:
        return x509.load_pem_x509_certificates(await self.trusted())

    async def is_current(self) -> bool:
        trusted = await self.trusted()
        return trusted != b"" and trusted == b64decode((await self.secret())["data"]["ca.crt"])

    async def holds(self, data: Json, *, not_in: str = "") -> bool:
        """Whether there is a Secret with this content, and another object than that one."""
        listed = await self._client.request("GET", f"/api/v1/namespaces/{self.namespace}/secrets")
        return any(item["data"] == data and item["metadata"]["uid"] != not_in for item in listed["items"])

    def call_at(self, url: str) -> None:
        """Have the API server call a URL, where there is no network of pods."""
        patch = [
            {"op": "remove", "path": "/webhooks/0/clientConfig/service"},
            {"op": "add", "path": "/webhooks/0/clientConfig/url", "value": url},
        ]
        self.kubectl(
            "patch", f"mutatingwebhookconfiguration/{self.configuration}", "--type=json", "-p", json.dumps(patch)
        )

    async def create(self, name: str) -> None:
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments"
        await self._client.request("POST", path, query={"dryRun": "All"}, body=deployment(name))

    def kubectl(self, *arguments: str, stdin: str | None = None) -> None:
        self._cluster.kubectl(*arguments, f"--namespace={self.namespace}", stdin=stdin)


@pytest.fixture
def there(cluster: LocalCluster, client: Client, namespace: str) -> Iterator[Cluster]:
    """As installed, but for one namespace, so that other tests go on undisturbed."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    service = {"namespace": namespace, "name": names.WEBHOOK_SERVICE, "path": PATH}
    body = rendered(name, {"service": service}, names.SYSTEM_NAMESPACES)
    only = {"key": names.NAMESPACE_LABEL, "operator": "In", "values": [namespace]}
    body["webhooks"][0]["namespaceSelector"]["matchExpressions"].append(only)
    cluster.apply(body)
    yield Cluster(cluster, client, namespace, name)
    cluster.kubectl("delete", f"mutatingwebhookconfiguration/{name}")


async def test_replicas_that_start_together_agree_on_one(there: Cluster) -> None:
    async with there.replica() as one, there.replica() as other, there.replica() as third:
        for each in (one, other, third):
            await each.is_ready()

        secret = await there.secret()
        shown = x509.load_pem_x509_certificate(b64decode(secret["data"]["tls.crt"]))
        assert {await shown_by(each, secret) for each in (one, other, third)} == {shown}
        assert secret["type"] == "kubernetes.io/tls"


async def shown_by(replica: Replica, secret: Json) -> x509.Certificate:
    host = f"{names.WEBHOOK_SERVICE}.{secret['metadata']['namespace']}.svc"
    async with (
        serving(replica.keyring) as port,
        connected(port, b64decode(secret["data"]["ca.crt"]), host) as connection,
    ):
        return connection.certificate


async def test_the_leader_says_whom_to_trust_and_nobody_else(there: Cluster) -> None:
    async with there.replica() as one:
        await one.is_ready()
        assert await there.trusted() == b""

        one.leading.set()

        await until(there.is_current)


async def test_nothing_is_written_when_nothing_is_due(there: Cluster) -> None:
    async with there.replica(leads=True):
        await until(there.is_current)
        before = [await there.secret(), await there.webhook()]
        asked = there.clock.asked
        await until(lambda: there.clock.asked > asked + 5)

        assert [await there.secret(), await there.webhook()] == before


async def test_a_lost_secret_is_made_again_with_what_it_held(there: Cluster) -> None:
    async with there.replica(leads=True), there.replica() as follower:
        await follower.is_ready()
        await until(there.is_current)
        before = await there.secret()

        there.kubectl("delete", f"secret/{names.WEBHOOK_SECRET}")

        await until(lambda: there.holds(before["data"], not_in=before["metadata"]["uid"]))


GARBAGE: dict[str, Any] = {"tls.crt": "Z2FyYmFnZQ==", "ca.crt": ""}


async def test_garbage_is_replaced_by_what_is_known(there: Cluster) -> None:
    async with there.replica(leads=True):
        await until(there.is_current)
        before = await there.secret()

        there.kubectl(
            "patch", f"secret/{names.WEBHOOK_SECRET}", "--type=merge", f"--patch={json.dumps({'data': GARBAGE})}"
        )

        await until(lambda: there.holds(before["data"]))


async def test_garbage_is_replaced_at_the_start_and_what_others_noted_stays(there: Cluster) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": names.WEBHOOK_SECRET, "labels": {"backup": "no"}},
        "data": {"tls.crt": GARBAGE["tls.crt"]},
    }
    there.kubectl("create", "--filename=-", stdin=json.dumps(secret))
    async with there.replica(leads=True) as one:
        await one.is_ready()

        found = await there.secret()
        assert await shown_by(one, found)
        assert (found["metadata"]["labels"], found["type"]) == ({"backup": "no"}, "Opaque")


async def test_it_is_ready_also_where_the_answer_to_its_creation_is_lost(
    there: Cluster, cluster: LocalCluster, namespace: str
) -> None:
    account = f"--serviceaccount={namespace}:default"
    cluster.kubectl("create", "rolebinding", "admin", "--clusterrole=admin", account, f"--namespace={namespace}")
    async with FaultProxy(cluster) as proxy, connect(str(proxy.kubeconfig_for(namespace, "default"))) as client:
        proxy.use(Rule(LoseAnswer(), methods=frozenset({"POST"}), times=1))
        async with there.replica(client=client) as one:
            await one.is_ready()

            assert await shown_by(one, await there.secret())


class Caller:
    """Connects again and again, as the API server does: it trusts the configuration, and it knows our name."""

    def __init__(self, there: Cluster, port: int) -> None:
        self._there = there
        self._port = port
        self.met: list[x509.Certificate] = []

    async def run(self) -> None:
        while True:
            trusted = await self._there.trusted()
            async with connected(self._port, trusted, self._there.host) as connection:
                assert await connection.lives()
                if connection.certificate not in self.met:
                    self.met.append(connection.certificate)
            await asyncio.sleep(PAUSE)


async def test_no_connection_fails_while_certificate_and_authority_are_renewed(there: Cluster) -> None:
    async with there.replica(leads=True) as one, there.replica() as follower, serving(follower.keyring) as port:
        await one.is_ready()
        await follower.is_ready()
        await until(there.is_current)
        async with connected(port, await there.trusted(), there.host) as earlier, asyncio.TaskGroup() as calls:
            caller = Caller(there, port)
            calling = calls.create_task(caller.run())
            await until(lambda: len(caller.met) == 1)
            there.clock.behind = 9 * DAY
            await until(lambda: len(caller.met) == 2)
            there.clock.behind = 0 * DAY
            await until(lambda: len(caller.met) == 3)
            calling.cancel()

            assert await earlier.lives()
        newest, oldest = await there.authorities()
        first, second, third = caller.met
        signed = [(first, oldest), (second, oldest), (third, newest)]
        for certificate, authority in signed:
            certificate.verify_directly_issued_by(authority)
        assert one.keyring.expires == follower.keyring.expires == third.not_valid_after_utc


async def test_no_call_of_the_api_server_fails_while_certificate_and_authority_are_renewed(there: Cluster) -> None:
    webhook = Webhook()
    async with there.replica(leads=True) as one, webhook.answering(one.keyring.context):
        there.call_at(webhook.url)
        await one.is_ready()
        await until(there.is_current)
        made: list[str] = []

        async def is_told() -> bool:
            made.append(f"web-{len(made)}")
            await there.create(made[-1])
            return made[-1] in {told.name for told in webhook.told}

        # It takes the API server a moment to hear of the configuration.
        await until(is_told)
        heard = len(made) - 1
        for behind, authorities in ((9 * DAY, 1), (0 * DAY, 2)):
            expires, there.clock.behind = one.keyring.expires, behind
            await until(is_told)
            while one.keyring.expires == expires or len(await there.authorities()) != authorities:
                await is_told()
        await is_told()

        assert [told.name for told in webhook.told] == made[heard:]
        assert len(made) > heard + 10
