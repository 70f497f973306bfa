"""Sends changes, many at once, and takes in what came of each."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import assert_never

import structlog

from sidecarpolicy.api import names
from sidecarpolicy.api.policy import Json
from sidecarpolicy.api.reasons import BlockReason, EventReason
from sidecarpolicy.cluster import read, write
from sidecarpolicy.cluster.client import Client, ClusterError
from sidecarpolicy.cluster.report import Recorder, Subject
from sidecarpolicy.controller.fleet import Fleet, blocked
from sidecarpolicy.controller.metrics import Metrics
from sidecarpolicy.controller.writes import TIMES, WITHIN, Writes
from sidecarpolicy.planning.assess import Assessment, Standing
from sidecarpolicy.planning.patch import Change
from sidecarpolicy.planning.pods import Failing
from sidecarpolicy.planning.policy import PolicyRef
from sidecarpolicy.planning.telling import told, told_of_admission
from sidecarpolicy.planning.workload import Ref, ref_of

log = structlog.get_logger()

_LONGEST_FIGHT_PAUSE = timedelta(hours=4)
_REFUSED_PAUSE = timedelta(minutes=5)
_STALE_PAUSE = timedelta(milliseconds=200)
_LONGEST_STALE_PAUSE = timedelta(seconds=30)


class Writer:
    """Workers that each send one change after the other."""

    def __init__(
        self,
        client: Client,
        fleet: Fleet,
        recorder: Recorder,
        clock: Callable[[], datetime],
        observe: Callable[[Json], None],
        done: Callable[[set[PolicyRef]], None],
        metrics: Metrics,
    ) -> None:
        self._client = client
        self._fleet = fleet
        self._recorder = recorder
        self._clock = clock
        self._observe = observe
        self._done = done
        self._metrics = metrics
        self._queue: asyncio.Queue[Change | Json] = asyncio.Queue()
        self._writes = Writes()
        self._fights: defaultdict[str, int] = defaultdict(int)
        self._tries: defaultdict[str, int] = defaultdict(int)

    def start(self, change: Change) -> None:
        """Have a change sent as soon as a worker is free."""
        self._fleet.started.add(change.ref)
        self._queue.put_nowait(change)

    def give_back(self, body: Json) -> None:
        """Have our claims on the author's fields given back."""
        self._queue.put_nowait(body)

    def queued(self) -> int:
        """How many changes wait for a free worker."""
        return self._queue.qsize()

    async def run(self) -> None:
        """Send changes until cancelled."""
        while True:
            task = await self._queue.get()
            ref = task.ref if isinstance(task, Change) else ref_of(task)
            before = self._concerned(ref)
            if isinstance(task, Change):
                await self._try(task)
            else:
                await self._give_back(task)
            self._done(before | self._concerned(ref))

    def _concerned(self, ref: Ref) -> set[PolicyRef]:
        one = self._fleet.known.get(ref)
        return set(one.states) if one is not None else set()

    async def _try(self, change: Change) -> None:
        try:
            await self._send(change)
        except ClusterError as error:
            log.warning("change put off", workload=str(change.ref), error=error.message)
            self._rest(change)
        finally:
            self._fleet.started.discard(change.ref)

    async def _give_back(self, body: Json, earlier: Json | None = None) -> None:
        try:
            trimmed = await write.trim(self._client, body, earlier)
        except ClusterError as error:
            log.warning("claims not given back", workload=str(ref_of(body)), error=error.message)
            return
        if trimmed is not None:
            self._observe(trimmed)

    async def _send(self, change: Change) -> None:
        before = self._fleet.known.get(change.ref)
        if before is None or before.change is not change:
            # It was assessed anew while it waited for its turn.
            return
        if await self._is_fought(change):
            return
        earlier = await read.get(self._client, change.ref) if change.moves else None
        outcome = await write.apply(self._client, change)
        self._metrics.wrote(change.ref.kind, outcome)
        match outcome:
            case write.Applied(body):
                await self._applied(before, change, body, earlier)
            case write.Gone():
                self._tries.pop(change.uid, None)
                self._fleet.forget(change.ref, change.uid)
            case write.Stale() | write.Unknown():
                log.info("workload changed meanwhile", workload=str(change.ref))
                # What another's write has taken from an applier is not ours to give back.
                await self._read_again(change, earlier if isinstance(outcome, write.Unknown) else None)
                self._rest(change)
            case write.Refused(message):
                log.warning("change refused", workload=str(change.ref), message=message)
                state = blocked(BlockReason.REFUSED, f"the API server refuses the change of {change.ref}: {message}")
                self._fleet.hold(change, self._clock() + _REFUSED_PAUSE, state)
                self._observe_blocked(before, state.message)
            case _:
                assert_never(outcome)

    async def _applied(self, before: Assessment, change: Change, body: Json, earlier: Json | None) -> None:
        self._tries.pop(change.uid, None)
        if change.restarts:
            self._fleet.left(before, self._clock())
            self._tell_changed(before, *told(before))
        else:
            log.info("record changed", workload=str(change.ref))
        self._observe(body)
        self._writes.add(change, self._clock())
        if change.fills:
            await self._give_back(body, earlier)

    async def _read_again(self, change: Change, earlier: Json | None) -> None:
        body = await read.get(self._client, change.ref)
        if body is None:
            self._fleet.forget(change.ref, change.uid)
        else:
            self._observe(body)
            if change.fills:
                # It may be written, with nobody to tell us so.
                await self._give_back(body, earlier)

    def _rest(self, change: Change) -> None:
        """Let a workload that others write to at the same time alone for a moment, longer every time."""
        self._tries[change.uid] += 1
        pause = min(_LONGEST_STALE_PAUSE, _STALE_PAUSE * 2 ** min(self._tries[change.uid], 10))
        self._fleet.hold(change, self._clock() + pause)

    async def _is_fought(self, change: Change) -> bool:
        """Stop writing where somebody reverted the same wish again and again, and name who it was."""
        one, now = self._fleet.known[change.ref], self._clock()
        if not self._writes.is_repeated(change, now):
            return False
        body = await read.get(self._client, change.ref)
        rival = _last_writer(body) if body is not None else "another writer"
        message = (
            f"{rival} reverted the change of {change.ref} {TIMES} times within ten minutes, so it is left alone for"
            " now: have it ignore what sidecarpolicy adds, or do not select the workload"
        )
        pause = min(_LONGEST_FIGHT_PAUSE, WITHIN * 2 ** min(self._fights[change.uid], 10))
        self._fights[change.uid] += 1
        log.warning("change is reverted", workload=str(change.ref), rival=rival, pause=str(pause))
        self._fleet.give_up(change, now + pause, blocked(BlockReason.FIGHTING_CONTROLLER, message))
        self._observe_blocked(one, message)
        return True

    # Events, on transitions only.

    def _tell_changed(self, one: Assessment, reason: EventReason, message: str) -> None:
        log.info("workload changed", workload=str(one.ref), reason=str(reason), message=message)
        self._recorder.record(Subject(*one.ref, one.uid), "Normal", reason, message)

    def tell_of_admission(self, before: Assessment | None, after: Assessment) -> None:
        """Tell a workload's owner what admission did, unless it is our own write that comes back."""
        if after.ref in self._fleet.started:
            return
        said = told_of_admission(before, after)
        if said is not None:
            self._tell_changed(after, *said)

    def tell_if_blocked(self, before: Assessment | None, after: Assessment) -> None:
        """Tell a workload's owner when it becomes blocked."""
        for ref, state in after.states.items():
            known = before.states.get(ref) if before is not None else None
            if state.standing is Standing.BLOCKED and (known is None or known.reason is not state.reason):
                self._observe_blocked(after, f"{ref}: {state.message}")

    def _observe_blocked(self, one: Assessment, message: str) -> None:
        self._recorder.record(Subject(*one.ref, one.uid), "Warning", EventReason.SIDECARS_BLOCKED, message)

    def tell_failed(self, one: Assessment, seen: Failing) -> None:
        """Tell a workload's owner what its pods say."""
        self._recorder.record(Subject(*one.ref, one.uid), "Warning", EventReason.SIDECARS_FAILED, seen.message)


def _last_writer(body: Json) -> str:
    others = [
        (entry.get("time", ""), entry.get("manager", ""))
        for entry in body["metadata"].get("managedFields") or ()
        if entry.get("manager") != names.FIELD_MANAGER and entry.get("subresource") != "status"
    ]
    return max(others)[1] if others else "another writer"
