"""Being called outside of a cluster, at a URL: with a certificate in memory and a configuration that goes with us."""

from __future__ import annotations

import asyncio
import itertools
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import structlog

from sidecarpolicy.admission.bundle import Life, make
from sidecarpolicy.admission.keyring import Keyring
from sidecarpolicy.api.webhook import configuration
from sidecarpolicy.cluster import webhook
from sidecarpolicy.cluster.client import Client, ClusterError

log = structlog.get_logger(__name__)

_LIFE = Life(timedelta(days=365), timedelta(days=365))
"""Nobody renews it: it ends with the process."""
_ASKED_IN = "default"
"""Every cluster has this namespace."""
_PAUSE = 1.0
_PATIENCE = 5
"""Times that we ask in vain before we say so: an API server takes a moment to hear of a new configuration."""


@asynccontextmanager
async def called_at(
    url: str, client: Client, keyring: Keyring, listening: asyncio.Event, *, excluded: Iterable[str], now: datetime
) -> AsyncIterator[None]:
    """Have the API server call us at a checked URL, from when we listen until the block ends, however it ends."""
    parts = urlsplit(url)
    bundle = make([parts.hostname or ""], _LIFE, now)
    keyring.take(bundle.serving)
    name = re.sub(r"[^a-z0-9.-]", "-", f"sidecarpolicy-dev-{parts.hostname}-{parts.port}")
    trusted = {"url": url, "caBundle": b64encode(bundle.trust).decode()}
    # Where another of us listens already, the configuration is its own.
    await listening.wait()
    await webhook.announce(client, configuration(name, trusted, excluded))
    log.info("webhook configured", configuration=name, url=url)
    try:
        yield
    finally:
        await _withdraw(client, name)


async def _withdraw(client: Client, name: str) -> None:
    try:
        await webhook.withdraw(client, name)
    except ClusterError as error:
        advice = f"kubectl delete mutatingwebhookconfiguration {name}"
        log.warning("webhook configuration not taken away", error=error.message, advice=advice)


async def wait_until_reached(url: str, client: Client, *, excluded: Collection[str]) -> None:
    """Return when the API server reaches us; as long as it does not, nobody else would say so."""
    if _ASKED_IN in excluded:
        return
    try:
        for asked in itertools.count(1):
            if await webhook.reaches(client, _ASKED_IN):
                break
            if asked == _PATIENCE:
                log.warning(
                    "the API server does not reach us, so workloads are created as their authors wrote them",
                    url=url,
                    advice="is this machine known by that name inside the cluster, and does its firewall let us in?",
                )
            await asyncio.sleep(_PAUSE)
        log.info("the API server reaches us", url=url)
    except ClusterError as error:
        log.warning("not known whether the API server reaches us", error=error.message)
