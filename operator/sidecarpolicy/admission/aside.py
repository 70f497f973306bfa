"""An event loop in a thread of its own: what keeps the controller's busy must not keep the API server waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def aside(work: Coroutine[Any, Any, T]) -> T:
    """Return what comes of work that runs beside this event loop; when we are cancelled, so is it, to its end."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)
    running = asyncio.get_running_loop().run_in_executor(None, loop.run_until_complete, task)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        loop.call_soon_threadsafe(task.cancel)
        with suppress(asyncio.CancelledError):
            await running
        raise
    finally:
        loop.close()
