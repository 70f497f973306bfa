"""A server that echoes lines behind a keyring, and clients that connect to it as the API server does."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cryptography import x509

from sidecarpolicy.admission.keyring import Keyring

PATIENCE = 20.0
PAUSE = 0.02

LINE = b"are you there\n"


@dataclass(frozen=True)
class Connection:
    """One connection, and the certificate that it met."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    certificate: x509.Certificate

    async def lives(self) -> bool:
        self.writer.write(LINE)
        return await self.reader.readline() == LINE


@asynccontextmanager
async def serving(keyring: Keyring) -> AsyncIterator[int]:
    """Serve on a free port."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=keyring.context)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def connected(port: int, trusted: bytes, host: str) -> AsyncIterator[Connection]:
    """Connect as one who trusts these authorities and expects this host."""
    context = ssl.create_default_context(cadata=trusted.decode())
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    yield Connection(reader, writer, x509.load_der_x509_certificate(shown))
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()


async def until(true: Callable[[], bool | Awaitable[bool]]) -> None:
    """Return when it is so."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = true()
            if await found if isinstance(found, Awaitable) else found:
                return
            await asyncio.sleep(PAUSE)
