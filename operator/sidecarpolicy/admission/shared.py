"""The certificate that all replicas share in a Secret: made by the first of them, renewed by the leader."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from sidecarpolicy.admission.bundle import Bundle, Due, Life, make, plan, renew
from sidecarpolicy.admission.keyring import Keyring
from sidecarpolicy.api import names
from sidecarpolicy.api.policy import Json
from sidecarpolicy.cluster import webhook
from sidecarpolicy.cluster.client import Client, ClusterError

log = structlog.get_logger(__name__)

_LOOK_EVERY = timedelta(minutes=1)
"""Also the time that a new authority has to become known everywhere before it is used."""

_RETRY_AFTER = timedelta(seconds=5)
_LOOKS_AT_ONCE = 5


class SharedCertificate:
    """Keeps a keyring at what the Secret holds and, while we lead, the Secret and the configuration current."""

    def __init__(
        self,
        keyring: Keyring,
        client: Client,
        clock: Callable[[], datetime],
        *,
        namespace: str,
        configuration: str = names.WEBHOOK_CONFIGURATION,
        hosts: Sequence[str] = (),
        life: Life = Life(),  # noqa: B008 - it never changes
        every: timedelta = _LOOK_EVERY,
    ) -> None:
        self._keyring = keyring
        self._client = client
        self._clock = clock
        self._namespace = namespace
        self._configuration = configuration
        service = f"{names.WEBHOOK_SERVICE}.{namespace}.svc"
        self._hosts = (service, f"{service}.cluster.local", *hosts)
        self._life = life
        self._every = every
        self._bundle: Bundle | None = None

    async def run(self, leading: asyncio.Event) -> None:
        """Look at once, when we begin to lead, and ever again, until cancelled."""
        while True:
            is_leader, pause = leading.is_set(), self._every
            try:
                for _ in range(_LOOKS_AT_ONCE):
                    if not await self._look(is_leader=is_leader):
                        break
            except ClusterError as error:
                log.warning("certificate not looked after", error=error.message)
                pause = min(pause, _RETRY_AFTER)
            if is_leader:
                await asyncio.sleep(pause.total_seconds())
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(pause.total_seconds()):
                    await leading.wait()

    async def _look(self, *, is_leader: bool) -> bool:
        """Take what is there and do what is due; tell whether that was to be written, so that it is read again."""
        secret = await webhook.read_secret(self._client, self._namespace)
        bundle = self._take(secret) if secret else None
        if bundle is None:
            # What all of us still know is written again by one of us.
            if self._bundle and not is_leader:
                return False
            await self._save(self._bundle or make(self._hosts, self._life, self._clock()), secret)
            return True
        return is_leader and await self._renew(bundle, secret)

    async def _renew(self, bundle: Bundle, secret: Json | None) -> bool:
        trusted = await webhook.trust(self._client, bundle.trust, configuration=self._configuration)
        now = self._clock()
        what = plan(bundle, trusted, self._hosts, self._life, now)
        if what is Due.NOTHING:
            return False
        log.info("certificate due", which=what.name.lower())
        await self._save(renew(bundle, what, self._hosts, self._life, now), secret)
        return True

    async def _save(self, bundle: Bundle, found: Json | None) -> None:
        await webhook.save_secret(self._client, self._namespace, bundle.data, found)

    def _take(self, secret: Json) -> Bundle | None:
        """Serve with what is there from now on; None where that is not possible."""
        try:
            bundle = Bundle.read(webhook.content(secret))
            self._keyring.take(bundle.serving)
        except ValueError as error:
            log.warning("certificates of no use", secret=secret["metadata"]["name"], error=str(error))
            return None
        self._bundle = bundle
        return bundle
