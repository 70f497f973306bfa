"""Being called at a URL: by whom, for how long, and what is left behind."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from admission.handshakes import until
from answering import Webhook
from cluster.objects import deployment
from localcluster import LocalCluster
from sidecarpolicy.admission.development import called_at
from sidecarpolicy.admission.keyring import Keyring
from sidecarpolicy.api import names
from sidecarpolicy.cluster.client import Client

NOW = datetime.now(UTC)  # noqa: TID251 - the API server goes by the real clock


async def test_the_api_server_calls_us_until_we_end(cluster: LocalCluster, client: Client, namespace: str) -> None:
    ours, keyring, listening = Webhook(), Keyring(), asyncio.Event()
    listening.set()

    async def operate() -> None:
        async with called_at(ours.url, client, keyring, listening, excluded=names.SYSTEM_NAMESPACES, now=NOW):
            await asyncio.Event().wait()

    async def is_told() -> bool:
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        await client.request("POST", path, query={"dryRun": "All"}, body=deployment())
        return any(told.namespace == namespace for told in ours.told)

    async with ours.answering(keyring.context):
        operating = asyncio.create_task(operate())
        await until(is_told)
        assert configurations(cluster, ours.url) == 1

        # As ctrl-C does.
        operating.cancel()
        await asyncio.wait([operating])

    assert operating.cancelled()
    assert configurations(cluster, ours.url) == 0


def configurations(cluster: LocalCluster, url: str) -> int:
    """How many have the API server call this URL."""
    found = cluster.get("mutatingwebhookconfigurations")["items"]
    return [item["webhooks"][0]["clientConfig"].get("url") for item in found].count(url)
