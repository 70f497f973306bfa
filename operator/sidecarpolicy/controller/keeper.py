"""Policies as they come and go: judged, kept with all revisions, held by a finalizer until their work is undone."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from sidecarpolicy.api import names
from sidecarpolicy.api.policy import Json
from sidecarpolicy.api.reasons import Reason
from sidecarpolicy.cluster import read, revisions, write
from sidecarpolicy.cluster.client import Client, ClusterError, Forbidden, Invalid, NotFound
from sidecarpolicy.controller import acceptance
from sidecarpolicy.controller.book import Book, Entry
from sidecarpolicy.planning.policy import (
    Policy,
    PolicyRef,
    content_of,
    read_content,
    read_leaving,
    read_policy,
    ref_of,
    revision_of,
)
from sidecarpolicy.planning.status import Acceptance

log = structlog.get_logger()

_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
UNJUDGED = Acceptance(Reason.NOT_ACCEPTED, "the policy was not looked at yet")
"""Nothing is said or started for such a policy, and what is there stays."""


class Keeper:
    """Brings policies from the API server into the book."""

    def __init__(self, client: Client, book: Book, namespace: str, leading: asyncio.Event) -> None:
        self._client = client
        self._book = book
        self._namespace = namespace
        """The operator's own: revisions of cluster-wide policies are kept here."""
        self._leading = leading
        """Who does not lead writes nothing."""
        self._saved: set[tuple[str, str]] = set()
        """Revisions that are kept, by the uid of their policy: they go with it."""
        self._heard: dict[PolicyRef, tuple[str, int, bool]] = {}

    async def load(self) -> None:
        """Know every policy and every revision that is kept, before any workload is looked at."""
        self._book.server = await read.version(self._client)
        found = await read.policies(self._client)
        owners = {body["metadata"]["uid"]: ref_of(body) for body in found}
        for item in await revisions.revisions(self._client):
            owner = owners.get(item["metadata"]["labels"][revisions.OWNER_LABEL])
            if owner is not None:
                self._keep(owner, item)
        for body in found:
            self.is_news(body)
            self._put(body, UNJUDGED)

    def _keep(self, owner: PolicyRef, item: Json) -> None:
        revision = item["metadata"]["name"].rpartition("-")[2]
        if revision_of(item["data"]) != revision:
            # Somebody else's: what was added by a policy must not be told by what anybody can make up.
            log.warning("revision not ours", policy=str(owner), revision=item["metadata"]["name"])
            return
        self._saved.add((item["metadata"]["labels"][revisions.OWNER_LABEL], revision))
        try:
            self._book.keep(owner, revision, read_content(item["data"]))
        except ValueError as error:
            log.warning("revision not readable", policy=str(owner), revision=revision, error=str(error))

    def is_news(self, body: Json) -> bool:
        """Tell whether more than a policy's status or labels changed since it was last heard of."""
        metadata, ref = body["metadata"], ref_of(body)
        heard = (metadata["uid"], metadata["generation"], "deletionTimestamp" in metadata)
        if self._heard.get(ref) == heard:
            entry = self._book.entries.get(ref)
            if entry is not None and _is_newer(body, entry.body):
                entry.body = body
            return False
        self._heard[ref] = heard
        return True

    def forget(self, ref: PolicyRef, uid: str) -> bool:
        """Know a policy no more; one that has its name by now stays. Tell whether it was known."""
        if self._heard.get(ref, ("",))[0] != uid:
            return False
        del self._heard[ref]
        known = ref in self._book.entries
        self._book.drop(ref)
        return known

    async def judge_once(self, body: Json) -> bool:
        """Take in a policy's spec; False where the API server could not be asked."""
        try:
            await self._judge(ref_of(body), body)
        except NotFound:
            return True
        except ClusterError as error:
            log.warning("policy not judged yet", policy=str(ref_of(body)), error=error.message)
            return False
        return True

    async def judge(self, body: Json) -> PolicyRef | None:
        """Take in a policy's new spec; None if it is gone, or another spec came meanwhile.

        While the API server cannot be asked, the policy stays as it was, and is asked about again.
        """
        ref, heard, pause = ref_of(body), self._heard.get(ref_of(body)), _PAUSE
        while self._heard.get(ref) == heard:
            try:
                return await self._judge(ref, body)
            except NotFound:
                return None
            except ClusterError as error:
                log.warning("policy not judged yet", policy=str(ref), error=error.message)
                await asyncio.sleep(pause)
                pause = min(_LONGEST_PAUSE, pause * 2)
        return None

    async def _judge(self, ref: PolicyRef, body: Json) -> PolicyRef | None:
        if "deletionTimestamp" in body["metadata"]:
            self._put(body, Acceptance())
            return ref
        judged = await self._acceptance(ref, body)
        if judged.is_accepted:
            try:
                if not await self._hold(body):
                    return None
            except (Invalid, Forbidden) as error:
                judged = _not_held(error)
        if self._heard.get(ref) == (body["metadata"]["uid"], body["metadata"]["generation"], False):
            self._put(body, judged)
            log.info("policy judged", policy=str(ref), reason=str(judged.reason), message=judged.message)
            return ref
        return None

    async def take_over(self) -> None:
        """Hold what was judged before we led; raises ClusterError."""
        for ref, entry in list(self._book.entries.items()):
            if entry.policy is None or not entry.acceptance.is_accepted or entry.policy.deleting:
                continue
            try:
                with suppress(NotFound):
                    await self._hold(entry.body)
            except (Invalid, Forbidden) as error:
                if self._book.entries.get(ref) is entry:
                    entry.acceptance = _not_held(error)
                    self._book.put(ref, entry)

    async def _hold(self, body: Json) -> bool:
        """Keep a policy from going before its work is undone, and what it asks; False if it is gone."""
        policy = read_policy(body)
        if not self._leading.is_set():
            self._book.keep(policy.ref, policy.revision, policy.content)
            return True
        if await write.add_finalizer(self._client, body) is None:
            return False
        await self._save(body, policy)
        return True

    async def _acceptance(self, ref: PolicyRef, body: Json) -> Acceptance:
        try:
            return await acceptance.judge(self._client, body, self._book.server, ref.namespace or self._namespace)
        except ClusterError:
            raise
        except Exception:
            # A mistake of ours about one policy must not stop the care for all others.
            log.exception("policy not understood", policy=str(ref))
            return Acceptance(Reason.INVALID, "the operator fails to read it, and its log says how: report this")

    async def _save(self, body: Json, policy: Policy) -> None:
        if (policy.uid, policy.revision) in self._saved:
            return
        where = policy.ref.namespace or self._namespace
        await revisions.save_revision(self._client, body, where, policy.revision, content_of(body["spec"]))
        self._book.keep(policy.ref, policy.revision, policy.content)
        self._saved.add((policy.uid, policy.revision))

    async def prune(self, ref: PolicyRef, in_use: frozenset[str]) -> None:
        """Forget a policy's oldest revisions, but none that a workload carries; the next edit tries again."""
        entry = self._book.entries.get(ref)
        if entry is None or entry.policy is None:
            return
        kept = in_use | {entry.policy.revision}
        try:
            await revisions.prune_revisions(self._client, entry.body, ref.namespace or self._namespace, kept)
        except ClusterError as error:
            log.warning("revisions not pruned", policy=str(ref), error=error.message)

    def _put(self, body: Json, judged: Acceptance) -> None:
        before = self._book.entries.get(ref_of(body))
        same = before is not None and before.body["metadata"]["uid"] == body["metadata"]["uid"]
        if before is not None and same and _is_newer(before.body, body):
            body = {**body, "status": before.status}
        try:
            policy: Policy | None = read_policy(body)
        except ValueError as error:
            # Our finalizer may hold a policy that was edited to nonsense, and must not hold it for ever.
            leaving = "deletionTimestamp" in body["metadata"]
            policy = read_leaving(body) if leaving else None
            judged = Acceptance(Reason.INVALID, acceptance.say(error))
        self._book.put(ref_of(body), Entry(body, policy, judged))

    async def let_go(self, entry: Entry) -> None:
        """Remove our finalizer: nothing is left to undo, or nothing that can be undone."""
        if names.FINALIZER in entry.body["metadata"].get("finalizers", ()):
            log.info("policy let go", policy=str(ref_of(entry.body)))
            await write.remove_finalizer(self._client, entry.body)


def _not_held(error: ClusterError) -> Acceptance:
    message = f"the API server refuses what the operator keeps of the policy: {error.message}"
    return Acceptance(Reason.INVALID, message)


def _is_newer(one: Json, other: Json) -> bool:
    return int(one["metadata"]["resourceVersion"]) > int(other["metadata"]["resourceVersion"])
