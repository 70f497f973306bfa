"""Health over plain HTTP: alive while the event loop turns, ready once everything was looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def serve(port: int, is_synced: asyncio.Event) -> AsyncIterator[None]:
    """Answer /healthz and /readyz on a port; 0 serves nothing."""
    if not port:
        yield
        return
    app = web.Application()
    app.add_routes([web.get("/healthz", _alive), web.get("/readyz", _Readiness(is_synced).answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        yield
    finally:
        await runner.cleanup()


async def _alive(request: web.Request) -> web.Response:
    del request
    return web.Response(text="ok")


class _Readiness:
    def __init__(self, is_synced: asyncio.Event) -> None:
        self._is_synced = is_synced

    async def answer(self, request: web.Request) -> web.Response:
        del request
        if self._is_synced.is_set():
            return web.Response(text="ok")
        return web.Response(status=503, text="workloads are being looked at for the first time")
