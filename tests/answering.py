"""A webhook that lets everything through and notes what it was told."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from sidecarpolicy.api.webhook import PATH

LARGEST = 16 * 1024 * 1024
"""Bytes: a review carries a workload as it was and as it is to be."""


@dataclass(frozen=True)
class Told:
    """One admission review's question."""

    operation: str
    kind: str
    namespace: str
    name: str


class Webhook:
    """Answers on a port of its own, each call on a new connection."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.url = ""

    @asynccontextmanager
    async def answering(self, context: ssl.SSLContext) -> AsyncIterator[None]:
        """Answer with these certificates until the block ends."""
        application = web.Application(client_max_size=LARGEST)
        application.router.add_post(PATH, self._answer)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        self.url = f"https://127.0.0.1:{runner.addresses[0][1]}{PATH}"
        yield
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        asked = (await request.json())["request"]
        self.told.append(Told(asked["operation"], asked["kind"]["kind"], asked["namespace"], asked.get("name", "")))
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
        body = {**review, "response": {"uid": asked["uid"], "allowed": True}}
        return web.json_response(body, headers={"Connection": "close"})
