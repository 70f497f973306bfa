"""Every policy that there is: as the API server gave it, as the head reads it, and whether it may act."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from sidecarpolicy.api.policy import Json
from sidecarpolicy.planning.assess import Asking
from sidecarpolicy.planning.policy import Content, Policy, PolicyRef
from sidecarpolicy.planning.selection import in_order
from sidecarpolicy.planning.status import Acceptance
from sidecarpolicy.planning.trust import History


@dataclass(slots=True)
class Entry:
    """One policy; `policy` is None where its spec makes no sense."""

    body: Json
    policy: Policy | None
    acceptance: Acceptance
    listed: bool = False
    """Every workload that it may concern was looked at since it last changed."""

    @property
    def status(self) -> Json:
        """The status as last seen."""
        return self.body.get("status") or {}


@dataclass(slots=True)
class Book:
    """The policies by name, and the contents of all their revisions that are kept."""

    excluded: frozenset[str]
    server: tuple[int, int] = (0, 0)
    """The API server's version."""
    may_convert: bool = False
    """Admission is known to serve: without it, manifests that still list what was converted are refused."""
    entries: dict[PolicyRef, Entry] = field(default_factory=dict)
    asking: Asking = field(default_factory=Asking)
    _contents: dict[str, Content] = field(default_factory=dict)
    _owners: dict[str, frozenset[PolicyRef]] = field(default_factory=dict)

    @property
    def policies(self) -> Mapping[PolicyRef, Policy]:
        """The policies that can be read."""
        return {policy.ref: policy for policy in self.asking.policies}

    def put(self, ref: PolicyRef, entry: Entry) -> None:
        """Know a policy, or know it anew."""
        self.entries[ref] = entry
        self._ask()

    def drop(self, ref: PolicyRef) -> None:
        """Know it no more, nor what it asked for: what it left behind with `deletion: Keep` is the author's now."""
        self.entries.pop(ref, None)
        self._owners = {revision: owners - {ref} for revision, owners in self._owners.items() if owners != {ref}}
        self._contents = {revision: self._contents[revision] for revision in self._owners}
        self._ask()

    def keep(self, ref: PolicyRef, revision: str, content: Content) -> None:
        """Know what a revision asked for, to tell later what of it a template has."""
        self._contents[revision] = content
        self._owners[revision] = self._owners.get(revision, frozenset()) | {ref}
        self._ask()

    def ask_again(self) -> None:
        """Have every workload assessed again: what policies see, such as a namespace's labels, has changed."""
        self._ask()

    def _ask(self) -> None:
        readable: Iterable[Policy] = (
            replace(entry.policy, accepted=entry.acceptance.is_accepted)
            for entry in self.entries.values()
            if entry.policy is not None
        )
        self.asking = Asking(
            policies=tuple(in_order(readable)),
            unreadable=frozenset(ref for ref, entry in self.entries.items() if entry.policy is None),
            history=History(dict(self._contents), dict(self._owners)),
            excluded=self.excluded,
            may_convert=self.may_convert,
            server=self.server,
            number=self.asking.number + 1,
        )
