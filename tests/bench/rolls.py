"""Rolls of the same load, in turns: by the bare loop, and by the operator."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import running
from bench import load, offline
from bench.connection import Connection, Json, many
from bench.process import Cost, Prober, Stall
from bench.settling import Settling, listed
from localcluster import LocalCluster
from localcluster.audit import Write
from running import Operator
from sidecarpolicy.planning.asking import Asking
from sidecarpolicy.planning.patch import Change

AT_ONCE = 32
AGENT = "sidecarpolicy/"
POLICIES = "/apis/sidecarpolicy.dev/v1alpha1/clustersidecarpolicies"
_PAUSE = 0.2


@dataclass(frozen=True, slots=True)
class Roll:
    """One roll by the operator: from the policy's creation until it says Ready."""

    seconds: float
    cpu: float
    template_writes: float
    """By generation, of each workload."""
    patches: float
    """All of the operator's on each workload."""
    status_writes: int
    cost: Cost


@dataclass(frozen=True, slots=True)
class Restore:
    """The way back, by the operator: from the policy's deletion until it is gone."""

    seconds: float
    stall: Stall
    cost: Cost


@dataclass(slots=True)
class Turns:
    """One cluster with its load, and whoever rolls it."""

    cluster: LocalCluster
    admin: Connection
    count: int
    scratch: Path
    turn: int = 0

    @property
    def pods(self) -> int:
        """How many pods the load has."""
        return sum(load.deployment(number, self.count)["spec"]["replicas"] for number in range(self.count))

    async def prepare(self) -> float:
        """Create the load and return how many bytes one Deployment has as served."""
        running.install(self.cluster)
        for name in load.namespaces():
            self.cluster.create_namespace(name)
        _, version = await listed(self.admin)
        settling = Settling(self.admin, self.count)

        async def create(number: int) -> None:
            body = load.deployment(number, self.count)
            path = f"/apis/apps/v1/namespaces/{body['metadata']['namespace']}/deployments"
            settling.wrote(await self.admin.request("POST", path, body))

        watching = asyncio.create_task(settling.run(version))
        await many(range(self.count), create, AT_ONCE)
        await settling.done.wait()
        watching.cancel()
        one = await self.admin.session.get(f"{self.admin.server}/apis/apps/v1/namespaces/bench-0/deployments/app-00000")
        return len(await one.read())

    async def bare(self, *, fills: bool = False) -> tuple[float, float]:
        """Return the seconds that the bare loop takes to inject, and to restore."""
        self.turn += 1
        policy = load.policy(self.turn, fills=fills)
        there = await self._send(offline.asking(policy))
        back = await self._send(offline.asking(None, policy))
        return there, back

    async def _send(self, asked: Asking) -> float:
        await self._quiet()
        bodies, _ = await listed(self.admin)
        patches = self.scratch / "patches"
        sent = offline.write(patches, self._all(offline.changes(bodies, asked)))
        del bodies
        account = running.kubeconfig(self.cluster)
        command = [sys.executable, "-m", "bench.bare", str(account), str(patches), f"--at-once={AT_ONCE}"]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        if process.returncode or sent != self.count:
            raise RuntimeError(f"the bare loop ended with {process.returncode} after {sent} of {self.count} patches")
        return float(output)

    def _all(self, changes: Iterable[Change]) -> Iterable[Change]:
        # The API server lists by namespace, and the operator rolls in that order too.
        return sorted(changes, key=lambda change: change.ref)

    @asynccontextmanager
    async def operator(self, *flags: str) -> AsyncIterator[Operator]:
        """Run the operator under its own account."""
        await self._quiet()
        directory = Path(tempfile.mkdtemp(dir=self.scratch)) / "operator"
        started = await asyncio.to_thread(Operator.start, running.kubeconfig(self.cluster), directory, *flags)
        try:
            yield started
        finally:
            await asyncio.to_thread(started.close)

    async def inject(self, operator: Operator, *, fills: bool = False) -> Roll:
        """Create the policy and measure until it is Ready."""
        self.turn += 1
        mark, generations = self.cluster.audit_log.mark(), await self.generations()
        before, began = Cost.of(operator.pid), time.monotonic()
        created = await self.admin.request("POST", POLICIES, load.policy(self.turn, fills=fills))
        await self.wait_until_ready(created)
        seconds, after = time.monotonic() - began, Cost.of(operator.pid)
        writes = self.writes(mark)
        return Roll(
            seconds=seconds,
            cpu=after.cpu - before.cpu,
            template_writes=(await self.generations() - generations) / self.count,
            patches=sum(one.resource == "deployments" for one in writes) / self.count,
            status_writes=sum(one.subresource == "status" for one in writes),
            cost=after,
        )

    async def restore(self, operator: Operator) -> Restore:
        """Delete the policy and measure until the operator lets it go.

        Stalls are looked for here, where the same workloads roll: asking costs CPU, which `inject` measures.
        """
        prober = Prober(operator.port, operator.pid)
        path, began = f"{POLICIES}/{load.POLICY}", time.monotonic()
        await self.admin.request("DELETE", path)
        while (await self.admin.request("GET", POLICIES))["items"]:
            await asyncio.sleep(_PAUSE)
        seconds = time.monotonic() - began
        return Restore(seconds, await asyncio.to_thread(prober.end), Cost.of(operator.pid))

    def writes(self, mark: int) -> list[Write]:
        """Return what the operator wrote since a mark in the audit log, but for the lease by which it leads."""
        ours = [one for one in self.cluster.audit_log.writes(mark) if one.user_agent.startswith(AGENT)]
        return [one for one in ours if one.resource != "leases"]

    async def generations(self) -> int:
        """Return how often all Deployments were changed so far."""
        bodies, _ = await listed(self.admin)
        return sum(body["metadata"]["generation"] for body in bodies)

    async def wait_until_ready(self, policy: Json) -> None:
        """Return when a policy that was just written is Ready."""
        path = f"{POLICIES}?watch=1&resourceVersion={policy['metadata']['resourceVersion']}"
        async for event in self.admin.watch(path):
            if _is_ready(event["object"], policy["metadata"]["generation"]):
                return
        raise RuntimeError("the watch of the policy ended")

    async def _quiet(self) -> None:
        """Wait until the controllers have cleared away what the last roll left."""
        for path, wanted in (("/api/v1/pods", self.pods), ("/apis/apps/v1/replicasets", self.count)):
            while await self._counted(path) != wanted:
                await asyncio.sleep(_PAUSE)

    async def _counted(self, path: str) -> int:
        answer = await self.admin.request("GET", f"{path}?limit=1")
        return len(answer["items"]) + int(answer["metadata"].get("remainingItemCount", 0))


def _is_ready(policy: Json, generation: int) -> bool:
    status = policy.get("status") or {}
    conditions = {one["type"]: one["status"] for one in status.get("conditions", ())}
    return status.get("observedGeneration") == generation and conditions.get("Ready") == "True"
