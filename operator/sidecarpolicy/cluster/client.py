"""Raw requests over one connection pool, and everything that can go wrong with them.

ClusterError
├── NotFound       404
├── Conflict       409: it changed, or it exists already
├── Expired        410: a list's continue token is too old
├── Invalid        422, 400 and the like: the API server understood and refuses
├── Forbidden      401, 403: not allowed, by RBAC or by an admission webhook
├── NotLeading     it was not sent: only the replica that leads may write
└── Unavailable    429, 5xx, timeouts, cut connections: nothing is said about the request itself
"""

# ruff: noqa: N818 - they say what the world is like; the tree above says that they are errors
from __future__ import annotations

import asyncio
import json
import random
from asyncio.sslproto import SSLProtocol
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import aiohttp

from sidecarpolicy.api.policy import Json
from sidecarpolicy.cluster import credentials

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

_CONNECTIONS = 100
_ATTEMPTS = 9
_TLS_BUFFER = 64 * 1024
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_TIMEOUT = 35.0
"""Seconds: just beyond what an API server itself grants a write (34 s), so that its 504 is heard."""


class ClusterError(Exception):
    """The API server did not do what was asked; `status` is its own answer, where it gave one."""

    def __init__(self, message: str, status: Json | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status: Json = status or {}

    @property
    def causes(self) -> list[Json]:
        """What is wrong with which field, for a refused object."""
        details = self.status.get("details") or {}
        return details.get("causes") or []


class NotFound(ClusterError):
    """There is no such object, namespace or kind."""


class Conflict(ClusterError):
    """The object changed in between, or exists already."""


class Expired(ClusterError):
    """The list's continue token is too old: list from the start."""


class Invalid(ClusterError):
    """The API server refuses what was sent."""


class Forbidden(ClusterError):
    """We may not, says RBAC or an admission webhook."""


class NotLeading(ClusterError):
    """It was not sent: another replica leads by now, or soon may."""


class Unavailable(ClusterError):
    """No answer about the request itself; `unknown` says that it may have been carried out nevertheless."""

    def __init__(
        self, message: str, status: Json | None = None, *, unknown: bool, retry_after: float | None = None
    ) -> None:
        super().__init__(message, status)
        self.unknown = unknown
        self.retry_after = retry_after


class Client:
    """One connection pool to one API server."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        account: credentials.Credentials,
        middlewares: tuple[aiohttp.ClientMiddlewareType, ...] = (),
        identity: str = "",
    ) -> None:
        self._session = session
        self.credentials = account
        self.identity = identity
        """Which of several replicas this is, since all have one account."""
        self.middlewares = middlewares
        """What every request passes, that of the watches too."""
        self.may_write: Callable[[], bool] = lambda: True
        """Asked right before each write: after a standstill of the process another replica may lead."""
        self._writing: set[asyncio.Task[Json]] = set()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
        timeout: float = _TIMEOUT,  # noqa: ASYNC109 - of each attempt
        attempts: int = _ATTEMPTS,
        warnings: list[str] | None = None,
        by_leader_only: bool = True,
    ) -> Json:
        """Return the answer; what certainly did not happen is tried again, a write that may have happened never.

        `warnings` takes up what the API server, or admission, has to say of the request. A write is `by_leader_only`
        unless every replica may send it.
        """
        data = body if isinstance(body, bytes | None) else json.dumps(body, separators=(",", ":")).encode()
        changes = method != "GET" and "dryRun" not in (query or {})
        is_leaders = changes and by_leader_only

        def check() -> None:
            if is_leaders and not self.may_write():
                raise NotLeading(f"{method} {path} is not sent: this replica does not lead")

        for attempt in range(attempts):
            check()
            sending = self._send(method, path, query, data, content_type, timeout, warnings, check)
            try:
                return await (self._to_its_end(sending) if is_leaders else sending)
            except Unavailable as error:
                if attempt == attempts - 1 or (error.unknown and changes):
                    raise
                await asyncio.sleep(_pause(attempt, error.retry_after))
        raise AssertionError("unreachable")

    async def finish(self, seconds: float) -> None:
        """Wait for the answers to the leader's writes, also those whose senders were cancelled; then cut the rest."""
        if not self._writing:
            return
        _, late = await asyncio.wait(self._writing, timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def _to_its_end(self, sending: Coroutine[Any, Any, Json]) -> Json:
        task = asyncio.ensure_future(sending)
        self._writing.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Json]) -> None:
        self._writing.discard(task)
        if not task.cancelled():
            # Its sender may be gone, and asyncio would complain that nobody asked what it raised.
            task.exception()

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        data: bytes | None,
        content_type: str,
        timeout: float,  # noqa: ASYNC109 - see below
        warnings: list[str] | None,
        check: Callable[[], None],
    ) -> Json:
        try:
            # Not aiohttp's own, which takes a cancellation of the same turn of the event loop for its timeout.
            async with (
                asyncio.timeout(timeout),
                self._session.request(
                    method,
                    self.credentials.server + path,
                    params=query,
                    data=data,
                    headers={"Content-Type": content_type} if data else None,
                    timeout=aiohttp.ClientTimeout(),
                    trace_request_ctx=check,
                ) as response,
            ):
                if warnings is not None:
                    warnings += response.headers.getall("Warning", [])
                return _answer(response, await response.read())
        except aiohttp.ClientConnectorError as error:
            raise Unavailable(f"cannot reach the API server: {error}", unknown=False) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if isinstance(error.__cause__, NotLeading):
                # The check before the body is asked by aiohttp's writer, whose errors come wrapped.
                raise error.__cause__ from None
            raise Unavailable(f"no answer from the API server: {error!r}", unknown=True) from error


@asynccontextmanager
async def connect(
    kubeconfig: str | None = None,
    context: str | None = None,
    middlewares: tuple[aiohttp.ClientMiddlewareType, ...] = (),
    identity: str = "",
) -> AsyncIterator[Client]:
    """Open the connection pool; without a kubeconfig it is found as kubectl and other controllers do."""
    # asyncio sets a quarter of a megabyte aside for each connection, and uses all of it for every long answer.
    SSLProtocol.max_size = _TLS_BUFFER
    try:
        account = await credentials.load(kubeconfig, context)
    except credentials.MISTAKES as error:
        where = credentials.source(kubeconfig)
        raise ClusterError(f"cannot read from {where} how to reach a cluster: {error}") from error
    session = open_session(
        account, agent="sidecarpolicy", identity=identity, connections=_CONNECTIONS, middlewares=middlewares
    )
    async with session:
        yield Client(session, account, middlewares, identity)


def open_session(
    account: credentials.Credentials,
    *,
    agent: str,
    identity: str,
    connections: int,
    middlewares: tuple[aiohttp.ClientMiddlewareType, ...] = (),
) -> aiohttp.ClientSession:
    """Return an HTTP session that signs its requests, behind the middlewares given."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, ssl=account.tls),
        middlewares=(*middlewares, account.sign),
        headers={
            "User-Agent": f"{agent}/{version('sidecarpolicy')}" + (f" ({identity})" if identity else ""),
            "Accept": JSON,
            # Near the API server, packing and unpacking a list costs both sides more than its bytes do.
            "Accept-Encoding": "identity",
        },
        proxy=account.proxy,
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[_last_check()],
    )


def _last_check() -> aiohttp.TraceConfig:
    """Check a request again right before its bytes leave: the process may have stood still on the way there.

    The headers wait for the body, which aiohttp writes in a later turn of the event loop; where there is none they go
    at once.
    """

    async def check(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
        if context.trace_request_ctx is not None:
            context.trace_request_ctx()

    config = aiohttp.TraceConfig()
    # In spite of their names they come before what they name is written, and what they raise ends the request.
    config.on_request_headers_sent.append(check)
    config.on_request_chunk_sent.append(check)
    return config


def _pause(attempt: int, retry_after: float | None) -> float:
    pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**attempt)
    # Jitter, so that the many who were turned away together do not come back together.
    return (retry_after or 0.0) + pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret


def _answer(response: aiohttp.ClientResponse, raw: bytes) -> Json:
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if response.ok and isinstance(body, dict):
        return body
    status = body if isinstance(body, dict) else {}
    text = raw[:200].decode(errors="replace").strip()
    raise _error(response.status, status.get("message") or text or response.reason or "no message", status, response)


def _error(code: int, message: str, status: Json, response: aiohttp.ClientResponse) -> ClusterError:
    kinds = {404: NotFound, 409: Conflict, 410: Expired, 401: Forbidden, 403: Forbidden}
    if code in kinds:
        return kinds[code](message, status)
    if 400 <= code < 500 and code != 429:
        return Invalid(message, status)
    return Unavailable(message, status, unknown=code != 429, retry_after=_retry_after(response))


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    seconds = response.headers.get("Retry-After", "")
    return min(float(seconds), 30.0) if seconds.isdigit() else None
