"""Whether admission serves: without it, a manifest that still lists what was converted could not be applied again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from sidecarpolicy.cluster import webhook
from sidecarpolicy.cluster.client import Client, ClusterError
from sidecarpolicy.controller.book import Book
from sidecarpolicy.controller.fleet import Fleet
from sidecarpolicy.planning.policy import PolicyRef
from sidecarpolicy.planning.workload import KINDS

log = structlog.get_logger()

_ASKED = KINDS.keys() - {"Job"}
"""Admission is not called for the change of a Job, which has nothing that could change."""
_PAUSE = 2.0
_PAUSE_WHILE_IT_SERVES = 30.0


class AdmissionProbe:
    """Asks by a dry run on a workload whose container a policy converts; nobody is asked where none does."""

    def __init__(self, client: Client, book: Book, fleet: Fleet, changed: Callable[[PolicyRef], None]) -> None:
        self._client = client
        self._book = book
        self._fleet = fleet
        self._changed = changed

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self._ask()
            await asyncio.sleep(_PAUSE_WHILE_IT_SERVES if self._book.may_convert else _PAUSE)

    async def _ask(self) -> None:
        converting = [policy.ref for policy in self._book.policies.values() if policy.acts and policy.content.convert]
        concerned = {ref for policy in converting for ref in self._fleet.by_policy[policy] if ref.kind in _ASKED}
        if not concerned:
            return
        asked = min(concerned)
        try:
            serves = await webhook.serves(self._client, asked)
        except ClusterError as error:
            log.warning("admission not asked", workload=str(asked), error=error.message)
            return
        if serves == self._book.may_convert:
            return
        log.info("admission serves" if serves else "admission does not serve", workload=str(asked))
        self._book.may_convert = serves
        self._book.ask_again()
        for policy in converting:
            self._changed(policy)
