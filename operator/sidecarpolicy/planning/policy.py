"""A policy as the head sees it: who it is, whom it selects, what templates get."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, NamedTuple

from sidecarpolicy.api import names
from sidecarpolicy.api.policy import (
    PROBES,
    ClusterPolicySpec,
    Fill,
    Json,
    LabelSelector,
    Placed,
    PolicySpec,
    parse_duration,
)
from sidecarpolicy.planning.canonical import canonical, probe

CONTENT_FIELDS = ("sidecars", "initContainers", "convert", "volumes", "containers")
"""The part of a spec that changes templates; a revision covers this and nothing else."""


class PolicyRef(NamedTuple):
    """The name of one policy; `namespace` is empty for the cluster kind."""

    namespace: str
    name: str

    @property
    def kind(self) -> str:
        """SidecarPolicy or ClusterSidecarPolicy."""
        return names.POLICY_KIND if self.namespace else names.CLUSTER_POLICY_KIND

    @property
    def key(self) -> str:
        """What a record calls the policy: short, and unique among the policies that may act on one workload."""
        return self.name if self.namespace else f"cluster/{self.name}"

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Item:
    """One container that a policy wants among the init containers, and where."""

    name: str
    container: Json
    """As core/v1 has it, quantities canonical; empty for a container of the app that is converted."""
    position: Literal["First", "Last"] | None
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """What templates get from one revision of a policy."""

    items: tuple[Item, ...]
    """Init containers before the sidecars that need them."""
    convert: tuple[Item, ...]
    volumes: tuple[Json, ...]
    fills: tuple[Fill, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """One accepted spec of a policy, as far as the head needs it."""

    ref: PolicyRef
    uid: str
    generation: int
    selector: LabelSelector
    namespace_selector: LabelSelector | None
    """None for the namespaced kind, which acts in its own namespace only."""
    kinds: frozenset[str]
    priority: int
    mode: Literal["Enforce", "Audit"]
    paused: bool
    deletion: Literal["Restore", "Keep"]
    deleting: bool
    max_concurrent: int | str
    deadline: timedelta
    revision: str
    content: Content
    accepted: bool = True

    @property
    def acts(self) -> bool:
        """Its newest revision may be written; else what is there stays, and what would change is only said."""
        return self.accepted and not self.paused and self.mode == "Enforce"

    @property
    def rank(self) -> tuple[int, bool, str, str]:
        """Sort key: high priority first, cluster-wide before namespaced, then namespace and name; never by age."""
        return (-self.priority, bool(self.ref.namespace), self.ref.namespace, self.ref.name)


def at_revision(ref: PolicyRef, revision: str, content: Content, *, keep: bool) -> Policy:
    """Return a policy as one of its revisions wants templates, selecting nothing: for what carries it already."""
    return Policy(
        ref=ref,
        uid="",
        generation=0,
        selector=LabelSelector(),
        namespace_selector=None,
        kinds=frozenset(),
        priority=0,
        mode="Enforce",
        paused=False,
        deletion="Keep" if keep else "Restore",
        deleting=False,
        max_concurrent=0,
        deadline=timedelta(),
        revision=revision,
        content=content,
    )


def ref_of_key(key: str, namespace: str) -> PolicyRef:
    """Return whose part of a record a key names, on a workload of that namespace."""
    cluster, slash, name = key.partition("/")
    return PolicyRef("", name) if slash else PolicyRef(namespace, cluster)


def revision_of(spec: Mapping[str, object]) -> str:
    """Return the hash of what a spec asks of templates: content only, never a time, a generation or a name."""
    asked = {field: spec[field] for field in CONTENT_FIELDS if spec.get(field)}
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def content_of(spec: Mapping[str, object]) -> Json:
    """Return the part of a spec that its revision covers, as a ControllerRevision keeps it."""
    return {field: spec[field] for field in CONTENT_FIELDS if spec.get(field)}


def read_content(content: Mapping[str, object]) -> Content:
    """Return what a kept revision asks of templates; raises pydantic.ValidationError."""
    return _content(PolicySpec.model_validate({"selector": {}, **content}))


def ref_of(body: Json) -> PolicyRef:
    """Return the name of a policy as the API server gave it."""
    metadata = body["metadata"]
    return PolicyRef(metadata.get("namespace", ""), metadata["name"])


def read_spec(body: Json) -> PolicySpec:
    """Return the spec of a policy of either kind; raises pydantic.ValidationError where it makes no sense."""
    model = PolicySpec if ref_of(body).namespace else ClusterPolicySpec
    return model.model_validate(body["spec"])


def read_policy(body: Json) -> Policy:
    """Return the policy that the API server gave; raises pydantic.ValidationError where its spec makes no sense."""
    metadata, ref, spec = body["metadata"], ref_of(body), read_spec(body)
    return Policy(
        ref=ref,
        uid=metadata.get("uid", ""),
        generation=metadata.get("generation", 0),
        selector=spec.selector,
        namespace_selector=spec.namespaceSelector if isinstance(spec, ClusterPolicySpec) else None,
        kinds=frozenset(spec.kinds),
        priority=spec.priority,
        mode=spec.mode,
        paused=spec.paused,
        deletion=spec.deletion,
        deleting="deletionTimestamp" in metadata,
        max_concurrent=spec.rollout.maxConcurrent,
        deadline=parse_duration(spec.rollout.progressDeadline),
        revision=revision_of(body["spec"]),
        content=_content(spec),
    )


def read_leaving(body: Json) -> Policy:
    """Return a policy that is being deleted, as far as its end needs it, whatever the rest of its spec says."""
    spec = {"selector": {}, "deletion": body["spec"].get("deletion", "Restore")}
    return read_policy({**body, "spec": spec})


def _content(spec: PolicySpec) -> Content:
    sidecars = tuple(_item(placed, {**placed.container, "restartPolicy": "Always"}) for placed in spec.sidecars)
    return Content(
        items=tuple(_item(placed, placed.container) for placed in spec.initContainers) + sidecars,
        convert=tuple(_item(placed, {}) for placed in spec.convert),
        volumes=tuple(canonical(volume) for volume in spec.volumes),
        fills=tuple(_canonical_fill(fill) for fill in spec.containers),
    )


def _item(placed: Placed, container: Json) -> Item:
    return Item(
        name=placed.name,
        container=canonical(container),
        position=placed.position,
        before=tuple(placed.before),
        after=tuple(placed.after),
    )


def _canonical_fill(fill: Fill) -> Fill:
    fields = {name: canonical(getattr(fill, name)) for name in ("volumeMounts", "env", "resources")}
    probes = {name: probe(asked) for name in PROBES if (asked := getattr(fill, name))}
    return fill.model_copy(update=fields | probes)
