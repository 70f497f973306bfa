"""Looks at workloads that no event tells of: at the start, and when what is asked of them changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sidecarpolicy.api.policy import Json
from sidecarpolicy.cluster import read
from sidecarpolicy.cluster.client import Client, Invalid
from sidecarpolicy.controller.book import Book
from sidecarpolicy.controller.fleet import Fleet
from sidecarpolicy.planning import pods
from sidecarpolicy.planning.ownership import trimmed_claims
from sidecarpolicy.planning.policy import PolicyRef
from sidecarpolicy.planning.workload import KINDS, Ref, ref_of

_FEW = 50
"""Workloads that are asked for one by one rather than listed."""


class Survey:
    """Asks the API server for workloads, and has them taken in as if they had changed."""

    def __init__(
        self,
        client: Client,
        book: Book,
        fleet: Fleet,
        observe: Callable[[Json], None],
        forget: Callable[[Ref, str], object],
        give_back: Callable[[Json], None],
    ) -> None:
        self._client = client
        self._book = book
        self._fleet = fleet
        self._observe = observe
        self._forget = forget
        self._give_back = give_back

    async def everything(self) -> None:
        """Look at every workload of the cluster."""
        for kind in KINDS:
            await self._list(kind, None, None)

    async def namespace(self, name: str) -> None:
        """Look at every workload of a namespace."""
        for kind in KINDS:
            await self._list(kind, name, None)

    async def kind(self, kind: str) -> None:
        """Look at every workload of a kind, and find out which are gone."""
        seen = await self._list(kind, None, None)
        await self._others({ref for ref in self._fleet.known if ref.kind == kind} - seen, None)

    async def policy(self, ref: PolicyRef, namespace: str | None = None) -> None:
        """Look at every workload that a policy selects or has to do with, in the cluster or in one namespace."""
        policy = self._book.policies.get(ref)
        where = ref.namespace or namespace
        seen: set[Ref] = set()
        if policy is not None:
            selector = pods.selector_text(policy.selector.model_dump(exclude_defaults=True))
            for kind in sorted(policy.kinds):
                seen |= await self._list(kind, where, selector)
        known = self._fleet.by_policy.get(ref, set())
        await self._others({one for one in known - seen if where in (None, one.namespace)}, where)

    async def _others(self, left: set[Ref], namespace: str | None) -> None:
        """Look at workloads that a policy no longer selects but had to do with."""
        if len(left) > _FEW:
            for kind in {one.kind for one in left}:
                left = left - await self._list(kind, namespace, None)
        for one in left:
            body = await read.get(self._client, one)
            if body is not None:
                self._observe(body)
            elif one in self._fleet.known:
                self._forget(one, self._fleet.known[one].uid)

    async def _list(self, kind: str, namespace: str | None, selector: str | None) -> set[Ref]:
        try:
            return await self._listed(kind, namespace, selector)
        except Invalid:
            if not selector:
                raise
            # Of a policy that is not accepted, the selector may be nonsense as well.
            return await self._listed(kind, namespace, None)

    async def _listed(self, kind: str, namespace: str | None, selector: str | None) -> set[Ref]:
        seen = set()
        async for page in read.pages(self._client, kind, namespace=namespace, selector=selector):
            for body in page:
                self._observe(body)
                seen.add(ref_of(body))
                if trimmed_claims(body) is not None:
                    # A process before this one ended between its two writes.
                    self._give_back(body)
                # Whoever waits for admission must not wait for a whole page.
                await asyncio.sleep(0)
        return seen
