"""The certificate that somebody else, such as cert-manager, keeps in a directory."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import structlog

from sidecarpolicy.admission.bundle import SERVING, SERVING_KEY
from sidecarpolicy.admission.certificates import Pair
from sidecarpolicy.admission.keyring import Keyring

log = structlog.get_logger(__name__)

_LOOK_EVERY = timedelta(seconds=10)


class MountedCertificate:
    """Keeps a keyring at what is in a directory; whom the API server trusts is not our business then."""

    def __init__(self, keyring: Keyring, directory: Path, every: timedelta = _LOOK_EVERY) -> None:
        self._keyring = keyring
        self._directory = directory
        self._every = every
        self._trouble = ""

    async def run(self) -> None:
        """Take what is there, and look for what is new until cancelled."""
        while True:
            self._look()
            await asyncio.sleep(self._every.total_seconds())

    def _look(self) -> None:
        try:
            chain, key = ((self._directory / name).read_bytes() for name in (SERVING, SERVING_KEY))
            # Of two files that change one after the other, the first may be new and the second old.
            self._keyring.take(Pair.read(chain, key))
        except (OSError, ValueError) as error:
            if str(error) != self._trouble:
                log.warning("certificate not taken", directory=str(self._directory), error=str(error))
            self._trouble = str(error)
        else:
            self._trouble = ""
