"""What kubelet and Prometheus ask."""

from __future__ import annotations

import os
import socket

import aiohttp
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families

from sidecarpolicy.cluster import health


def well() -> str:
    return ""


async def ask(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def open_files() -> list[str]:
    return os.listdir("/dev/fd")


async def test_it_is_alive_before_it_is_ready() -> None:
    port, amiss = free_port(), ["still looking"]
    async with health.serve(port, alive=well, ready=lambda: "".join(amiss)):
        assert await ask(port, "/healthz") == (200, "ok\n")
        assert await ask(port, "/readyz") == (503, "still looking\n")
        amiss.clear()

        assert await ask(port, "/readyz") == (200, "ok\n")


async def test_what_is_amiss_is_told() -> None:
    port = free_port()
    async with health.serve(port, alive=lambda: "not watched any more: jobs", ready=well):
        assert await ask(port, "/healthz") == (503, "not watched any more: jobs\n")


async def test_no_port_is_nowhere() -> None:
    before = open_files()
    async with health.serve(0, alive=well, ready=well):
        assert open_files() == before


async def test_metrics_are_told_in_prometheus_own_words() -> None:
    registry, port = CollectorRegistry(), free_port()
    Gauge("answer", "To everything.", registry=registry).set(42)
    async with (
        health.serve(port, alive=well, ready=well, registry=registry),
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/metrics") as answer,
    ):
        [family] = text_string_to_metric_families(await answer.text())

        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert [(sample.name, sample.value) for sample in family.samples] == [("answer", 42)]
