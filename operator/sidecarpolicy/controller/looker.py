"""Looks at the pods of workloads: on demand only, some at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog

from sidecarpolicy.cluster import read
from sidecarpolicy.cluster.client import Client, ClusterError
from sidecarpolicy.controller.fleet import Fleet
from sidecarpolicy.planning import pods
from sidecarpolicy.planning.assess import Assessment
from sidecarpolicy.planning.policy import PolicyRef

log = structlog.get_logger()

_PODS_PER_LOOK = 200


class Looker:
    """Workers that each look at one workload's pods after the other."""

    def __init__(
        self,
        client: Client,
        fleet: Fleet,
        clock: Callable[[], datetime],
        failed: Callable[[Assessment, pods.Failing], None],
        done: Callable[[set[PolicyRef]], None],
    ) -> None:
        self._client = client
        self._fleet = fleet
        self._clock = clock
        self._failed = failed
        self._done = done
        self._queue: asyncio.Queue[Assessment] = asyncio.Queue()

    def soon(self, one: Assessment) -> None:
        """Have a workload's pods looked at as soon as a worker is free."""
        self._fleet.looking.add(one.ref)
        self._queue.put_nowait(one)

    def queued(self) -> int:
        """How many workloads wait for a free worker."""
        return self._queue.qsize()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            one = await self._queue.get()
            try:
                await self._look(one)
            except ClusterError as error:
                log.warning("pods not seen", workload=str(one.ref), error=error.message)
            except Exception:
                # A mistake of ours about one pod must not stop the care for all others.
                log.exception("pods not understood", workload=str(one.ref))
                unknown = pods.Starting("its pods are not understood: see the operator's log")
                self._fleet.saw(one, unknown, self._clock())
            finally:
                self._fleet.looking.discard(one.ref)

    async def _look(self, one: Assessment) -> None:
        if one.asked is None:
            return
        found = await read.pods(self._client, one.ref.namespace, one.asked.selector, _PODS_PER_LOOK)
        seen = pods.look(found, one.asked, self._clock())
        before = self._fleet.saw(one, seen, self._clock())
        if isinstance(seen, pods.Failing) and not (isinstance(before, pods.Failing) and before.reason is seen.reason):
            self._failed(one, seen)
        self._done(set(one.states))
