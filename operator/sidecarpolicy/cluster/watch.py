"""The session that kopf watches with: it reads and nothing else, and cannot hammer the API server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from sidecarpolicy.cluster.client import Client, Forbidden, open_session

_CALM = 10.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0


def watch_session(client: Client, streams: Streams) -> aiohttp.ClientSession:
    """Return a session that only reads, and tells `streams` what it watches; whoever takes it closes it."""
    ours = (_only_reads, Throttle().slow_down, streams.note)
    middlewares = (*ours, *client.middlewares)
    return open_session(
        client.credentials,
        agent="sidecarpolicy-watch",
        identity=client.identity,
        connections=0,
        middlewares=middlewares,
    )


@dataclass
class Streams:
    """The watches that have to run before anything may be concluded from what was not heard of."""

    wanted: Mapping[str, str]
    """The kinds that are watched, by the API paths of their lists."""
    lost: Callable[[str], None]
    """Called with a kind whose watch begins with a list again: what ended meanwhile was not told of."""
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """All of them have begun."""
    _seen: set[str] = field(default_factory=set)

    @property
    def awaited(self) -> list[str]:
        """Those that have not begun."""
        return sorted(self.wanted.keys() - self._seen)

    async def note(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Pass a request on, and note the watch that it begins."""
        response = await handler(request)
        path, query = request.url.path, request.url.query
        if not response.ok:
            return response
        if self.begun.is_set() and path in self.wanted and _is_list(query):
            self.lost(self.wanted[path])
        if "watch" in query:
            self._seen.add(path)
            if self.wanted.keys() <= self._seen:
                self.begun.set()
        return response


def _is_list(query: Mapping[str, str]) -> bool:
    """Tell whether a request begins a list, be it in pages or at the head of a watch."""
    return "sendInitialEvents" in query or not ("watch" in query or "continue" in query)


async def _only_reads(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    if request.method != "GET":
        raise Forbidden(f"the watch session only reads: {request.method} {request.url.path} is refused")
    return await handler(request)


@dataclass
class Throttle:
    """Holds back lists and watches that are asked for again right after they began.

    kopf asks again at once when a watch ends: thousands of times a second where a server accepts and closes.
    """

    _begun: dict[tuple[str, bool], float] = field(default_factory=dict)
    _hurried: dict[tuple[str, bool], int] = field(default_factory=dict)

    async def slow_down(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Pass a request on, after a pause if its predecessor was short-lived."""
        query = request.url.query
        if "continue" not in query:  # the next page of a list is no repetition
            pause = self.pause((request.url.path, "watch" in query), asyncio.get_running_loop().time())
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311 - jitter is no secret
        return await handler(request)

    def pause(self, stream: tuple[str, bool], now: float) -> float:
        """Return the seconds to wait before the stream is begun again; the first repetition is free."""
        hurried = now - self._begun.get(stream, -_CALM) < _CALM
        times = self._hurried.get(stream, 0) + 1 if hurried else 0
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (times - 2)) if times > 1 else 0.0
        self._hurried[stream] = times
        self._begun[stream] = now + pause
        return pause
