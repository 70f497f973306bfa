"""What kubelet and Prometheus ask."""

from __future__ import annotations

import asyncio
import os
import socket

import aiohttp
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families

from sidecarpolicy.cluster import health


async def ask(port: int, path: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def open_files() -> list[str]:
    return os.listdir("/dev/fd")


async def test_it_is_alive_before_it_is_ready() -> None:
    ready, port = asyncio.Event(), free_port()
    async with health.serve(port, ready):
        assert (await ask(port, "/healthz"), await ask(port, "/readyz")) == (200, 503)
        ready.set()

        assert await ask(port, "/readyz") == 200


async def test_no_port_is_nowhere() -> None:
    before = open_files()
    async with health.serve(0, asyncio.Event()):
        assert open_files() == before


async def test_metrics_are_told_in_prometheus_own_words() -> None:
    registry, port = CollectorRegistry(), free_port()
    Gauge("answer", "To everything.", registry=registry).set(42)
    async with (
        health.serve(port, asyncio.Event(), registry),
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/metrics") as answer,
    ):
        [family] = text_string_to_metric_families(await answer.text())

        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert [(sample.name, sample.value) for sample in family.samples] == [("answer", 42)]
