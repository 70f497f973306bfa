"""What one look at a workload says: which policies it is up to date with, which change it needs, why it cannot change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from sidecarpolicy.api import names
from sidecarpolicy.api.policy import Json
from sidecarpolicy.api.reasons import BlockReason
from sidecarpolicy.planning import patch, record
from sidecarpolicy.planning.authorship import Author
from sidecarpolicy.planning.notes import platform_notes
from sidecarpolicy.planning.patch import Change
from sidecarpolicy.planning.pods import Asked, asked_of
from sidecarpolicy.planning.policy import Policy, PolicyRef, ref_of_key
from sidecarpolicy.planning.progress import Progress, Stage, is_finished, progress
from sidecarpolicy.planning.record import Record
from sidecarpolicy.planning.selection import Labels, acts_on
from sidecarpolicy.planning.template.contest import Surroundings
from sidecarpolicy.planning.template.desired import Desired, Note, desired, same_but_for_leftovers
from sidecarpolicy.planning.trust import History, trusted
from sidecarpolicy.planning.workload import KINDS, Ref, controller_of, ref_of, template_of


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


class Standing(Enum):
    """How a workload stands towards one policy."""

    UP_TO_DATE = "upToDate"
    OUTDATED = "outdated"
    RESTORING = "restoring"
    """It carries what this policy no longer asks for."""
    BLOCKED = "blocked"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class State:
    """A standing, with the reason where it is blocked."""

    standing: Standing
    reason: BlockReason | None = None
    message: str = ""
    other: PolicyRef | None = None
    """The policy that it clashes with."""


UP_TO_DATE, OUTDATED = State(Standing.UP_TO_DATE), State(Standing.OUTDATED)
RESTORING, FINISHED = State(Standing.RESTORING), State(Standing.FINISHED)


@dataclass(frozen=True, slots=True)
class Assessment:
    """What is known of one workload; slim, since there may be ten thousand."""

    ref: Ref
    uid: str
    version: int
    """resourceVersion, which only grows (KEP-5504)."""
    seen: int
    """Fingerprint of all that the assessment depends on beside status and policies."""
    states: Mapping[PolicyRef, State]
    progress: Progress
    change: Change | None = None
    notes: tuple[Note, ...] = ()
    asked: Asked | None = None
    """What its pods should show; None while the template is not as it should be."""
    applied: frozenset[str] = frozenset()
    """The revisions that its record names."""

    @property
    def in_flux(self) -> bool:
        """Its controller is still replacing pods, or cannot."""
        return self.progress.stage in (Stage.UPDATING, Stage.FAILED)


def assess(body: Json, asking: Asking, namespace_labels: Labels) -> Assessment | None:
    """Look at one workload; None where no policy has or had to do with it."""
    ref = ref_of(body)
    if ref.namespace in asking.excluded:
        return None
    template = template_of(body)
    annotations = body["metadata"].get("annotations") or {}
    stored = record.parse(annotations.get(names.RECORD_ANNOTATION))
    trust = trusted(template, stored, asking.history, ref.namespace)
    selecting = _selecting(body, ref, asking, namespace_labels)
    if not selecting and not trust.parts and stored is None:
        return None
    look = _Look(body, ref, template, trust, asking, selecting, progress(body), repairs=trust is not stored)
    return look.untouchable() or look.assessment()


def assess_again(before: Assessment, body: Json) -> Assessment | None:
    """Look again where at most the status changed; None if more than that did."""
    now = progress(body)
    pending = Stage.PENDING in (now.stage, before.progress.stage) and now.message != before.progress.message
    if fingerprint(body) != before.seen or pending:
        return None
    return replace(before, version=int(body["metadata"]["resourceVersion"]), progress=now)


def fingerprint(body: Json) -> int:
    """Return what an assessment depends on beside status, policies and namespace, as one number."""
    metadata = body["metadata"]
    annotations = metadata.get("annotations") or {}
    labels = tuple(sorted((metadata.get("labels") or {}).items()))
    ours = (annotations.get(names.RECORD_ANNOTATION), annotations.get(names.INJECT_ANNOTATION))
    stopped = metadata.get("deletionTimestamp"), body["kind"] == "Job" and is_finished(body)
    return hash((metadata["uid"], metadata.get("generation"), labels, ours, stopped))


def _selecting(body: Json, ref: Ref, asking: Asking, namespace_labels: Labels) -> list[Policy]:
    metadata = body["metadata"]
    if (metadata.get("annotations") or {}).get(names.INJECT_ANNOTATION) == "false" or "deletionTimestamp" in metadata:
        return []
    labels = metadata.get("labels") or {}
    return [
        policy
        for policy in asking.policies
        if not policy.deleting and acts_on(policy, ref, labels, namespace_labels)
    ]


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at one workload that policies have to do with."""

    body: Json
    ref: Ref
    template: Json
    trust: Record
    asking: Asking
    selecting: Sequence[Policy]
    progress: Progress
    repairs: bool
    """The record on the workload is not that of its template."""

    def untouchable(self) -> Assessment | None:
        """Say so where the workload is finished or somebody else's to write."""
        if self.progress.stage is Stage.FINISHED:
            return self._said(dict.fromkeys((policy.ref for policy in self.selecting), FINISHED))
        owner = controller_of(self.body)
        if owner is None:
            return None
        if owner["kind"] == "CronJob":
            # Its CronJob carries what its next Jobs get.
            return self._said({})
        message = (
            f"{self.ref} belongs to {owner['kind']} {owner['name']}, which would undo every change:"
            f" add the sidecar to the {owner['kind']}, or do not select the workload"
        )
        blocked = State(Standing.BLOCKED, BlockReason.OWNED_BY_CONTROLLER, message)
        return self._said(dict.fromkeys((policy.ref for policy in self.selecting), blocked))

    def assessment(self) -> Assessment:
        """Say how the workload stands towards every policy, and what has to be written."""
        real = self._desired(self._acting())
        wish = real if all(policy.acts for policy in self.selecting) else self._desired(self.selecting)
        states = self._states(wish) | self._restored(real)
        change = self._change(real, states)
        if change is not None:
            blocked = self._forbidden(change)
            if blocked is not None:
                states = {ref: blocked if _moves(state) else state for ref, state in states.items()}
                change = None
        notes = (*wish.notes, *platform_notes(self.body, self.template, wish.template, self.selecting, self.progress))
        inits = [name for part in real.record.parts.values() for name in (*part.init_containers, *part.converted)]
        asked = None if change is not None else asked_of(self.body, self.template, inits)
        return replace(self._said(states), change=change, notes=notes, asked=asked)

    def _said(self, states: Mapping[PolicyRef, State]) -> Assessment:
        return Assessment(
            ref=self.ref,
            uid=self.body["metadata"]["uid"],
            version=int(self.body["metadata"]["resourceVersion"]),
            seen=fingerprint(self.body),
            states=states,
            progress=self.progress,
            applied=frozenset(part.revision for part in self.trust.parts.values()),
        )

    def _acting(self) -> list[Policy]:
        """The policies at the revision that may be written: the newest, or the one that is there."""
        selecting = {policy.ref: policy for policy in self.selecting}
        acting = []
        for policy in self.asking.policies:
            if policy.acts:
                if policy.ref in selecting:
                    acting.append(policy)
            elif not policy.deleting and self._there(policy) is not None:
                acting.append(self._there(policy) or policy)
        return acting

    def _there(self, policy: Policy) -> Policy | None:
        """The policy at the revision that the workload has; None if it has none that is known."""
        if policy.ref.namespace not in ("", self.ref.namespace):
            return None
        part = self.trust.parts.get(policy.ref.key)
        content = self.asking.history.contents.get(part.revision) if part else None
        return replace(policy, revision=part.revision, content=content) if part and content else None

    def _frozen(self) -> frozenset[str]:
        """Parts that stay as they are: of policies that cannot be read, or at a revision that nobody knows any more."""
        unreadable = {ref.key for ref in self.asking.unreadable if ref.namespace in ("", self.ref.namespace)}
        unknown = {
            policy.ref.key
            for policy in self.asking.policies
            if not policy.acts and not policy.deleting and self._there(policy) is None
        }
        return frozenset((unreadable | unknown) & self.trust.parts.keys())

    def _released(self) -> frozenset[str]:
        """Parts of policies that go and leave what they added to the author."""
        return frozenset(
            policy.ref.key
            for policy in self.asking.policies
            if policy.deleting and policy.deletion == "Keep" and policy.ref.namespace in ("", self.ref.namespace)
        )

    def _desired(self, policies: Sequence[Policy]) -> Desired:
        frozen = self._frozen() - {policy.ref.key for policy in policies}
        result = desired(
            self.template,
            self.trust.without(frozen | self._released()),
            policies,
            self.asking.history.contents,
            Author(self.body, KINDS[self.ref.kind].template),
            Surroundings(self._claim_templates(), self.asking.may_convert),
        )
        parts = {**result.record.parts, **{key: self.trust.parts[key] for key in sorted(frozen)}}
        return replace(result, record=replace(result.record, parts=parts))

    def _claim_templates(self) -> frozenset[str]:
        claims = self.body["spec"].get("volumeClaimTemplates") or ()
        return frozenset(claim["metadata"]["name"] for claim in claims)

    def _states(self, wish: Desired) -> dict[PolicyRef, State]:
        states = dict.fromkeys((policy.ref for policy in self.selecting), UP_TO_DATE)
        clean = self._is_clean(wish)
        for policy in self.selecting:
            if not clean and self._is_outdated(policy, wish):
                states[policy.ref] = OUTDATED
        for held in wish.withheld:
            other = held.other.ref if held.other else None
            states[held.policy.ref] = State(Standing.BLOCKED, held.reason, held.message, other)
        return states

    def _is_clean(self, wish: Desired) -> bool:
        return same_but_for_leftovers(self.template, wish.template, self.trust)

    def _is_outdated(self, policy: Policy, wish: Desired) -> bool:
        part, there = wish.record.parts.get(policy.ref.key), self.trust.parts.get(policy.ref.key)
        if part is None or not part.same_work(there):
            return part is not there
        own = {*part.init_containers, *part.volumes}
        for section in ("initContainers", "volumes"):
            current, wanted = (
                [item for item in template["spec"].get(section, ()) if item["name"] in own]
                for template in (self.template, wish.template)
            )
            if current != wanted:
                return True
        order, wanted_order = (
            [init["name"] for init in template["spec"].get("initContainers", ())]
            for template in (self.template, wish.template)
        )
        return bool(part.init_containers) and order != wanted_order

    def _restored(self, real: Desired) -> dict[PolicyRef, State]:
        """Policies whose part goes away, other than by giving way to another policy."""
        selecting = {policy.ref for policy in self.selecting}
        gone = self.trust.parts.keys() - real.record.parts.keys()
        refs = {ref_of_key(key, self.ref.namespace) for key in gone} - selecting
        return dict.fromkeys(sorted(refs), RESTORING)

    def _change(self, real: Desired, states: Mapping[PolicyRef, State]) -> Change | None:
        parts = real.record.parts
        same_parts = parts.keys() == self.trust.parts.keys() and all(
            part.same_work(self.trust.parts[key]) for key, part in parts.items()
        )
        same_template = real.template == self.template
        if same_template and same_parts and (not self.repairs or not (parts or self._has_record())):
            return None
        if not same_template and self._is_clean(real):
            # Only keys of our probe stayed behind in the author's own: they go with the next change, not by a restart.
            return None
        if not same_template and not self._is_somebodys_turn(states):
            return None
        text = record.dump(real.record) if parts else None
        return patch.change(self.ref, self.body, self.template, real.template, text)

    def _has_record(self) -> bool:
        return names.RECORD_ANNOTATION in (self.body["metadata"].get("annotations") or {})

    def _is_somebodys_turn(self, states: Mapping[PolicyRef, State]) -> bool:
        """Paused policies, and those that only audit, start nothing."""
        idle = {policy.ref for policy in self.asking.policies if not policy.acts and not policy.deleting}
        return any(ref not in idle for ref in states)

    def _forbidden(self, change: Change) -> State | None:
        """Say why Kubernetes, or the owner, forbids the change now."""
        if not change.restarts:
            return None
        if self.ref.kind == "Job":
            message = (
                f"{self.ref} keeps its template: Kubernetes forbids the change."
                " Delete and create the Job again to adopt it, or let it finish"
            )
            return State(Standing.BLOCKED, BlockReason.TEMPLATE_IMMUTABLE, message)
        if self.ref.kind == "Deployment" and self.body["spec"].get("paused"):
            message = f"{self.ref} is paused by its owner: it is changed once `kubectl rollout resume` was run"
            return State(Standing.BLOCKED, BlockReason.WAITING_FOR_RESUME, message)
        return None


def _moves(state: State) -> bool:
    return state.standing in (Standing.OUTDATED, Standing.RESTORING)
