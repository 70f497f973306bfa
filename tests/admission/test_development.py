"""Being called at a URL: by whom, for how long, and what is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp import web

from admission.handshakes import until
from cluster.objects import deployment
from localcluster import LocalCluster
from sidecarpolicy.admission.development import called_at
from sidecarpolicy.admission.keyring import Keyring
from sidecarpolicy.api import names
from sidecarpolicy.api.webhook import PATH
from sidecarpolicy.cluster.client import Client

NOW = datetime.now(UTC)  # noqa: TID251 - the API server goes by the real clock


class Webhook:
    """Lets everything through, and notes in which namespaces."""

    def __init__(self) -> None:
        self.keyring = Keyring()
        self.told: set[str] = set()

    async def answer(self, request: web.Request) -> web.Response:
        asked = (await request.json())["request"]
        self.told.add(asked["namespace"])
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
        return web.json_response({**review, "response": {"uid": asked["uid"], "allowed": True}})


@pytest.fixture
async def url(ours: Webhook) -> AsyncIterator[str]:
    """Where we answer."""
    application = web.Application()
    application.router.add_post(PATH, ours.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ours.keyring.context).start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}{PATH}"
    await runner.cleanup()


@pytest.fixture
def ours() -> Webhook:
    return Webhook()


async def test_the_api_server_calls_us_until_we_end(
    cluster: LocalCluster, client: Client, namespace: str, ours: Webhook, url: str
) -> None:
    async def operate() -> None:
        async with called_at(url, client, ours.keyring, excluded=names.SYSTEM_NAMESPACES, now=NOW):
            await asyncio.Event().wait()

    async def is_told() -> bool:
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        await client.request("POST", path, query={"dryRun": "All"}, body=deployment())
        return namespace in ours.told

    operating = asyncio.create_task(operate())
    await until(is_told)
    assert configurations(cluster, url) == 1

    # As ctrl-C does.
    operating.cancel()
    await asyncio.wait([operating])

    assert operating.cancelled()
    assert configurations(cluster, url) == 0


def configurations(cluster: LocalCluster, url: str) -> int:
    """How many have the API server call this URL."""
    found = cluster.get("mutatingwebhookconfigurations")["items"]
    return [item["webhooks"][0]["clientConfig"].get("url") for item in found].count(url)
