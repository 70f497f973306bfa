"""What kubelet and Prometheus ask us: whether we are alive, whether we know the cluster yet, and how we do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from sidecarpolicy.cluster.client import ClusterError


@asynccontextmanager
async def serve(port: int, ready: asyncio.Event, registry: CollectorRegistry | None = None) -> AsyncIterator[None]:
    """Answer /healthz and /readyz, and /metrics where there are some, on a port; 0 answers nowhere."""
    if port == 0:
        yield
        return
    runner = web.AppRunner(_application(ready, registry), access_log=None)
    await runner.setup()
    try:
        await _listen(runner, port)
        yield
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, port: int) -> None:
    try:
        await web.TCPSite(runner, port=port).start()
    except OSError as error:
        raise ClusterError(f"cannot answer on port {port}: {error.strerror}; choose another --health-port") from error


def _application(ready: asyncio.Event, registry: CollectorRegistry | None) -> web.Application:
    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        if ready.is_set():
            return web.Response(text="ok\n")
        return web.Response(status=503, text="still looking at the cluster\n")

    application = web.Application()
    application.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
    if registry is not None:
        application.add_routes([web.get("/metrics", make_aiohttp_handler(registry))])
    return application
