"""What kubelet and Prometheus ask us: whether we are alive, whether we know the cluster yet, and how we do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from sidecarpolicy.cluster.client import ClusterError

Check = Callable[[], str]
"""Says what is amiss; nothing if all is well."""


@asynccontextmanager
async def serve(
    port: int, *, alive: Check, ready: Check, registry: CollectorRegistry | None = None
) -> AsyncIterator[None]:
    """Answer /healthz and /readyz, and /metrics where there are some, on a port; 0 answers nowhere."""
    if port == 0:
        yield
        return
    runner = web.AppRunner(_application(alive, ready, registry), access_log=None)
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


def _application(alive: Check, ready: Check, registry: CollectorRegistry | None) -> web.Application:
    application = web.Application()
    application.add_routes([web.get("/healthz", _answer(alive)), web.get("/readyz", _answer(ready))])
    if registry is not None:
        application.add_routes([web.get("/metrics", make_aiohttp_handler(registry))])
    return application


def _answer(check: Check) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        amiss = check()
        return web.Response(status=503 if amiss else 200, text=f"{amiss or 'ok'}\n")

    return answer
