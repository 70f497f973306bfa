"""Work on an event loop of its own."""

from __future__ import annotations

import asyncio
import threading

import pytest

from sidecarpolicy.admission.aside import aside
from sidecarpolicy.cluster.client import ClusterError


async def test_what_comes_of_it_is_returned() -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        return "done"

    assert await aside(work()) == "done"


async def test_what_breaks_it_is_raised() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise ClusterError("the port is taken")

    with pytest.raises(ClusterError, match="the port is taken"):
        await aside(work())


async def test_it_goes_on_while_this_event_loop_stands_still() -> None:
    asked, answered = threading.Event(), threading.Event()

    async def work() -> None:
        await asyncio.to_thread(asked.wait, 20)
        answered.set()

    running = asyncio.create_task(aside(work()))
    await asyncio.sleep(0)
    asked.set()
    assert answered.wait(20)
    await running


async def test_cancelled_it_comes_to_its_end_first() -> None:
    begun, ended = threading.Event(), threading.Event()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            ended.set()

    running = asyncio.create_task(aside(work()))
    assert await asyncio.to_thread(begun.wait, 20)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert ended.is_set()
