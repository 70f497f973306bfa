"""Everything that kopf calls. It tells us what changed; it never writes, and nothing here decides.

Only `on.event` is used, which keeps no state in the objects, and every handler returns None: kopf would write anything
else into the object's status.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import kopf

from sidecarpolicy.api import names
from sidecarpolicy.cluster.client import Client, ClusterError
from sidecarpolicy.cluster.read import PAGE
from sidecarpolicy.cluster.resources import RESOURCES
from sidecarpolicy.cluster.watch import Streams, watch_session
from sidecarpolicy.controller.loop import Loop
from sidecarpolicy.planning.policy import ref_of as policy_ref_of
from sidecarpolicy.planning.workload import KINDS, ref_of

registry = kopf.OperatorRegistry()

WATCHED = (*KINDS, names.POLICY_KIND, names.CLUSTER_POLICY_KIND, "Namespace")

_PAUSE = 0.1
_GRACE = 10.0


@kopf.on.login(registry=registry)
async def login(memo: kopf.Memo, **_: Any) -> kopf.AiohttpSession:
    """Give kopf a session that can only read."""
    client: Client = memo.client
    return kopf.AiohttpSession(server=client.credentials.server, aiohttp_session=watch_session(client, memo.streams))


@kopf.on.event("apps", "v1", "deployments", registry=registry)
@kopf.on.event("apps", "v1", "statefulsets", registry=registry)
@kopf.on.event("apps", "v1", "daemonsets", registry=registry)
@kopf.on.event("batch", "v1", "cronjobs", registry=registry)
@kopf.on.event("batch", "v1", "jobs", registry=registry)
async def workload(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
    """A workload changed, or is seen for the first time."""
    loop: Loop = memo.loop
    body: Any = event["object"]
    if event["type"] == "DELETED":
        loop.forget(ref_of(body), body["metadata"]["uid"])
    else:
        loop.observe(body)


@kopf.on.event(names.GROUP, names.VERSION, names.POLICY_PLURAL, registry=registry)
@kopf.on.event(names.GROUP, names.VERSION, names.CLUSTER_POLICY_PLURAL, registry=registry)
async def policy(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
    """A policy changed."""
    loop: Loop = memo.loop
    body: Any = event["object"]
    if event["type"] == "DELETED":
        loop.forget_policy(policy_ref_of(body), body["metadata"]["uid"])
    else:
        loop.observe_policy(body)


@kopf.on.event("v1", "namespaces", registry=registry)
async def namespace(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
    """A namespace changed."""
    loop: Loop = memo.loop
    body: Any = event["object"]
    if event["type"] == "DELETED":
        loop.forget_namespace(body)
    else:
        loop.observe_namespace(body)


@kopf.on.cleanup(registry=registry)
async def stop(memo: kopf.Memo, **_: Any) -> None:
    """The process was told to stop: kopf waits for all that still runs."""
    memo.stop()


def streams(lost: Callable[[str], None]) -> Streams:
    """Return the watches that kopf holds, to know when all of them have begun, and when one was lost for a time."""
    return Streams({RESOURCES[kind].path(): kind for kind in WATCHED}, lost)


async def watch(client: Client, loop: Loop, streams: Streams, stop: Callable[[], object], *, streaming: bool) -> None:
    """Have kopf tell the loop of every change, until the process is told to stop: then call `stop`."""
    operator = kopf.operator(
        registry=registry,
        settings=settings(streaming=streaming),
        clusterwide=True,
        standalone=True,
        memo=kopf.Memo(client=client, loop=loop, streams=streams, stop=stop),
    )
    operating, guarding = asyncio.create_task(operator), asyncio.create_task(_guard())
    try:
        done, _ = await asyncio.wait((operating, guarding), return_when=asyncio.FIRST_COMPLETED)
    finally:
        guarding.cancel()
        await _end(operating)
    for one in done:
        one.result()


def unwatched(streams: Streams) -> list[str]:
    """Return the resources that were watched and are not any more: kopf may go on without, and be deaf to them."""
    if not streams.begun.is_set():
        return []
    return sorted(_WATCHERS[name] for name in _WATCHERS.keys() - {task.get_name() for task in asyncio.all_tasks()})


async def _guard() -> None:
    """Raise when a resource is not watched any more."""
    while not _watchers():  # noqa: ASYNC110 - kopf has no word for it
        await asyncio.sleep(_PAUSE)
    watchers = _watchers()
    # kopf starts them all in one go, but for what the API server did not serve then.
    if missing := _WATCHERS.keys() - {one.get_name() for one in watchers}:
        raise ClusterError(f"{', '.join(sorted(_WATCHERS[name] for name in missing))} cannot be watched: not served")
    ended, _ = await asyncio.wait(watchers, return_when=asyncio.FIRST_COMPLETED)
    for one in ended:
        if one.cancelled():
            # As when kopf ends, which it then does soon.
            await asyncio.sleep(_GRACE)
        error = "cancelled" if one.cancelled() else one.exception() or "it ended"
        raise ClusterError(f"{_WATCHERS[one.get_name()]} cannot be watched any more: {error}")


async def _end(operating: asyncio.Task[None]) -> None:
    """Have kopf end, and be patient whoever is not: a watcher may swallow a cancellation, and kopf waits for it."""
    operating.cancel()
    while not operating.done():
        for one in _watchers():
            one.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait((operating,), timeout=_PAUSE)


def _watchers() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name() in _WATCHERS]


def _resource(kind: str) -> str:
    """Return the resource of a kind as kopf spells it."""
    resource = RESOURCES[kind]
    return f"{resource.plural}.{resource.version}.{resource.group}".rstrip(".")


_WATCHERS = {f"watcher for {resource}@None": resource for resource in map(_resource, WATCHED)}
"""The names of kopf's tasks, and what they watch."""


def settings(*, streaming: bool) -> kopf.OperatorSettings:
    """Return kopf's settings: several times faster and smaller than its defaults, and unable to write."""
    result = kopf.OperatorSettings()
    result.posting.enabled = False
    result.scanning.disabled = True
    result.process.ultimate_exiting_timeout = None
    result.queueing.idle_timeout = 0.001
    # Fewer cannot keep up with the first list: a thousand workloads that wait for one take 25 MiB.
    result.queueing.worker_limit = 20
    result.watching.initial_streaming = streaming
    result.watching.chunk_size = PAGE
    result.persistence.finalizer = names.KOPF_FINALIZER
    result.persistence.diffbase_storage = NoDiffBase()
    result.persistence.progress_storage = NoProgress()
    return result


class NoDiffBase(kopf.DiffBaseStorage):
    """Keeps nothing: no handler asks what changed, and computing it is most of kopf's work per event."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Return nothing to compare."""
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> kopf.BodyEssence:
        """Return what was stored: nothing."""
        return kopf.BodyEssence()

    def store(self, **_: Any) -> None:
        """Store nothing."""


class NoProgress(kopf.ProgressStorage):
    """Keeps nothing: `on.event` handlers have no progress."""

    def fetch(self, **_: Any) -> None:
        """Return what was stored: nothing."""

    def store(self, **_: Any) -> None:
        """Store nothing."""

    def purge(self, **_: Any) -> None:
        """Leave what is not there."""

    def touch(self, **_: Any) -> None:
        """Touch nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """Return the essence as it is."""
        return essence
