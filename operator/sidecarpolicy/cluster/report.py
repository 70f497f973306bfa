"""What we tell users: the status of a policy, and Kubernetes Events on policies and workloads."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import uuid4

import structlog

from sidecarpolicy.api.names import GROUP
from sidecarpolicy.api.policy import Json
from sidecarpolicy.cluster.client import MERGE_PATCH, Client, ClusterError, NotFound
from sidecarpolicy.cluster.resources import RESOURCES, path_of
from sidecarpolicy.cluster.write import AS_US

log = structlog.get_logger(__name__)

_WAITING = 500
_REMEMBERED = 1000
_LONGEST_NOTE = 1024
_CLUSTER_SCOPED = "default"
"""The namespace where Kubernetes keeps Events about objects that have none."""


async def write_status(client: Client, policy: Json, status: Json) -> Json | None:
    """Merge the changed keys into a policy's status (conditions replace the whole list); None if it is gone."""
    path = f"{path_of(policy)}/status"
    try:
        return await client.request("PATCH", path, query=AS_US, body={"status": status}, content_type=MERGE_PATCH)
    except NotFound:
        return None


class Subject(NamedTuple):
    """Whom an Event is about; a workload's is `Subject(*ref, uid)`."""

    kind: str
    namespace: str
    name: str
    uid: str


class _Key(NamedTuple):
    subject: Subject
    reason: str
    message: str


@dataclass(slots=True)
class _Series:
    type: str
    first: datetime
    last: datetime
    count: int = 1
    name: str = ""
    """Of the Event that tells it; empty until it is sent."""


class Recorder:
    """Sends Events in the background, one for all that repeat, slowly; what is too much is dropped and counted."""

    def __init__(
        self, client: Client, *, instance: str, clock: Callable[[], datetime], rate: float = 5.0, burst: int = 20
    ) -> None:
        self._client = client
        self._instance = instance
        self._clock = clock
        self._bucket = _Bucket(rate, burst)
        self._told: OrderedDict[_Key, _Series] = OrderedDict()
        self._waiting: dict[_Key, _Series] = {}
        self._wake = asyncio.Event()
        self.dropped = 0

    def record(self, subject: Subject, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Have it told soon; returns at once."""
        key = _Key(subject, reason, message[:_LONGEST_NOTE])
        now = self._clock()
        series = self._waiting.get(key) or self._told.get(key)
        if key not in self._waiting and len(self._waiting) >= _WAITING:
            self.dropped += 1
            return
        if series:
            series.count += 1
            series.last = now
        self._waiting[key] = series or _Series(kind, now, now)
        self._wake.set()

    async def run(self) -> None:
        """Send what is recorded, until cancelled."""
        while True:
            await self._wake.wait()
            await self._bucket.take()
            key = next(iter(self._waiting))
            series = self._waiting.pop(key)
            if not self._waiting:
                self._wake.clear()
            await self._tell(key, series)

    async def _tell(self, key: _Key, series: _Series) -> None:
        # Known before it is sent, so that what repeats meanwhile is counted.
        self._told[key] = series
        self._told.move_to_end(key)
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        try:
            await self._send(key, series)
        except ClusterError as error:
            self.dropped += 1
            self._told.pop(key, None)
            log.warning("event not sent", reason=key.reason, error=error.message)

    async def _send(self, key: _Key, series: _Series) -> None:
        resource = RESOURCES["Event"]
        namespace = key.subject.namespace or _CLUSTER_SCOPED
        if series.name:
            path = resource.path(namespace, series.name)
            try:
                await self._client.request(
                    "PATCH", path, query=AS_US, body={"series": _repeats(series)}, content_type=MERGE_PATCH
                )
            except NotFound:  # Events live an hour
                series.first, series.count = series.last, 1
            else:
                return
        series.name = f"{key.subject.name}.{uuid4().hex[:16]}"
        await self._client.request(
            "POST", resource.path(namespace), query=AS_US, body=_event(key, series, namespace, self._instance)
        )


class _Bucket:
    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at = asyncio.get_running_loop().time()

    async def take(self) -> None:
        now = asyncio.get_running_loop().time()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - 1
        self._at = now
        if self._tokens < 0:
            await asyncio.sleep(-self._tokens / self._rate)


def _event(key: _Key, series: _Series, namespace: str, instance: str) -> Json:
    resource = RESOURCES["Event"]
    subject = key.subject
    event = {
        "apiVersion": resource.api_version,
        "kind": "Event",
        "metadata": {"name": series.name, "namespace": namespace},
        "type": series.type,
        "reason": key.reason,
        "action": key.reason,
        "note": key.message,
        "eventTime": micro_time(series.first),
        "regarding": {
            "apiVersion": RESOURCES[subject.kind].api_version,
            "kind": subject.kind,
            "namespace": subject.namespace,
            "name": subject.name,
            "uid": subject.uid,
        },
        "reportingController": GROUP,
        "reportingInstance": instance,
    }
    return {**event, "series": _repeats(series)} if series.count > 1 else event


def _repeats(series: _Series) -> Json:
    return {"count": series.count, "lastObservedTime": micro_time(series.last)}


def micro_time(moment: datetime) -> str:
    """Return a moment as Kubernetes' MicroTime."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
