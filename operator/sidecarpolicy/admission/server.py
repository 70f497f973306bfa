"""The HTTPS server that the API server asks: one path, bounded in size, time and number of connections."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from sidecarpolicy.admission.mutate import OTHER, Mutator, NotAReviewError, Outcome
from sidecarpolicy.api.webhook import PATH, TIMEOUT
from sidecarpolicy.cluster.client import ClusterError

Connect = Callable[[], web.RequestHandler]
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LARGEST = 16 * 2**20
"""Bytes of one review: it holds two objects, old and new. The API server takes 3 MiB of a client and keeps 1.5 MiB of
an object, which JSON may make several times longer where a text is full of characters to escape."""
_ALL_AT_ONCE = 4 * LARGEST
"""Bytes of all reviews that are on their way, so that senders of large ones cannot fill the memory together."""

_DEADLINE = TIMEOUT - 0.5
"""Seconds from the head of a request to its answer; later nobody listens any more."""
_SILENT = 5.0
"""Seconds until a new connection has to have sent the head of its first request; nobody else waits so long."""
_IDLE = 120
"""Seconds until an idle connection is closed: more than the 90 after which the API server closes it itself (Go's
http.DefaultTransport), since a request that meets a closing connection is lost."""
_LINGERING = 1
"""Seconds for which the rest of a request that was refused is read, and dropped, so that its sender sees why."""
_WAITING = 128
"""Connections that may wait to be accepted."""


@asynccontextmanager
async def serve(mutator: Mutator, context: ssl.SSLContext, port: int, host: str | None = None) -> AsyncIterator[int]:
    """Answer on a port, 0 for any that is free; gives the port. New certificates are loaded into the same context."""
    doorman = _Doorman()
    runner = web.AppRunner(
        _application(mutator, doorman),
        access_log=None,
        keepalive_timeout=_IDLE,
        shutdown_timeout=TIMEOUT,
        lingering_time=_LINGERING,
        # The API server never compresses, and what is small on the wire may be large in memory.
        auto_decompress=False,
    )
    await runner.setup()
    try:
        server = await _listen(doorman.watching(runner), context, host, port)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
    finally:
        await runner.cleanup()


async def _listen(connect: Connect, context: ssl.SSLContext, host: str | None, port: int) -> asyncio.Server:
    try:
        return await asyncio.get_running_loop().create_server(
            connect,
            host,
            port,
            ssl=context,
            ssl_handshake_timeout=_SILENT,
            ssl_shutdown_timeout=_SILENT,
            backlog=_WAITING,
        )
    except OSError as error:
        raise ClusterError(f"cannot answer admission requests on port {port}: {error.strerror}") from error


class _Doorman:
    """Knows which connections have said nothing yet, and how many bytes are on their way."""

    def __init__(self) -> None:
        self._silent: set[web.RequestHandler] = set()
        self._expected = 0

    def watching(self, runner: web.AppRunner) -> Connect:
        """Return the factory of connections that closes those which stay silent."""
        connect = runner.server
        if connect is None:
            raise RuntimeError("set the runner up first")

        def connection() -> web.RequestHandler:
            handler = connect()
            self._silent.add(handler)
            asyncio.get_running_loop().call_later(_SILENT, self._close, handler)
            return handler

        return connection

    def heard(self, handler: web.RequestHandler) -> None:
        """Know that a connection has sent the head of a request."""
        self._silent.discard(handler)

    @asynccontextmanager
    async def room(self, size: int) -> AsyncIterator[None]:
        """Keep room for a review; raises HTTPServiceUnavailable where there is none."""
        if self._expected + size > _ALL_AT_ONCE:
            raise web.HTTPServiceUnavailable(text="too much is being read at once\n")
        self._expected += size
        try:
            yield
        finally:
            self._expected -= size

    def _close(self, handler: web.RequestHandler) -> None:
        if handler in self._silent:
            self._silent.discard(handler)
            handler.force_close()


def _application(mutator: Mutator, doorman: _Doorman) -> web.Application:
    async def mutate(request: web.Request) -> web.Response:
        began = asyncio.get_running_loop().time()
        async with doorman.room(_size(request)):
            answer = mutator.answer(await request.read())
        mutator.meter.took(asyncio.get_running_loop().time() - began)
        return web.json_response(answer)

    @web.middleware
    async def guarded(request: web.Request, handler: _Handler) -> web.StreamResponse:
        doorman.heard(request.protocol)
        try:
            return await _in_time(request, handler)
        except web.HTTPException:
            mutator.meter.count(OTHER, OTHER, Outcome.REFUSED)
            raise

    application = web.Application(client_max_size=LARGEST, middlewares=[guarded])
    application.add_routes([web.post(PATH, mutate)])
    return application


async def _in_time(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        async with asyncio.timeout(_DEADLINE):
            return await handler(request)
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="the request did not arrive in time\n") from None
    except NotAReviewError as error:
        raise web.HTTPBadRequest(text=f"{error}\n") from None
    except web.RequestPayloadError:
        raise web.HTTPBadRequest(text="the request did not arrive whole\n") from None


def _size(request: web.Request) -> int:
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="send application/json\n")
    if request.content_length is None:
        raise web.HTTPLengthRequired(text="say how long the body is\n")
    if request.content_length > LARGEST:
        raise web.HTTPRequestEntityTooLarge(LARGEST, request.content_length, text=f"send at most {LARGEST} bytes\n")
    return request.content_length
