"""What kopf may do to us: go on without a watcher, deaf to what it watched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

import pytest

from sidecarpolicy import handlers
from sidecarpolicy.cluster.resources import RESOURCES


@pytest.fixture
async def watchers() -> AsyncIterator[dict[str, asyncio.Task[Literal[True]]]]:
    """Tasks that are named as kopf names its own."""
    resources = [RESOURCES[kind] for kind in handlers.WATCHED]
    names = [f"{one.plural}.{one.version}.{one.group}".rstrip(".") for one in resources]
    tasks = {name: asyncio.create_task(asyncio.Event().wait(), name=f"watcher for {name}@None") for name in names}
    yield tasks
    for task in tasks.values():
        task.cancel()


async def test_all_watched_is_well(watchers: dict[str, asyncio.Task[Literal[True]]]) -> None:
    streams = handlers.streams(print)
    streams.begun.set()

    assert handlers.unwatched(streams) == []


async def test_a_watcher_that_has_gone_is_named(watchers: dict[str, asyncio.Task[Literal[True]]]) -> None:
    streams = handlers.streams(print)
    streams.begun.set()
    gone = [watchers["jobs.v1.batch"], watchers["namespaces.v1"]]
    for one in gone:
        one.cancel()
    await asyncio.wait(gone)

    assert handlers.unwatched(streams) == ["jobs.v1.batch", "namespaces.v1"]


async def test_what_has_not_begun_is_not_missed() -> None:
    assert handlers.unwatched(handlers.streams(print)) == []
