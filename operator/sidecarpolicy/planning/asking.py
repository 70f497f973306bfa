"""What is asked of workloads at one moment, and what of it concerns one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sidecarpolicy.api import names
from sidecarpolicy.api.policy import Json
from sidecarpolicy.planning.authorship import Author
from sidecarpolicy.planning.policy import Policy, PolicyRef, at_revision, ref_of_key
from sidecarpolicy.planning.record import Record
from sidecarpolicy.planning.selection import Labels, acts_on
from sidecarpolicy.planning.template.clash import Surroundings
from sidecarpolicy.planning.template.desired import Desired, desired
from sidecarpolicy.planning.trust import History
from sidecarpolicy.planning.workload import KINDS, Ref


@dataclass(frozen=True, slots=True)
class Asking:
    """All that is asked of workloads at one moment."""

    policies: tuple[Policy, ...] = ()
    """In order, the one that wins a conflict first."""
    unreadable: frozenset[PolicyRef] = frozenset()
    """Policies whose spec makes no sense: what they added stays as it is."""
    history: History = field(default_factory=History)
    excluded: frozenset[str] = names.SYSTEM_NAMESPACES
    """Namespaces where no policy acts."""
    may_convert: bool = False
    """Admission answers, so that what is converted stays so when its manifest is applied again."""
    server: tuple[int, int] = (0, 0)
    """The API server's version; as old as can be where nobody asked."""
    number: int = 0
    """Grows whenever any of this changes: what was assessed under another number has to be assessed again."""


@dataclass(frozen=True, slots=True)
class Stakes:
    """What the policies have to do with one workload."""

    asking: Asking
    ref: Ref
    trust: Record
    """What they added to its template."""
    selecting: Sequence[Policy]
    """Those that select it and may act on it."""
    opted_out: bool
    """Its author keeps every policy away, also those that are paused."""
    kept_away: Sequence[Policy] = ()
    """Those that select it all the same."""

    def acting(self) -> list[Policy]:
        """The policies at the revision that may be written: the newest, or the one that is there."""
        if self.opted_out:
            return []
        selecting = {policy.ref for policy in self.selecting}
        candidates = (
            (policy if policy.ref in selecting else None) if policy.acts else self._there(policy)
            for policy in self.asking.policies
            if not policy.deleting
        )
        return [policy for policy in candidates if policy is not None]

    def wished(self) -> list[Policy]:
        """The policies at their newest revision, as if those that pause or only audit wrote."""
        return [policy for policy in self.selecting if policy.accepted]

    def frozen(self) -> frozenset[str]:
        """Parts that stay as they are: of policies that cannot be read, or at a revision that nobody knows any more."""
        if self.opted_out:
            return frozenset()
        unreadable = {ref.key for ref in self.asking.unreadable if self._is_near(ref)}
        unknown = {
            policy.ref.key
            for policy in self.asking.policies
            if not policy.acts and not policy.deleting and self._is_near(policy.ref) and self._there(policy) is None
        }
        return frozenset((unreadable | unknown) & self.trust.parts.keys())

    def desired(self, body: Json, template: Json, policies: Sequence[Policy], frozen: frozenset[str]) -> Desired:
        """Return what policies want of the workload's template, where some parts of others stay as they are."""
        claims = body["spec"].get("volumeClaimTemplates") or ()
        return desired(
            template,
            self.trust.without(frozen),
            policies,
            self.asking.history.contents,
            Author(body, KINDS[self.ref.kind].template),
            Surroundings(
                claim_templates=frozenset(claim["metadata"]["name"] for claim in claims),
                may_convert=self.asking.may_convert,
            ),
            {key: self.trust.parts[key] for key in sorted(frozen)},
        )

    def _there(self, policy: Policy) -> Policy | None:
        """The policy at the revision that the workload has; None if it has none that is known."""
        part = self.trust.parts.get(policy.ref.key) if self._is_near(policy.ref) else None
        content = self.asking.history.contents.get(part.revision) if part else None
        return replace(policy, revision=part.revision, content=content) if part and content else None

    def _is_near(self, policy: PolicyRef) -> bool:
        """Tell whether a policy may have to do with the workload, so that its key in the record is its own."""
        return policy.namespace in ("", self.ref.namespace)


def selecting(asking: Asking, ref: Ref, labels: Labels, namespace_labels: Labels) -> list[Policy]:
    """Return the policies that select a workload, in their order."""
    return [
        policy for policy in asking.policies if not policy.deleting and acts_on(policy, ref, labels, namespace_labels)
    ]


def carried(asking: Asking, record: Record, namespace: str) -> list[Policy]:
    """Return the policies at the very revisions that a workload has, whatever became of them, in the record's order."""
    contents = asking.history.contents
    return [
        at_revision(ref_of_key(key, namespace), part.revision, contents[part.revision], keep=part.keep)
        for key, part in record.parts.items()
        if part.revision in contents
    ]


def released(asking: Asking, ref: Ref, stored: Record | None) -> frozenset[str]:
    """Return whose parts are left to the author for good: policies that go, or are gone, with `deletion: Keep`."""
    near = [policy for policy in asking.policies if policy.ref.namespace in ("", ref.namespace)]
    going = {policy.ref.key for policy in near if policy.deleting and policy.deletion == "Keep"}
    known = {policy.ref for policy in near} | asking.unreadable
    kept = {key for key, part in stored.parts.items() if part.keep} if stored else set()
    gone = {key for key in kept if ref_of_key(key, ref.namespace) not in known}
    return frozenset(going | gone)
