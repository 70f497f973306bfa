"""Waits until Deployments have rolled out and their pods run, as anybody would who asks no operator."""

from __future__ import annotations

import asyncio

from bench.connection import Connection, Json
from bench.load import LABEL

DEPLOYMENTS = "/apis/apps/v1/deployments"
_SELECTOR = "&".join(f"labelSelector={key}%3D{value}" for key, value in LABEL.items())
_LOOKERS = 8


def is_settled(body: Json) -> bool:
    """Tell whether the Deployment's controller has nothing left to do."""
    status, wanted = body.get("status", {}), body["spec"]["replicas"]
    counted = (status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas"))
    return status.get("observedGeneration", 0) >= body["metadata"]["generation"] and all(n == wanted for n in counted)


class Settling:
    """The Deployments that have not settled at the generation that was written."""

    def __init__(self, connection: Connection, count: int) -> None:
        self._connection = connection
        self._left = count
        self._written: dict[str, int] = {}
        self._last: dict[str, Json] = {}
        self._looks: asyncio.Queue[Json] = asyncio.Queue()
        self.done = asyncio.Event()

    def wrote(self, body: Json) -> None:
        """A Deployment was written, as the API server answered."""
        self._written[body["metadata"]["uid"]] = body["metadata"]["generation"]
        self._take(self._last.pop(body["metadata"]["uid"], body))

    def _take(self, body: Json) -> None:
        uid = body["metadata"]["uid"]
        if uid not in self._written:
            self._last[uid] = body
        elif body["metadata"]["generation"] >= self._written[uid] and is_settled(body):
            self._looks.put_nowait(body)
            # What comes later is no news.
            self._written[uid] = 1 << 60

    async def run(self, version: str) -> None:
        """Watch from a resourceVersion on, and look at the pods of what has settled, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_LOOKERS):
                tasks.create_task(self._look())
            while True:
                async for event in self._connection.watch(
                    f"{DEPLOYMENTS}?watch=1&resourceVersion={version}&{_SELECTOR}"
                ):
                    version = event["object"]["metadata"]["resourceVersion"]
                    self._take(event["object"])

    async def _look(self) -> None:
        while True:
            body = await self._looks.get()
            (key, value), *_ = body["spec"]["selector"]["matchLabels"].items()
            namespace, wanted = body["metadata"]["namespace"], body["spec"]["replicas"]
            path = f"/api/v1/namespaces/{namespace}/pods?labelSelector={key}%3D{value}&limit=200"
            while sum(map(_is_ready, (await self._connection.request("GET", path))["items"])) < wanted:
                await asyncio.sleep(0.1)
            self._left -= 1
            if not self._left:
                self.done.set()


def _is_ready(pod: Json) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


async def listed(connection: Connection) -> tuple[list[Json], str]:
    """Return every Deployment of the load, and the resourceVersion to watch from."""
    items: list[Json] = []
    version = ""
    async for page in connection.pages(f"{DEPLOYMENTS}?{_SELECTOR}"):
        items += page["items"]
        version = page["metadata"]["resourceVersion"]
    return [{"apiVersion": "apps/v1", "kind": "Deployment", **item} for item in items], version
