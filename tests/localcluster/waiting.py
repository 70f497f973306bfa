"""Waiting for a fact about the world instead of for a time."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

Fact = TypeVar("Fact")

PATIENCE = 30.0
PAUSE = 0.05


def until(fact: Callable[[], Fact], seconds: float = PATIENCE) -> Fact:
    """Ask again and again until the answer is truthy and return it, or fail with the last one."""
    deadline = time.monotonic() + seconds
    while not (answer := fact()):
        assert time.monotonic() < deadline, f"not after {seconds:.0f}s: the last answer was {answer!r}"
        time.sleep(PAUSE)
    return answer


async def becomes(fact: Callable[[], Fact], seconds: float = PATIENCE) -> Fact:
    """Do the same while the event loop runs on; the question itself may block."""
    return await asyncio.to_thread(until, fact, seconds)
