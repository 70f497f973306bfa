"""What kubelet asks."""

from __future__ import annotations

import asyncio
import socket

import aiohttp

from sidecarpolicy.cluster import health


async def ask(port: int, path: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def test_it_is_alive_before_it_is_ready() -> None:
    ready, port = asyncio.Event(), free_port()
    async with health.serve(port, ready):
        assert (await ask(port, "/healthz"), await ask(port, "/readyz")) == (200, 503)
        ready.set()

        assert await ask(port, "/readyz") == 200


async def test_no_port_is_nowhere() -> None:
    async with health.serve(0, asyncio.Event()):
        pass
