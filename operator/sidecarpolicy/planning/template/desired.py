"""The template that the policies want: the author's own, and on it what every policy contributes.

    template, record ──undo──▶ the author's ──convert, volumes, place, fill──▶ template, record, notes

What was added before is first taken away and then added anew, so that nothing is ever added twice, whatever the author
changed meanwhile is met as theirs, and undo is the same function with no policies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sidecarpolicy.api import names
from sidecarpolicy.api.policy import LISTS, PROBES, Json
from sidecarpolicy.api.reasons import NoteReason
from sidecarpolicy.planning.authorship import Author
from sidecarpolicy.planning.policy import Content, Policy, PolicyRef
from sidecarpolicy.planning.record import NOTHING, Part, Record
from sidecarpolicy.planning.template import convert, fill, merge, volumes
from sidecarpolicy.planning.template.claims import added_volumes, contributed, rules_for
from sidecarpolicy.planning.template.clash import Surroundings
from sidecarpolicy.planning.template.contest import Withheld, settle


@dataclass(frozen=True, slots=True)
class Note:
    """What a policy asks and a workload does not get, or should know."""

    policy: PolicyRef
    reason: NoteReason
    message: str


@dataclass(frozen=True, slots=True)
class Desired:
    """What a template should be, and what is then ours in it."""

    template: Json
    record: Record
    withheld: tuple[Withheld, ...]
    notes: tuple[Note, ...]
    author: Json
    """The template without anything of ours."""


@dataclass(frozen=True, slots=True)
class Undone:
    """A template without anything of ours, and what was ours in it, as it stood there."""

    template: Json
    containers: Mapping[str, Json] = field(default_factory=dict)
    volumes: Mapping[str, Json] = field(default_factory=dict)


def desired(
    template: Json,
    record: Record,
    policies: Sequence[Policy],
    history: Mapping[str, Content],
    author: Author,
    around: Surroundings,
    kept: Mapping[str, Part] = NOTHING.parts,
) -> Desired:
    """Return what the policies, in their order, want of a template.

    `record` is what was added to this very template, see `trust`; `history` the content of revisions by their hash;
    `kept` are parts that stay as they are, met as if they were the author's.
    """
    undone = undo(template, record, author)
    converted = frozenset(name for part in record.parts.values() for name in part.converted)
    settlement = settle(undone.template["spec"], policies, replace(around, converted=converted))
    work = _Work(template["spec"], undone, record, _previous(record, history))
    spec, parts, notes = work.contribute(undone.template["spec"], settlement.policies, settlement.order)
    parts |= kept
    result = _said(template, {**undone.template, "spec": spec}, parts)
    return Desired(
        template=result,
        record=Record(marker_of(result), parts),
        withheld=settlement.withheld,
        notes=notes,
        author=undone.template,
    )


def undo(template: Json, record: Record, author: Author) -> Undone:
    """Return the author's template: everything that the record names taken away, unless its author took it over."""
    spec, parts = template["spec"], record.parts.values()
    recorded = {name for part in parts for name in part.init_containers}
    inits = spec.get("initContainers", ())
    taken = {
        init["name"]: init
        for init in inits
        if init["name"] in recorded and not author.lists("initContainers", init["name"])
    }
    spec = merge.with_list(spec, "initContainers", [init for init in inits if init["name"] not in taken])
    spec = convert.restore(spec, {name: before for part in parts for name, before in part.converted.items()}, author)
    spec = {**spec, "containers": [_unfilled(container, record, author) for container in spec["containers"]]}
    spec, taken_volumes = volumes.remove(spec, {name for part in parts for name in part.volumes}, author)
    return Undone(marked({**template, "spec": spec}, None), taken, taken_volumes)


def marker_of(template: Json) -> str:
    """Return the revisions that a template says its pods run; empty if nothing of ours was ever in it."""
    return str(((template.get("metadata") or {}).get("annotations") or {}).get(names.REVISION_ANNOTATION, ""))


def marked(template: Json, marker: str | None) -> Json:
    """Return the template saying that its pods run these revisions, or saying nothing."""
    metadata: dict[str, Any] = dict(template.get("metadata") or {})
    annotations = dict(metadata.get("annotations") or {})
    annotations.pop(names.REVISION_ANNOTATION, None)
    if marker:
        annotations[names.REVISION_ANNOTATION] = marker
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations
    return {**template, "metadata": metadata} if metadata or "metadata" in template else template


@dataclass(frozen=True, slots=True)
class _Previous:
    """What the revisions that a record names said of our containers and volumes."""

    containers: Mapping[str, Json]
    volumes: Mapping[str, Json]


def _previous(record: Record, history: Mapping[str, Content]) -> _Previous:
    contents = [history[part.revision] for part in record.parts.values() if part.revision in history]
    return _Previous(
        containers={item.name: item.container for content in contents for item in content.items},
        volumes={volume["name"]: volume for content in contents for volume in content.volumes},
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """What contributing needs to know of the template as it stands."""

    now: Json
    undone: Undone
    record: Record
    previous: _Previous

    def contribute(
        self, author: Json, policies: Sequence[Policy], order: Sequence[str]
    ) -> tuple[Json, dict[str, Part], tuple[Note, ...]]:
        """Return the author's pod spec with every policy's contribution, and what each of them added."""
        spec, sidecars, before = convert.take(
            author, [item.name for policy in policies for item in policy.content.convert]
        )
        inits: dict[str, Json] = {init["name"]: init for init in author.get("initContainers", ())} | sidecars
        notes: list[Note] = []
        parts: dict[str, Part] = {}
        for policy in policies:
            added = added_volumes(author, policy)
            spec = volumes.add(spec, added, self.undone.volumes, self.previous.volumes)
            items = contributed(author, policy)
            inits |= {item.name: self._stored(item.name, item.container) for item in items}
            spec, fills, filling = self._fill(spec, policy)
            notes += filling
            part = Part(
                revision=policy.revision,
                init_containers=tuple(item.name for item in items),
                volumes=tuple(volume["name"] for volume in added),
                converted={item.name: before[item.name] for item in policy.content.convert if item.name in before},
                fills=fills,
                keep=policy.deletion == "Keep",
            )
            if not part.is_empty:
                parts[policy.ref.key] = part
        spec = merge.with_list(spec, "initContainers", [inits[name] for name in order])
        return self._in_order(spec), parts, tuple(notes)

    def _stored(self, name: str, container: Json) -> Json:
        """Our container, with the fields that others (API defaults, webhooks) set on the one that is there."""
        there = self.undone.containers.get(name)
        if there is None:
            return container
        previous = self.previous.containers.get(name)
        if previous is None and not merge.covers(there, container):
            return container
        return dict(merge.merged(there, container, previous or container))

    def _fill(self, spec: Json, policy: Policy) -> tuple[Json, dict[str, Json], list[Note]]:
        there = self._there()
        containers, fills, notes = [], {}, []
        for container in spec["containers"]:
            name = container["name"]
            done = fill.fill(container, rules_for(policy, name), there.get(name, fill.NOWHERE))
            containers.append(done.container)
            if done.filled:
                fills[name] = done.filled
            notes += [Note(policy.ref, reason, message) for reason, message in done.notes]
        return {**spec, "containers": containers}, fills, notes

    def _there(self) -> dict[str, fill.There]:
        before: dict[str, Json] = {}
        for part in self.record.parts.values():
            for name, filled in part.fills.items():
                before[name] = fill.joined(before.get(name, {}), filled)
        return {
            container["name"]: fill.There(container, before[container["name"]])
            for container in self.now["containers"]
            if container["name"] in before
        }

    def _in_order(self, spec: Json) -> Json:
        """Keep the lists whose order means nothing in the order that they have."""
        result = dict(spec)
        if "volumes" in spec:
            result["volumes"] = merge.same_order(self.now.get("volumes", []), spec["volumes"], "name")
        now = {container["name"]: container for container in self.now["containers"]}
        result["containers"] = [
            _as_ordered(container, now.get(container["name"], container)) for container in spec["containers"]
        ]
        return result


def _as_ordered(container: Json, now: Json) -> Json:
    result = dict(container)
    for name, key in LISTS.items():
        if name in container:
            result[name] = merge.same_order(now.get(name, []), container[name], key)
    return result


def _unfilled(container: Json, record: Record, author: Author) -> Json:
    for part in record.parts.values():
        if container["name"] in part.fills:
            container = fill.unfill(container, part.fills[container["name"]], author)
    return container


def _said(now: Json, wanted: Json, parts: Mapping[str, Part]) -> Json:
    """Say which revisions the pods run; kept as it is where nothing else changes, which is no reason to restart."""
    as_now = marked(wanted, marker_of(now))
    return as_now if as_now == now else marked(wanted, ".".join(part.revision for part in parts.values()))


def same_but_for_leftovers(now: Json, wanted: Json, before: Record, after: Record) -> bool:
    """Tell whether all that differs, if anything, is keys of our probes that stayed behind in the author's own."""
    if now == wanted:
        return True
    there = {container["name"]: container for container in wanted["spec"]["containers"]}
    swapped = []
    for container in now["spec"]["containers"]:
        name = container["name"]
        taken_over = _probes(before, name) - _probes(after, name)
        other = there.get(name, {})
        probes = {probe: other[probe] for probe in taken_over & other.keys() & container.keys()}
        swapped.append({**container, **probes})
    as_wanted = {**now, "spec": {**now["spec"], "containers": swapped}}
    return marked(as_wanted, None) == marked(wanted, None)


def _probes(record: Record, container: str) -> set[str]:
    filled = {name for part in record.parts.values() for name in part.fills.get(container, ())}
    return filled.intersection(PROBES)
