"""What admission makes of a workload that somebody creates or changes, in that very request.

A workload is born with what the policies ask. Of one that exists, what is ours is brought back to the revision that the
workload had before the request: a newer one waits for its turn in the rollout, and a policy that is edited, paused or
going is no reason to let a user's command tear what is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sidecarpolicy.api import names
from sidecarpolicy.api.policy import Json
from sidecarpolicy.api.reasons import NoteReason
from sidecarpolicy.planning import patch, record
from sidecarpolicy.planning.asking import Asking, Stakes, carried, released, selecting
from sidecarpolicy.planning.authorship import Author
from sidecarpolicy.planning.notes import platform_notes
from sidecarpolicy.planning.ownership import unmoved_claims
from sidecarpolicy.planning.patch import Op
from sidecarpolicy.planning.policy import Policy, ref_of_key
from sidecarpolicy.planning.progress import progress
from sidecarpolicy.planning.record import Record
from sidecarpolicy.planning.selection import Labels
from sidecarpolicy.planning.standing import share
from sidecarpolicy.planning.template.desired import Desired, marked, marker_of, undo
from sidecarpolicy.planning.trust import trusted
from sidecarpolicy.planning.workload import KINDS, Ref, container_names, controller_of, is_made_by_cron_job, reach

_LONGEST = 256
"""Characters of one warning that the API server surely hands on."""
_MOST = 3
"""Warnings; what else is to be said stands in the status of the policies."""

_AT_BIRTH = (NoteReason.RESTARTS_COUNT_AGAINST_BACKOFF_LIMIT, NoteReason.POD_FAILURE_POLICY_MATCHES_SIDECAR)
"""What the author of a Job can only change before it exists."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """What is done to the object of a request, and what its sender is told."""

    patch: tuple[Op, ...] = ()
    warnings: tuple[str, ...] = ()


UNTOUCHED = Admitted()


def admit(operation: str, body: Json, old: Json | None, asking: Asking, namespace_labels: Labels) -> Admitted:
    """Return what becomes of a workload as it was sent: without a uid yet, maybe without a name, with nulls."""
    asking = replace(asking, may_convert=True)
    new = _read(body, asking)
    if new is None or new.ref.namespace in asking.excluded or "deletionTimestamp" in new.metadata:
        return UNTOUCHED
    if operation == "CREATE":
        return _created(new, namespace_labels)
    before = _read(old or {}, asking)
    if before is None or new.ref.kind == "Job" or controller_of(new.body) or controller_of(before.body):
        return UNTOUCHED
    return _updated(new, before)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A workload as a request has it."""

    asking: Asking
    body: Json
    ref: Ref
    template: Json
    text: str | None
    """The annotation that should be the record."""
    is_opted_out: bool

    @property
    def metadata(self) -> Json:
        """Its metadata."""
        return dict(self.body["metadata"])

    @property
    def stored(self) -> Record | None:
        """The record as far as it can be read."""
        return record.parse(self.text)

    @property
    def released(self) -> frozenset[str]:
        """Whose parts are its author's for good."""
        return released(self.asking, self.ref, self.stored)

    def trusted(self, stored: Record | None) -> Record:
        """Return what is ours in its template, as far as this record belongs to it."""
        return trusted(self.template, stored, self.asking.history, self.ref.namespace)

    def stakes(self, trust: Record, choosing: list[Policy]) -> Stakes:
        """Return what the policies have to do with it."""
        return Stakes(self.asking, self.ref, trust, choosing, self.is_opted_out)

    def desired(self, trust: Record, policies: list[Policy], frozen: frozenset[str]) -> Desired:
        """Return what policies want of its template."""
        return self.stakes(trust, []).desired(self.body, self.template, policies, frozen)

    def admitted(self, template: Json, wanted: Record, warnings: tuple[str, ...]) -> Admitted:
        """Return the way from what was sent to a template with its record."""
        path = "".join(f"/{step}" for step in KINDS[self.ref.kind].template)
        # The template is compared without its nulls: `add` sets a key whether it holds one or is not there.
        steps = list(patch.difference(self.template, template, path))
        moved = container_names(self.template["spec"]) - container_names(template["spec"])
        steps += unmoved_claims(self.body, moved)
        if wanted.parts and not wanted.same_work(self.stored):
            steps += patch.annotation(self.metadata, record.dump(wanted))
        elif not wanted.parts:
            steps += patch.annotation(self.metadata, None)
        return Admitted(tuple(steps), warnings)


def _read(body: Json, asking: Asking) -> _Sent | None:
    """Return a workload that has containers; what has none is for the API server to refuse."""
    metadata, template = body.get("metadata"), reach(body, KINDS[body["kind"]].template) if "kind" in body else None
    if not metadata or not template or not (template.get("spec") or {}).get("containers"):
        return None
    metadata = {key: value for key, value in metadata.items() if value is not None}
    annotations = metadata.get("annotations", {})
    return _Sent(
        asking=asking,
        body={**body, "metadata": metadata},
        ref=Ref(body["kind"], metadata["namespace"], metadata.get("name", "")),
        template=_without_nulls(template),
        text=annotations.get(names.RECORD_ANNOTATION),
        is_opted_out=annotations.get(names.INJECT_ANNOTATION) == "false",
    )


def _without_nulls(value: Any) -> Any:
    """Return the value without keys that hold null, which the API server does not store."""
    match value:
        case dict():
            return {key: _without_nulls(item) for key, item in value.items() if item is not None}
        case list():
            return [_without_nulls(item) for item in value]
        case _:
            return value


def _created(new: _Sent, namespace_labels: Labels) -> Admitted:
    trust = new.trusted(new.stored).without(new.released)
    labels = new.metadata.get("labels", {})
    choosing = [] if new.is_opted_out else selecting(new.asking, new.ref, labels, namespace_labels)
    stakes = new.stakes(trust, choosing)
    if controller_of(new.body) is None:
        policies, frozen = stakes.acting(), stakes.frozen()
    elif is_made_by_cron_job(new.body):
        # What the CronJob carries stays at the revision that it has, also from policies that do not select Jobs.
        frozen = frozenset(trust.parts)
        policies = [policy for policy in choosing if policy.acts and policy.ref.key not in frozen]
    else:
        return UNTOUCHED
    if not policies and trust.parts.keys() == frozen:
        return UNTOUCHED
    real = stakes.desired(new.body, new.template, policies, frozen)
    return new.admitted(real.template, real.record, tuple(_at_birth(new, real, policies)))


def _at_birth(new: _Sent, real: Desired, policies: list[Policy]) -> Iterator[str]:
    if new.ref.kind not in ("Job", "CronJob"):
        return
    notes = platform_notes(new.body, real, policies, progress(new.body))
    said = dict.fromkeys(note.message for note in notes if note.reason in _AT_BIRTH)
    yield from (_cut(f"{names.FIELD_MANAGER}: {message}") for message in said)


def _updated(new: _Sent, before: _Sent) -> Admitted:
    gone = new.released | before.released
    told = before.trusted(before.stored).without(gone)
    met = _met(new, told).without(gone)
    if not told.parts and not met.parts:
        return UNTOUCHED
    policies = [] if new.is_opted_out else carried(new.asking, told, new.ref.namespace)
    unknown = told.parts.keys() - {policy.ref.key for policy in policies}
    frozen = frozenset() if new.is_opted_out else frozenset(unknown & met.parts.keys())
    real = _as_told(new.desired(met, policies, frozen), told, before.template)
    if new.is_opted_out:
        return new.admitted(real.template, real.record, ())
    if new.template == before.template != real.template and _was_torn(before, told, policies):
        return new.admitted(new.template, told, ())
    warnings = tuple(_kept(new, real)) if _has_no_effect(new, before, told, real, frozen) else ()
    return new.admitted(real.template, real.record, warnings)


def _has_no_effect(new: _Sent, before: _Sent, told: Record, real: Desired, frozen: frozenset[str]) -> bool:
    """Tell whether somebody changed the template, and only in what is ours."""
    if new.template == before.template or not real.record.same_work(told):
        return False
    author = Author(before.body, KINDS[before.ref.kind].template)
    return undo(before.template, told.without(frozen), author).template == real.author


def _met(new: _Sent, told: Record) -> Record:
    """Return what is ours in a template that was sent, where `told` was in the one before."""
    marker = marker_of(new.template)
    if marker and new.stored is not None and new.stored.marker == marker:
        # Also of a `rollout undo` on a Deployment, which brings the record of that time, and of what we wrote
        # ourselves where the API server asks again because another webhook changed the workload after us.
        return new.stored
    if marker == told.marker:
        return told
    if marker:
        found = new.trusted(new.stored)
        return found if found.parts else told
    if _has_volume_of(new.template, told):
        return told
    return new.trusted(told)


def _has_volume_of(template: Json, told: Record) -> bool:
    """Tell whether a template is the one before with our annotation and sidecars wiped, not another one."""
    there = {volume["name"] for volume in template["spec"].get("volumes", ())}
    return any(there.intersection(part.volumes) for part in told.parts.values())


def _as_told(real: Desired, told: Record, template: Json) -> Desired:
    """Let the template say of its pods what the one before said, where they run the same revisions."""
    now = {key: part.revision for key, part in real.record.parts.items()}
    if now != {key: part.revision for key, part in told.parts.items()}:
        return real
    marker = marker_of(template)
    return replace(real, template=marked(real.template, marker), record=replace(real.record, marker=marker))


def _was_torn(before: _Sent, told: Record, policies: list[Policy]) -> bool:
    """Tell whether ours was torn before this request, so that mending it waits for a change that restarts anyway."""
    frozen = frozenset(told.parts.keys() - {policy.ref.key for policy in policies})
    return _as_told(before.desired(told, policies, frozen), told, before.template).template != before.template


def _kept(new: _Sent, real: Desired) -> Iterator[str]:
    """Say whose parts made a command without effect; a manifest that still lists what is converted asks for nothing."""
    torn = [key for key, part in real.record.parts.items() if share(new.template, part) != share(real.template, part)]
    for key in torn[:_MOST]:
        yield _cut(
            f"{names.FIELD_MANAGER}: the template stays as it was, for a policy keeps what it added: to opt out,"
            f' annotate the {new.ref.kind} with {names.INJECT_ANNOTATION}: "false", or edit'
            f" {ref_of_key(key, new.ref.namespace)}"
        )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
