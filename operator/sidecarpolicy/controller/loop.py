"""Observe, decide, act, say: what keeps every workload as the policies ask.

kopf ──▶ observe ──▶ fleet ──▶ next_wave ──▶ writers ──▶ API server
                       ▲                        │
                       └──── what came back ────┘        describe ──▶ status, Events
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import structlog

from sidecarpolicy.api.policy import Json
from sidecarpolicy.cluster import read
from sidecarpolicy.cluster.client import Client, ClusterError
from sidecarpolicy.cluster.report import Recorder
from sidecarpolicy.controller.book import Book
from sidecarpolicy.controller.fleet import Fleet
from sidecarpolicy.controller.keeper import UNJUDGED, Keeper
from sidecarpolicy.controller.looker import Looker
from sidecarpolicy.controller.metrics import Metrics
from sidecarpolicy.controller.namespaces import Namespaces
from sidecarpolicy.controller.probe import AdmissionProbe
from sidecarpolicy.controller.speaker import Speaker
from sidecarpolicy.controller.survey import Survey
from sidecarpolicy.controller.writer import Writer
from sidecarpolicy.planning import rollout, status
from sidecarpolicy.planning.policy import PolicyRef
from sidecarpolicy.planning.selection import Labels
from sidecarpolicy.planning.workload import KINDS, Ref, controller_of, ref_of

log = structlog.get_logger()

Clock = Callable[[], datetime]

_PAUSE = 1.0
"""Seconds between two passes, so that a status is written at most once a second."""
_REST = 10
"""How many times as long as a pass took is rested after it: it takes longer, the more workloads there are."""
_LONGEST_REST = 5.0
"""Seconds: where others keep the processor busy, a pass takes long by the clock and not by what it does."""
_IDLE_LOOK = timedelta(seconds=5)
"""After this long what is on its way is described again, for what only time tells."""
_JUDGE_AGAIN = 300.0
_LOOKERS = 8


class Loop:
    """One cluster's policies and workloads, brought and kept together."""

    def __init__(
        self,
        client: Client,
        recorder: Recorder,
        clock: Clock,
        *,
        namespace: str,
        excluded: frozenset[str],
        writers: int,
        leading: asyncio.Event,
        metrics: Metrics,
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._clock = clock
        self._namespaces = Namespaces()
        self.book = Book(excluded)
        self.fleet = Fleet()
        self._leading = leading
        """Whoever does not lead looks on, answers admission, and writes nothing."""
        self._keeper = Keeper(client, self.book, namespace, leading)
        self._wake = asyncio.Event()
        self._metrics = metrics
        self._writer = Writer(client, self.fleet, recorder, clock, self.observe, self._touch, metrics)
        self._survey = Survey(client, self.book, self.fleet, self.observe, self.forget, self._give_back)
        self._probe = AdmissionProbe(client, self.book, self.fleet, lambda ref: self._start(self._look_again(ref)))
        self._writers = writers
        self._dirty: set[PolicyRef] = set()
        self._described = clock()
        self._looker = Looker(client, self.fleet, clock, self._writer.tell_failed, self._touch)
        self._speaker = Speaker(client, self.book, self.fleet, self._keeper, recorder)
        metrics.gauges.follow(self.book, self.fleet, clock, writes=self._writer.queued, looks=self._looker.queued)
        self._tasks = asyncio.TaskGroup()
        self.is_loaded = asyncio.Event()
        """The policies are known: workloads may be told of."""
        self.is_synced = asyncio.Event()
        """Everything was looked at once: changes are made from here on."""

    async def run(self, streams_begun: asyncio.Event) -> None:
        """Load what there is, wait for the watches, look at everything once; when we lead, work until cancelled."""
        async with self._tasks as tasks:
            tasks.create_task(self._metrics.measure_lag())
            for item in await read.namespaces(self._client):
                self._namespaces.put(item)
            await self._keeper.load()
            bodies = [entry.body for entry in self.book.entries.values()]
            judged = await asyncio.gather(*(self._keeper.judge_once(body) for body in bodies))
            for body in itertools.compress(bodies, (not done for done in judged)):
                # One that cannot be judged now must not hold up the others.
                self._start(self._judge(body))
            self.is_loaded.set()
            await streams_begun.wait()
            has_led = self._leading.is_set()
            await self._look_at_everything()
            self.is_synced.set()
            log.info("in sync", workloads=len(self.fleet.known), policies=len(self.book.entries))
            tasks.create_task(self._judge_again())
            await self._leading.wait()
            await self._try(self._take_over())
            if not has_led:
                # Who led before us may have ended between the two writes of one change.
                self._start(self._survey.everything())
            tasks.create_task(self._recorder.run())
            tasks.create_task(self._probe.run())
            for _ in range(self._writers):
                tasks.create_task(self._writer.run())
            for _ in range(_LOOKERS):
                tasks.create_task(self._looker.run())
            while True:
                with self._metrics.reconciles.time():
                    spent = await self._pass()
                await self._rest(spent)

    async def _rest(self, spent: timedelta) -> None:
        await asyncio.sleep(min(max(_PAUSE, spent.total_seconds() * _REST), _LONGEST_REST))
        timeout = _IDLE_LOOK.total_seconds() if self.fleet.moving or self.fleet.holds else None
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                # Not by wait_for, which swallows its task's end when the event comes in the same moment.
                await self._wake.wait()
        self._wake.clear()

    # What kopf tells.

    def labels(self, namespace: str) -> Labels | None:
        """Return a namespace's labels; None where it is not known yet."""
        return self._namespaces.labels(namespace)

    def observe(self, body: Json) -> None:
        """Take in a workload as the API server has it now."""
        labels = self._namespaces.labels(body["metadata"]["namespace"])
        if labels is None:
            return
        before = self.fleet.known.get(ref_of(body))
        try:
            concerned = self.fleet.observe(body, self.book.asking, labels)
        except Exception:
            # A mistake of ours about one workload must not stop the care for all others.
            log.exception("workload not understood", workload=str(ref_of(body)))
            return
        after = self.fleet.known.get(ref_of(body))
        if after is not None and concerned and self._is_at_work:
            if controller_of(body) is None:
                # The Jobs of a CronJob would be many, and have what it has.
                self._writer.tell_of_admission(before, after)
            self._writer.tell_if_blocked(before, after)
            if not after.in_flux and self.fleet.is_due(after, self._clock()):
                # The next pass would do as well, up to a second later.
                self._looker.soon(after)
        self._touch(concerned)

    def forget(self, ref: Ref, uid: str) -> None:
        """A workload is gone."""
        self._touch(self.fleet.forget(ref, uid))

    def observe_namespace(self, body: Json) -> None:
        """Take in a namespace's labels, which cluster-wide policies select by."""
        name = body["metadata"]["name"]
        if self._namespaces.put(body):
            self.book.ask_again()
            for ref in self.book.policies:
                if not ref.namespace:
                    self._start(self._survey.policy(ref, name))
        if self._namespaces.is_awaited(name):
            self._start(self._survey.namespace(name))

    def forget_namespace(self, body: Json) -> None:
        """A namespace is gone."""
        self._namespaces.drop(body)

    def observe_policy(self, body: Json) -> None:
        """Take in a policy as the API server has it now."""
        if not self._keeper.is_news(body):
            return
        self._start(self._judge(body))

    def forget_policy(self, ref: PolicyRef, uid: str) -> None:
        """A policy is gone: what it left behind is nobody's any more."""
        if self._keeper.forget(ref, uid):
            self._start(self._look_again(ref))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        trying = self._try(work)
        try:
            self._tasks.create_task(trying)
        except RuntimeError:
            # Something broke, and the process is on its way out.
            trying.close()
            work.close()

    async def _try(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except ClusterError as error:
            # The hands have tried for a while; without this look we would not know what to do.
            log.error("workloads not listed, starting over", error=error.message)
            raise

    def _touch(self, policies: set[PolicyRef]) -> None:
        if policies:
            self._dirty |= policies
            self._wake.set()

    async def _judge(self, body: Json) -> None:
        ref = await self._keeper.judge(body)
        if ref is not None:
            await self._look_again(ref)
        if ref is not None and self._is_at_work:
            await self._keeper.prune(ref, self.fleet.applied)

    async def _judge_again(self) -> None:
        """Judge policies anew that were not accepted: what the API server has against them may be gone by now."""
        while True:
            await asyncio.sleep(_JUDGE_AGAIN)
            refused = [entry for entry in self.book.entries.values() if not entry.acceptance.is_accepted]
            for entry in refused:
                await self._try(self._judge(entry.body))

    @property
    def _is_at_work(self) -> bool:
        return self.is_synced.is_set() and self._leading.is_set()

    def _give_back(self, body: Json) -> None:
        if self._leading.is_set():
            self._writer.give_back(body)

    # Looking at workloads anew.

    async def _look_at_everything(self) -> None:
        judged = [entry for entry in self.book.entries.values() if entry.acceptance is not UNJUDGED]
        await self._survey.everything()
        for entry in judged:
            entry.listed = True

    async def _take_over(self) -> None:
        """Do what only the leader may, and go on from what the one before us said."""
        await self._keeper.take_over()
        ready = frozenset(ref for ref, entry in self.book.entries.items() if status.was_ready(entry.body))
        self.fleet.trust(ready, self._clock())
        self._touch(set(self.book.entries))

    async def _look_again(self, ref: PolicyRef) -> None:
        entry = self.book.entries.get(ref)
        await self._survey.policy(ref)
        if entry is not None:
            # One that was put in its place meanwhile has to be looked for again, which is under way.
            entry.listed = True
        self._touch({ref})

    def catch_up(self, kind: str) -> None:
        """Find out what went unheard: a watch that was lost for long begins with a new list, which tells no ends."""
        log.info("watch was lost, so all is looked at again", kind=kind)
        if kind in KINDS:
            self._start(self._survey.kind(kind))
        elif kind != "Namespace":
            self._start(self._find_gone(kind))

    async def _find_gone(self, kind: str) -> None:
        there = {body["metadata"]["uid"] for body in await read.policies(self._client)}
        for ref, entry in list(self.book.entries.items()):
            if ref.kind == kind and entry.body["metadata"]["uid"] not in there:
                self.forget_policy(ref, entry.body["metadata"]["uid"])

    # One pass.

    async def _pass(self) -> timedelta:
        """Start what may start and say what there is to say; return how long looking at the whole fleet took."""
        now = self._clock()
        self._dirty |= self.fleet.release(now)
        if now - self._described > _IDLE_LOOK:
            self._dirty |= self.fleet.moving
            self._described = now
        # In a thread, as is all that takes long with ten thousand workloads: admission must not wait for it.
        wave = await asyncio.to_thread(
            rollout.next_wave,
            self.book.policies,
            list(self.fleet.startable(now)),
            frozenset(self.fleet.known[ref].uid for ref in self.fleet.started if ref in self.fleet.known),
            self.fleet.leaving(now),
        )
        for change in wave.changes:
            self._writer.start(change)
        await asyncio.sleep(0)
        for one in self.fleet.due(now):
            self._looker.soon(one)
        spent = self._clock() - now
        dirty, self._dirty = self._dirty, set()
        await asyncio.gather(*(self._say(ref, now) for ref in dirty))
        return spent

    async def _say(self, ref: PolicyRef, now: datetime) -> None:
        if not await self._speaker.say(ref, now):
            self._touch({ref})
