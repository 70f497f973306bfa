"""Everything that kopf calls. It tells us what changed; it never writes, and nothing here decides.

Only `on.event` is used, which keeps no state in the objects, and every handler returns None: kopf would write anything
else into the object's status.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kopf

from sidecarpolicy.api import names
from sidecarpolicy.cluster.client import Client
from sidecarpolicy.cluster.read import PAGE
from sidecarpolicy.cluster.resources import RESOURCES
from sidecarpolicy.cluster.watch import Streams, watch_session
from sidecarpolicy.controller.loop import Loop
from sidecarpolicy.planning.policy import ref_of as policy_ref_of
from sidecarpolicy.planning.workload import KINDS, ref_of

registry = kopf.OperatorRegistry()

WATCHED = (*KINDS, names.POLICY_KIND, names.CLUSTER_POLICY_KIND, "Namespace")


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


def streams() -> Streams:
    """Return the watches that kopf holds, to know when all of them have begun."""
    return Streams(frozenset(RESOURCES[kind].path() for kind in WATCHED))


async def watch(client: Client, loop: Loop, streams: Streams, stop: Callable[[], object], *, streaming: bool) -> None:
    """Have kopf tell the loop of every change, until the process is told to stop: then call `stop`."""
    await kopf.operator(
        registry=registry,
        settings=settings(streaming=streaming),
        clusterwide=True,
        standalone=True,
        memo=kopf.Memo(client=client, loop=loop, streams=streams, stop=stop),
    )


def settings(*, streaming: bool) -> kopf.OperatorSettings:
    """Return kopf's settings: several times faster and smaller than its defaults, and unable to write."""
    result = kopf.OperatorSettings()
    result.posting.enabled = False
    result.scanning.disabled = True
    result.process.ultimate_exiting_timeout = None
    result.queueing.idle_timeout = 0.01
    result.queueing.worker_limit = 100
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
