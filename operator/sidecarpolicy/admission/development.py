"""Being called outside of a cluster, at a URL: with a certificate in memory and a configuration that goes with us."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import structlog

from sidecarpolicy.admission.bundle import Life, make
from sidecarpolicy.admission.keyring import Keyring
from sidecarpolicy.api.webhook import configuration
from sidecarpolicy.cluster import webhook
from sidecarpolicy.cluster.client import Client

log = structlog.get_logger(__name__)

_LIFE = Life(timedelta(days=365), timedelta(days=365))
"""Nobody renews it: it ends with the process."""


@asynccontextmanager
async def called_at(
    url: str, client: Client, keyring: Keyring, *, excluded: Iterable[str], now: datetime
) -> AsyncIterator[None]:
    """Have the API server call us at a checked URL until the block ends, however it ends."""
    parts = urlsplit(url)
    bundle = make([parts.hostname or ""], _LIFE, now)
    keyring.take(bundle.serving)
    name = re.sub(r"[^a-z0-9.-]", "-", f"sidecarpolicy-dev-{parts.hostname}-{parts.port}")
    trusted = {"url": url, "caBundle": b64encode(bundle.trust).decode()}
    await webhook.announce(client, configuration(name, trusted, excluded))
    log.info("webhook configured", configuration=name, url=url)
    try:
        yield
    finally:
        await webhook.withdraw(client, name)
