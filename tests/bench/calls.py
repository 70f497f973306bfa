"""Admission requests at a steady rate, from a process of its own: what asking costs is not the operator's.

Reads a plan from a file and prints what was seen. Most are sent to the operator as the API server would send them, by
the clock and whether or not earlier ones were answered; some are dry runs that the API server asks about itself.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import aiohttp

from bench.connection import Connection, Json, connect
from bench.process import computed
from sidecarpolicy.api.webhook import PATH

DRY_RUNS = 5
"""A second."""
_FRESH = 20
"""One request in so many comes over a new connection, which meets the newest certificate."""
_HEADERS = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Plan:
    """Whom to ask, what, and how often."""

    kubeconfig: str
    pid: int
    port: int
    host: str
    trust: str
    rate: int
    seconds: float
    reviews: list[Json]
    """Each of a workload that a policy selects: a patch is due."""
    dry_runs: list[Json]


@dataclass(slots=True)
class Seen:
    """What came of it; times in seconds."""

    asked: int = 0
    walls: list[float] = field(default_factory=list)
    """By the clock, from the moment of sending."""
    owns: list[float] = field(default_factory=list)
    """What the operator computed meanwhile, for this request or before it."""
    wrong: list[str] = field(default_factory=list)
    """No answer, another one than due, or a workload that the API server let through as it was."""
    dry_runs: int = 0


class Caller:
    """Asks, and keeps what it sees."""

    def __init__(self, plan: Plan, admin: Connection) -> None:
        self._plan = plan
        self._admin = admin
        self._bodies = [json.dumps(review).encode() for review in plan.reviews]
        self._uids = [review["request"]["uid"] for review in plan.reviews]
        self.seen = Seen()

    async def run(self) -> None:
        """Ask for as long as planned, and wait for the last answers."""
        trust, plan = ssl.create_default_context(cadata=self._plan.trust), self._plan
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust, limit=0)) as kept,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust, limit=0, force_close=True)) as fresh,
            asyncio.TaskGroup() as tasks,
        ):

            async def ask(number: int) -> None:
                await self._tried(self._ask(fresh if number % _FRESH == 0 else kept, number % len(self._bodies)))

            async def dry_run(number: int) -> None:
                await self._tried(self._dry_run(plan.dry_runs[number % len(plan.dry_runs)]))

            tasks.create_task(_steadily(ask, plan.rate, plan.seconds))
            tasks.create_task(_steadily(dry_run, DRY_RUNS, plan.seconds))

    async def _tried(self, asking: Awaitable[str]) -> None:
        try:
            trouble = await asking
        except (aiohttp.ClientError, TimeoutError, OSError, RuntimeError) as error:
            trouble = repr(error)
        if trouble:
            self.seen.wrong.append(trouble)

    async def _ask(self, session: aiohttp.ClientSession, which: int) -> str:
        url = f"https://127.0.0.1:{self._plan.port}{PATH}"
        self.seen.asked += 1
        before, began = computed(self._plan.pid), time.monotonic()
        async with session.post(
            url, data=self._bodies[which], headers=_HEADERS, server_hostname=self._plan.host
        ) as response:
            raw = await response.read()
        self.seen.walls.append(time.monotonic() - began)
        self.seen.owns.append(computed(self._plan.pid) - before)
        said = json.loads(raw)["response"] if response.ok else {}
        if said.get("uid") == self._uids[which] and said["allowed"] and "patch" in said:
            return ""
        return f"{response.status}: {raw[:200].decode(errors='replace')}"

    async def _dry_run(self, body: Json) -> str:
        self.seen.dry_runs += 1
        made = await create(self._admin, body)
        return "" if is_injected(made) else f"{made['metadata']['name']} was let through as it was"


async def _steadily(act: Callable[[int], Awaitable[None]], rate: int, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(rate * seconds)):
            await asyncio.sleep(began + number / rate - loop.time())
            tasks.create_task(_run(act, number))


async def _run(act: Callable[[int], Awaitable[None]], number: int) -> None:
    await act(number)


async def create(admin: Connection, body: Json) -> Json:
    """Have a Deployment created without being stored."""
    path = f"/apis/apps/v1/namespaces/{body['metadata']['namespace']}/deployments?dryRun=All"
    return await admin.request("POST", path, body)


def is_injected(body: Json) -> bool:
    """Tell whether a workload carries what the policy asks."""
    return bool(body["spec"]["template"]["spec"].get("initContainers"))


async def _call(plan: Plan) -> Seen:
    async with connect(Path(plan.kubeconfig)) as admin:
        caller = Caller(plan, admin)
        await caller.run()
        return caller.seen


def main() -> None:
    """Carry the plan out."""
    plan = Plan(**json.loads(Path(sys.argv[1]).read_text()))
    print(json.dumps(asdict(asyncio.run(_call(plan)))))


if __name__ == "__main__":
    main()
