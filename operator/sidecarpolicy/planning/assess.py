"""What one look at a workload says: how it stands to its policies, which change it needs, why it cannot change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

from sidecarpolicy.api import names
from sidecarpolicy.api.policy import Json
from sidecarpolicy.planning import patch, record
from sidecarpolicy.planning.asking import Asking, Stakes, released, selecting
from sidecarpolicy.planning.authorship import Author
from sidecarpolicy.planning.notes import author_notes, platform_notes
from sidecarpolicy.planning.obstacles import is_on_hold, obstacle, of_cron_job, owned_by
from sidecarpolicy.planning.patch import Change
from sidecarpolicy.planning.pods import Asked, asked_of
from sidecarpolicy.planning.policy import Policy, PolicyRef, ref_of_key
from sidecarpolicy.planning.progress import Progress, Stage, is_finished, progress
from sidecarpolicy.planning.record import Part, Record
from sidecarpolicy.planning.selection import Labels
from sidecarpolicy.planning.standing import (
    FINISHED,
    OPTED_OUT,
    OUTDATED,
    RESTORING,
    UP_TO_DATE,
    Standing,
    State,
    States,
    blocked,
    states_of,
)
from sidecarpolicy.planning.template.desired import Desired, Note, same_but_for_leftovers
from sidecarpolicy.planning.trust import trusted
from sidecarpolicy.planning.workload import KINDS, Ref, controller_of, is_made_by_cron_job, ref_of, template_of

__all__ = ["Asking", "Assessment", "Standing", "State", "assess", "assess_again", "fingerprint"]


_Set = TypeVar("_Set", bound=frozenset[Any])


@dataclass(frozen=True, slots=True)
class Assessment:
    """What is known of one workload; slim, since there may be ten thousand."""

    ref: Ref
    uid: str
    version: int
    """resourceVersion, which only grows (KEP-5504)."""
    seen: int
    """Fingerprint of all that the assessment depends on beside status and policies."""
    asking: int
    """The number of what was asked then."""
    states: Mapping[PolicyRef, State]
    progress: Progress
    change: Change | None = None
    notes: tuple[Note, ...] = ()
    asked: Asked | None = None
    """What its pods should show of what is there; None where there is nothing of ours to see."""
    applied: frozenset[str] = frozenset()
    """The revisions that its record names."""
    carrying: frozenset[PolicyRef] = frozenset()
    """The policies that added something to it."""

    @property
    def in_flux(self) -> bool:
        """Its controller is still replacing pods, or cannot."""
        return self.progress.stage in (Stage.UPDATING, Stage.FAILED)


def assess(body: Json, asking: Asking, namespace_labels: Labels) -> Assessment | None:
    """Look at one workload; None where no policy has or had to do with it."""
    ref, metadata = ref_of(body), body["metadata"]
    if ref.namespace in asking.excluded or "deletionTimestamp" in metadata:
        return None
    annotations = metadata.get("annotations") or {}
    template, text = template_of(body), annotations.get(names.RECORD_ANNOTATION)
    stored = record.parse(text)
    trust = trusted(template, stored, asking.history, ref.namespace).without(released(asking, ref, stored))
    opted_out = annotations.get(names.INJECT_ANNOTATION) == "false"
    choosing = selecting(asking, ref, metadata.get("labels") or {}, namespace_labels)
    if not choosing and not trust.parts and text is None:
        return None
    acting, kept_away = ([], choosing) if opted_out else (choosing, [])
    stakes = Stakes(asking, ref, trust, acting, opted_out, kept_away)
    look = _Look(body, ref, template, text, stored, trust, stakes, progress(body))
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
    text = annotations.get(names.RECORD_ANNOTATION)
    ours = (text, annotations.get(names.INJECT_ANNOTATION), _said_of_converted(body, text))
    owner = (controller_of(body) or {}).get("uid")
    job = body["kind"] == "Job" and (is_finished(body), is_on_hold(body))
    return hash(
        (metadata["uid"], metadata.get("generation"), labels, ours, owner, job, "deletionTimestamp" in metadata)
    )


def _said_of_converted(body: Json, text: str | None) -> tuple[tuple[bool, bool], ...]:
    """Return what authors say of converted containers; to remove one for good changes nothing but their manifests."""
    stored = record.parse(text) if text and '"converted"' in text else None
    if stored is None:
        return ()
    author = Author(body, KINDS[body["kind"]].template)
    converted = (name for part in stored.parts.values() for name in part.converted)
    return tuple((author.removed(name), author.lists("initContainers", name)) for name in converted)


@lru_cache(maxsize=1024)
def _shared(value: _Set) -> _Set:
    """Return one for all that are equal: thousands of workloads carry the same."""
    return value


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at one workload that policies have to do with."""

    body: Json
    ref: Ref
    template: Json
    text: str | None
    """The annotation that should be the record."""
    stored: Record | None
    """The record as far as it can be read."""
    trust: Record
    """What is ours in this very template."""
    stakes: Stakes
    progress: Progress

    def untouchable(self) -> Assessment | None:
        """Say so where the workload is finished or somebody else's to write."""
        selecting = [policy.ref for policy in self.stakes.selecting]
        if self.progress.stage is Stage.FINISHED:
            return self._said(dict.fromkeys(selecting, FINISHED))
        owner = controller_of(self.body)
        if owner is None or is_made_by_cron_job(self.body):
            return None
        return self._said(dict.fromkeys(selecting, owned_by(self.body, owner)))

    def assessment(self) -> Assessment:
        """Say how the workload stands towards every policy, and what has to be written."""
        acting = self.stakes.acting()
        real = self._desired(acting)
        idle = [policy for policy in self.stakes.selecting if not policy.acts]
        wish = self._desired(self.stakes.wished()) if idle else real
        kept_away: States = {policy.ref: OPTED_OUT for policy in self.stakes.kept_away}
        states = kept_away | self._states(real, acting) | self._idle_states(wish, idle)
        change = self._change(real, states)
        said = self._said(states)
        if change is not None:
            held = self._held(real, change)
            if held is not None:
                said, change = self._said(blocked(states, held)), None
        notes = (
            *self._notes(real, [policy for policy in acting if policy.acts]),
            *self._notes(wish, idle),
            *author_notes(self.body, self.stakes.selecting, self.stakes.kept_away),
        )
        there = self._there(real)
        carrying = frozenset(ref_of_key(key, self.ref.namespace) for key in there)
        return replace(said, change=change, notes=notes, asked=self._asked(there), carrying=carrying)

    def _held(self, real: Desired, change: Change) -> State | None:
        """Say why the change cannot be written, if it cannot."""
        if is_made_by_cron_job(self.body):
            return of_cron_job(self.body)
        if not change.restarts:
            return None
        return obstacle(self.body, self.template, real.template, self.stakes.asking.server)

    def _said(self, states: States) -> Assessment:
        return Assessment(
            ref=self.ref,
            uid=self.body["metadata"]["uid"],
            version=int(self.body["metadata"]["resourceVersion"]),
            seen=fingerprint(self.body),
            asking=self.stakes.asking.number,
            states=states,
            progress=self.progress,
            applied=_shared(frozenset(part.revision for part in self.trust.parts.values())),
            carrying=_shared(frozenset(ref_of_key(key, self.ref.namespace) for key in self.trust.parts)),
        )

    def _desired(self, policies: Sequence[Policy]) -> Desired:
        frozen = self.stakes.frozen() - {policy.ref.key for policy in policies}
        return self.stakes.desired(self.body, self.template, policies, frozen)

    def _states(self, real: Desired, acting: Sequence[Policy]) -> States:
        """Return the states towards the policies that may write, and towards those whose part goes away."""
        states = states_of(self.template, self.trust, real, acting)
        states = {policy.ref: states[policy.ref] for policy in acting if policy.acts}
        if is_made_by_cron_job(self.body):
            # What its CronJob gave it beside that goes with it, and counts there.
            return states
        return states | dict.fromkeys(self._leaving(real), RESTORING)

    def _leaving(self, real: Desired) -> list[PolicyRef]:
        """Return the policies whose part goes away, other than by giving way to another policy."""
        recorded = self.stored.parts.keys() if self.stored else set()
        left = recorded & released(self.stakes.asking, self.ref, self.stored)
        gone = (self.trust.parts.keys() | left) - real.record.parts.keys()
        return sorted(
            {ref_of_key(key, self.ref.namespace) for key in gone} - {one.ref for one in self.stakes.selecting}
        )

    def _idle_states(self, wish: Desired, idle: Sequence[Policy]) -> States:
        """Return the states towards policies that pause, only audit or are not accepted."""
        wished = states_of(self.template, self.trust, wish, self.stakes.wished()) if idle else {}
        there = {key: part.revision for key, part in self.trust.parts.items()}
        return {
            policy.ref: wished.get(policy.ref)
            or (UP_TO_DATE if there.get(policy.ref.key) == policy.revision else OUTDATED)
            for policy in idle
        }

    def _change(self, real: Desired, states: States) -> Change | None:
        if real.template == self.template:
            if self._is_recorded(real.record):
                return None
        elif not self._is_due(real, states):
            return None
        text = record.dump(real.record) if real.record.parts else None
        return patch.change(self.ref, self.body, self.template, real.template, text)

    def _is_due(self, real: Desired, states: States) -> bool:
        """Tell whether the template has to be written now.

        Policies that pause or only audit start nothing; and keys of our probe that stayed behind in the author's own
        go with the next change, not by a restart, unless what is ours has to go altogether.
        """
        idle = {policy.ref for policy in self.stakes.selecting if not policy.acts}
        if any(state.standing is Standing.RESTORING for state in states.values()):
            return True
        if self._is_as_it_should_be(real):
            return False
        return any(state.standing is not Standing.UP_TO_DATE for ref, state in states.items() if ref not in idle)

    def _is_recorded(self, wanted: Record) -> bool:
        return wanted.same_work(self.stored) if wanted.parts else self.text is None

    def _notes(self, wanted: Desired, policies: Sequence[Policy]) -> Iterator[Note]:
        refs = {policy.ref for policy in policies}
        yield from (note for note in wanted.notes if note.policy in refs)
        yield from platform_notes(self.body, wanted, policies, self.progress)

    def _there(self, real: Desired) -> Mapping[str, Part]:
        """Return what the policies have in the template: what they should have, or while it waits for a change, had."""
        return (real.record if self._is_as_it_should_be(real) else self.trust).parts

    def _asked(self, there: Mapping[str, Part]) -> Asked | None:
        if self.ref.kind == "CronJob" or not there:
            return None
        ours = [name for part in there.values() for name in (*part.init_containers, *part.converted)]
        return asked_of(self.body, self.template, ours)

    def _is_as_it_should_be(self, real: Desired) -> bool:
        return same_but_for_leftovers(self.template, real.template, self.trust, real.record)
