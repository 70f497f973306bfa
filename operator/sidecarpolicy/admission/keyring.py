"""The certificate that admission serves with, replaced in place."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import structlog

from sidecarpolicy.admission.certificates import Pair

log = structlog.get_logger(__name__)


class Keyring:
    """One TLS context for as long as the process lives: new connections meet the newest certificate, others go on."""

    def __init__(self) -> None:
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.ready = asyncio.Event()
        self.expires: datetime | None = None
        self._serving: Pair | None = None

    def take(self, serving: Pair) -> None:
        """Serve with a certificate from now on, or raise ValueError; the same again changes nothing."""
        if serving == self._serving:
            return
        with _readable(serving.chain) as chain, _readable(serving.key) as key:
            try:
                self.context.load_cert_chain(chain, key)
            except ssl.SSLError as error:  # a key that is too short, for one
                raise ValueError(f"TLS does not take the certificate: {error}") from error
        self._serving, self.expires = serving, serving.expires
        self.ready.set()
        log.info("certificate loaded", expires=serving.expires.isoformat())


@contextmanager
def _readable(content: bytes) -> Iterator[str]:
    """Give a path at which content can be read once: TLS takes paths only, and our file system is read-only."""
    reading, writing = os.pipe()
    try:
        # A pair is less than a pipe holds.
        os.write(writing, content)
        os.close(writing)
        yield f"/dev/fd/{reading}"
    finally:
        os.close(reading)
