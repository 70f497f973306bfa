"""Says in a policy's status how far it is, and lets it go when its work is undone."""

from __future__ import annotations

import asyncio
from datetime import datetime

import structlog

from sidecarpolicy.api.reasons import EventReason
from sidecarpolicy.cluster.client import Client, ClusterError
from sidecarpolicy.cluster.report import Recorder, Subject, write_status
from sidecarpolicy.controller.book import Book, Entry
from sidecarpolicy.controller.fleet import Fleet
from sidecarpolicy.controller.keeper import Keeper
from sidecarpolicy.planning import status
from sidecarpolicy.planning.policy import PolicyRef
from sidecarpolicy.planning.standing import Standing

log = structlog.get_logger()


class Speaker:
    """Writes what there is to say of a policy, where that is anything new."""

    def __init__(self, client: Client, book: Book, fleet: Fleet, keeper: Keeper, recorder: Recorder) -> None:
        self._client = client
        self._book = book
        self._fleet = fleet
        self._keeper = keeper
        self._recorder = recorder

    async def say(self, ref: PolicyRef, now: datetime) -> bool:
        """Say how far a policy is; False where it has to be tried again."""
        entry = self._book.entries.get(ref)
        if entry is None or not entry.listed:
            return True
        rows = self._fleet.rows(ref, now)
        try:
            await self._write(entry, rows, now)
            if entry.policy is not None and entry.policy.deleting and not status.is_restoring(rows, ref):
                self._tell_unrestored(entry, rows, ref)
                await self._keeper.let_go(entry)
        except ClusterError as error:
            log.warning("status not written", policy=str(ref), error=error.message)
            return False
        return True

    async def _write(self, entry: Entry, rows: list[status.Row], now: datetime) -> None:
        if entry.policy is None:
            generation = entry.body["metadata"]["generation"]
            after = status.refused(generation, entry.acceptance.message, entry.status, now)
        else:
            described = (entry.policy, entry.acceptance, rows, entry.status, now)
            after = await asyncio.to_thread(status.describe, *described)
        patch = status.difference(entry.status, after)
        if patch:
            written = await write_status(self._client, entry.body, patch)
            entry.body = written or entry.body

    def _tell_unrestored(self, entry: Entry, rows: list[status.Row], ref: PolicyRef) -> None:
        left = [row.assessment for row in rows if row.assessment.states[ref].standing is Standing.BLOCKED]
        if left:
            message = f"{left[0].ref} keeps what the policy added: {left[0].states[ref].message} ({len(left)} in all)"
            subject = Subject(ref.kind, ref.namespace, ref.name, entry.body["metadata"]["uid"])
            self._recorder.record(subject, "Warning", EventReason.SIDECARS_BLOCKED, message)
