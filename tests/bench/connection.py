"""A plain aiohttp session to the API server: what a loop without an operator would use."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

Json = dict[str, Any]

PAGE = 500
_AGENT = "bench"


class Connection:
    """One session, one server."""

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        self.session = session
        self.server = server

    async def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Json:
        """Return the answer; anything but success raises."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = {"Content-Type": content_type} if data is not None else None
        async with self.session.request(method, self.server + path, data=data, headers=headers) as response:
            raw = await response.read()
            if not response.ok:
                raise RuntimeError(f"{method} {path}: {response.status} {raw[:300].decode(errors='replace')}")
            answer: Json = json.loads(raw)
            return answer

    async def pages(self, path: str) -> AsyncIterator[Json]:
        """List in pages."""
        token = ""
        while True:
            answer = await self.request("GET", f"{path}{'&' if '?' in path else '?'}limit={PAGE}&continue={token}")
            yield answer
            token = answer["metadata"].get("continue", "")
            if not token:
                return

    async def watch(self, path: str) -> AsyncIterator[Json]:
        """Yield the events of a watch until it ends."""
        timeout = aiohttp.ClientTimeout(total=None)
        async with self.session.get(self.server + path, timeout=timeout) as response:
            response.raise_for_status()
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield json.loads(line)


@asynccontextmanager
async def connect(kubeconfig: Path, connections: int = 100) -> AsyncIterator[Connection]:
    """Open a session with a kubeconfig's token or client certificate."""
    known = yaml.safe_load(kubeconfig.read_text())
    cluster, user = known["clusters"][0]["cluster"], known["users"][0]["user"]
    headers = {"User-Agent": _AGENT, "Accept": "application/json", "Accept-Encoding": "identity"}
    if token := user.get("token"):
        headers["Authorization"] = f"Bearer {token}"
    connector = aiohttp.TCPConnector(limit=connections, ssl=_trust(cluster, user))
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        yield Connection(session, cluster["server"])


def _trust(cluster: Json, user: Json) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    if "client-certificate-data" in user:
        with tempfile.NamedTemporaryFile() as pair:
            for part in ("client-certificate-data", "client-key-data"):
                pair.write(base64.b64decode(user[part]))
            pair.flush()
            context.load_cert_chain(pair.name)
    return context


async def many(items: Iterable[Any], act: Callable[[Any], Awaitable[None]], at_once: int) -> None:
    """Act on every item, so many at once."""
    left = iter(items)

    async def work() -> None:
        for item in left:
            await act(item)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(work())
