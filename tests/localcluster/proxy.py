"""A proxy in front of the API server that makes trouble by rules, and counts who asked for what."""

import asyncio
import contextlib
import random
import ssl
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self, assert_never

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector, web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from localcluster.certificates import Authority
from localcluster.cluster import LocalCluster
from localcluster.faults import Answer, Blackhole, CloseWatch, Cut, Delay, Fault, Faults, LoseAnswer, Request, Rule

ANOTHER_HOP = frozenset({"connection", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})
LARGEST_BODY = 8 * 1024**2


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came, and the fault that it met."""

    request: Request
    fault: Fault | None


class FaultProxy:
    """Forwards everything, except what a rule says. Its clients come with tokens: `kubeconfig_for`.

    async with FaultProxy(cluster, seed=7) as proxy:
        proxy.use(Rule(Answer(429, retry_after=1), methods=frozenset({"PATCH"}), chance=0.2))
    """

    def __init__(self, cluster: LocalCluster, *, seed: int = 0) -> None:
        self._cluster = cluster
        self._faults = Faults(random.Random(seed))
        self._authority = Authority()
        self._stack = contextlib.AsyncExitStack()
        self.server = ""
        self.seen: list[Seen] = []

    def use(self, *rules: Rule) -> None:
        """Replace the rules; without any, everything passes."""
        self._faults.use(*rules)

    def count(self, rule: Rule) -> int:
        """Return how many requests came that the rule matches, whatever became of them."""
        return sum(rule.matches(one.request) for one in self.seen)

    def kubeconfig_for(self, namespace: str, service_account: str) -> Path:
        """Return a kubeconfig that acts as a service account through this proxy."""
        return self._cluster.kubeconfig_for(namespace, service_account, (self.server, self._authority.certificate))

    async def __aenter__(self) -> Self:
        self._target, trusted = await asyncio.to_thread(self._cluster.endpoint)
        connector = TCPConnector(ssl=ssl.create_default_context(cadata=trusted), limit=0)
        session = ClientSession(connector=connector, timeout=ClientTimeout(total=None), auto_decompress=False)
        self._upstream = await self._stack.enter_async_context(session)
        application = web.Application(client_max_size=LARGEST_BODY)
        application.router.add_route("*", "/{path:.*}", self._handle)
        # A client that goes takes its watch at the API server with it.
        runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._authority.server().context()).start()
        self.server = f"https://127.0.0.1:{runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _handle(self, incoming: web.Request) -> web.StreamResponse:
        request = _described(incoming)
        fault = self._faults.for_request(request)
        self.seen.append(Seen(request, fault))
        try:
            return await self._meet(fault, request, incoming)
        except ClientError:
            # The API server went away: so does the connection, as without a proxy.
            return _cut(incoming)

    async def _meet(self, fault: Fault | None, request: Request, incoming: web.Request) -> web.StreamResponse:
        match fault:
            case None:
                return await self._forward(incoming)
            case Answer():
                return _answer(fault)
            case Delay(time):
                await asyncio.sleep(time.total_seconds())
                return await self._forward(incoming)
            case CloseWatch(after):
                return await self._forward(incoming, after if request.is_watch else None)
            case Cut():
                return _cut(incoming)
            case LoseAnswer():
                async with self._ask(incoming, await incoming.read()) as answer:
                    await answer.read()
                return _cut(incoming)
            case Blackhole():
                await asyncio.Event().wait()
                return _cut(incoming)
            case _:
                assert_never(fault)

    async def _forward(self, incoming: web.Request, until: timedelta | None = None) -> web.StreamResponse:
        async with self._ask(incoming, await incoming.read()) as answer:
            outgoing = web.StreamResponse(status=answer.status, headers=_passed_on(answer.headers))
            await outgoing.prepare(incoming)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(until.total_seconds() if until else None):
                    async for chunk in answer.content.iter_any():
                        await outgoing.write(chunk)
            await outgoing.write_eof()
            return outgoing

    def _ask(self, incoming: web.Request, body: bytes) -> AbstractAsyncContextManager[ClientResponse]:
        url = URL(self._target + incoming.raw_path, encoded=True)
        headers = _passed_on(incoming.headers)
        return self._upstream.request(incoming.method, url, headers=headers, data=body or None, allow_redirects=False)


def _passed_on(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in ANOTHER_HOP)


def _described(incoming: web.Request) -> Request:
    watches = incoming.query.get("watch", "").lower() in {"1", "true"}
    return Request(incoming.method, incoming.path, incoming.headers.get("User-Agent", ""), watches)


def _answer(fault: Answer) -> web.Response:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": fault.status, "message": "a fault"}
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return web.json_response(status, status=fault.status, headers=headers)


def _cut(incoming: web.Request) -> web.Response:
    if incoming.transport is not None:
        incoming.transport.abort()
    return web.Response()
