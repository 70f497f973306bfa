"""Which of several replicas writes: the one that holds a Lease, as Kubernetes' own controllers settle it.

The holder renews it, and every change is refused that is not based on what is there. Whoever has seen no change for as
long as a lease lasts may take it. No two clocks are compared: everybody measures by their own, the holder from before
it asked, the others from after they saw. A holder that cannot renew stops writing well before another may take it.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from sidecarpolicy.api.names import LEASE
from sidecarpolicy.api.policy import Json
from sidecarpolicy.cluster.client import Client, ClusterError, Conflict, NotFound
from sidecarpolicy.cluster.report import micro_time
from sidecarpolicy.cluster.resources import RESOURCES
from sidecarpolicy.cluster.write import AS_US

log = structlog.get_logger(__name__)


class LeaseLost(ClusterError):  # noqa: N818 - says what the world is like, as the others do
    """We led and may no longer: another holds the lease, or it could not be renewed in time."""


@dataclass(frozen=True, slots=True)
class Times:
    """Those of Kubernetes' own controllers."""

    lease: timedelta = timedelta(seconds=15)
    """Another waits this long for a change before it takes over."""
    deadline: timedelta = timedelta(seconds=10)
    """The holder goes on this long without having renewed."""
    retry: timedelta = timedelta(seconds=2)
    """At most between two tries."""


DEFAULT = Times()


class Elector:
    """One replica's candidacy: it waits for the lease, then leads until the process ends."""

    def __init__(
        self,
        client: Client,
        clock: Callable[[], datetime],
        *,
        namespace: str,
        identity: str,
        times: Times = DEFAULT,
    ) -> None:
        self._client = client
        self._clock = clock
        self._namespace = namespace
        self._identity = identity
        self._times = times
        self._lease: Json | None = None
        """As last seen; None where there is none."""
        self._stale = True
        """It may have changed since."""
        self._spec: Json = {}
        """What it said last; one that is deleted is honoured to its end."""
        self._version = ""
        self._changed = -math.inf
        self._ends = -math.inf
        self.leading = asyncio.Event()
        """Set from when we hold the lease, until `run` ends."""

    @property
    def holder(self) -> str:
        """Who held the lease when it was last seen; empty if nobody did."""
        return self._spec.get("holderIdentity") or ""

    @property
    def may_write(self) -> bool:
        """Tell by the clock whether the lease is ours, also right after a standstill of the whole process."""
        return self.leading.is_set() and _monotonic() < self._ends

    async def run(self) -> None:
        """Wait until elected, then renew until cancelled; raises LeaseLost when another may lead from now on."""
        while not await self._try():
            await self._rest()
        self.leading.set()
        log.info("leading", identity=self._identity)
        try:
            while True:
                async with asyncio.timeout_at(self._ends):
                    await self._rest()
                    while not await self._try():
                        await self._rest()
        except TimeoutError:
            raise LeaseLost(f"the lease was not renewed for {self._times.deadline.total_seconds():g} s") from None
        finally:
            self.leading.clear()

    async def release(self) -> None:
        """Give the lease back, once nothing of ours writes any more, so that another takes it at its next try."""
        if self.holder != self._identity:
            return
        try:
            # The last renewal may have been carried out without our hearing of it.
            await self._look()
            if self.holder == self._identity:
                await self._write("", timedelta(seconds=1))
                log.info("lease released")
        except ClusterError as error:
            log.warning("lease not released, it runs out", error=error.message)

    async def _rest(self) -> None:
        # Jitter, so that those who wait for the same do not all come at the same time.
        await asyncio.sleep(self._times.retry.total_seconds() * random.uniform(0.5, 1.0))  # noqa: S311 - no secret

    async def _try(self) -> bool:
        """Take or renew the lease if we may; say whether that is done."""
        begun = _monotonic()
        try:
            if self._stale or not self.leading.is_set():
                await self._look()
            if not self._is_free():
                return False
            await self._write(self._identity, self._times.lease)
        except LeaseLost:
            raise
        except ClusterError as error:
            self._stale = True
            self._pass_over(error)
            return False
        self._ends = begun + self._times.deadline.total_seconds()
        return True

    def _is_free(self) -> bool:
        if self.holder in ("", self._identity):
            return True
        if self.leading.is_set():
            raise LeaseLost(f"{self.holder} holds the lease")
        # Somebody's edit must not make it shorter than its holder believes.
        lasts = max(self._spec.get("leaseDurationSeconds") or 0, self._times.lease.total_seconds())
        return _monotonic() >= self._changed + lasts

    def _pass_over(self, error: ClusterError) -> None:
        if isinstance(error, NotFound) and self._lease is None and not self.leading.is_set():
            raise ClusterError(f"{error.message}: kubectl create namespace {self._namespace}") from error
        if not isinstance(error, Conflict):  # which says that another was faster
            log.warning("lease not reached", error=error.message)

    async def _look(self) -> None:
        try:
            self._see(await self._request("GET", LEASE))
        except NotFound:
            self._lease, self._stale = None, False

    async def _write(self, holder: str, lasts: timedelta) -> None:
        spec = self._next(holder, lasts)
        if self._lease is not None:
            # With its resource version: refused if anything has changed since.
            self._see(await self._request("PUT", LEASE, {**self._lease, "spec": spec}))
            return
        kind = {"apiVersion": RESOURCES["Lease"].api_version, "kind": "Lease"}
        metadata = {"name": LEASE, "namespace": self._namespace}
        self._see(await self._request("POST", None, {**kind, "metadata": metadata, "spec": spec}))

    def _next(self, holder: str, lasts: timedelta) -> Json:
        now, before = micro_time(self._clock()), self._spec
        stays = holder == self.holder
        return {
            "holderIdentity": holder,
            "leaseDurationSeconds": math.ceil(lasts.total_seconds()),
            "acquireTime": before.get("acquireTime", now) if stays else now,
            "renewTime": now,
            "leaseTransitions": before.get("leaseTransitions", 0) + bool(before and holder and not stays),
        }

    def _see(self, lease: Json) -> None:
        self._lease, self._stale = lease, False
        if lease["metadata"]["resourceVersion"] == self._version:
            return
        self._version, self._changed = lease["metadata"]["resourceVersion"], _monotonic()
        before, self._spec = self.holder, lease.get("spec") or {}
        if self.holder not in (before, "", self._identity):
            log.info("another leads", holder=self.holder)

    async def _request(self, method: str, name: str | None, body: Json | None = None) -> Json:
        return await self._client.request(
            method,
            RESOURCES["Lease"].path(self._namespace, name),
            query=AS_US if body else None,
            body=body,
            # Half of it, as a connection that is dead must leave time for another.
            timeout=self._times.deadline.total_seconds() / 2,
            attempts=1,
            by_leader_only=False,
        )


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
