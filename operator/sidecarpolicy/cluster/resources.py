"""Which resources we touch, where they stand in the API, and what we do there: RBAC is compared with this table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sidecarpolicy.api import names
from sidecarpolicy.api.policy import Json
from sidecarpolicy.planning.workload import KINDS


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of the API, with the verbs that we need on it."""

    group: str
    version: str
    plural: str
    verbs: frozenset[str]
    namespaced: bool = True
    own_namespace: bool = False
    """Needed in the operator's own namespace and nowhere else."""
    only: str = ""
    """The name of the one object that it is needed on."""

    @property
    def api_version(self) -> str:
        """As objects carry it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Where one object stands, or the list of a namespace or of the whole cluster."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root, self.plural]
        if self.namespaced and namespace:
            parts = [root, "namespaces", namespace, self.plural]
        return "/".join([*parts, name] if name else parts)


_NAMELESS = frozenset({"create"})
_WATCHED = frozenset({"get", "list", "watch"})
_KEPT = frozenset({"get", "create", "update"})

RESOURCES: dict[str, Resource] = {
    **{kind: Resource(facts.group, "v1", facts.plural, _WATCHED | {"patch"}) for kind, facts in KINDS.items()},
    names.POLICY_KIND: Resource(names.GROUP, names.VERSION, names.POLICY_PLURAL, _WATCHED | {"patch"}),
    names.CLUSTER_POLICY_KIND: Resource(
        names.GROUP, names.VERSION, names.CLUSTER_POLICY_PLURAL, _WATCHED | {"patch"}, namespaced=False
    ),
    "Namespace": Resource("", "v1", "namespaces", frozenset({"list", "watch"}), namespaced=False),
    "Pod": Resource("", "v1", "pods", frozenset({"list"})),
    "PodTemplate": Resource("", "v1", "podtemplates", frozenset({"create"})),
    "ControllerRevision": Resource("apps", "v1", "controllerrevisions", frozenset({"get", "list", "create", "delete"})),
    "Event": Resource("events.k8s.io", "v1", "events", frozenset({"create", "patch"})),
    "Lease": Resource("coordination.k8s.io", "v1", "leases", _KEPT, own_namespace=True, only=names.LEASE),
    "Secret": Resource("", "v1", "secrets", _KEPT, own_namespace=True, only=names.WEBHOOK_SECRET),
    "MutatingWebhookConfiguration": Resource(
        "admissionregistration.k8s.io",
        "v1",
        "mutatingwebhookconfigurations",
        frozenset({"get", "patch"}),
        namespaced=False,
        # Who may change any of them may change anything in the cluster.
        only=names.WEBHOOK_CONFIGURATION,
    ),
}

STATUS_KINDS = (names.POLICY_KIND, names.CLUSTER_POLICY_KIND)
"""Whose status we write."""


class Right(NamedTuple):
    """What one rule of a role allows verbs on."""

    group: str
    resource: str
    """A subresource stands behind a slash."""
    name: str = ""
    """Of the one object; empty for all of them, and where objects are created, which have no name yet for RBAC."""


def rights(*, own: bool) -> dict[Right, frozenset[str]]:
    """Return what we need to be allowed: in the operator's own namespace, or in the whole cluster."""
    needed: dict[Right, frozenset[str]] = {}
    for kind, one in RESOURCES.items():
        if one.own_namespace is own:
            named = one.verbs - _NAMELESS if one.only else frozenset[str]()
            needed[Right(one.group, one.plural)] = one.verbs - named
            needed[Right(one.group, one.plural, one.only)] = named or one.verbs
            if kind in STATUS_KINDS:
                needed[Right(one.group, f"{one.plural}/status")] = frozenset({"patch"})
    return {right: verbs for right, verbs in needed.items() if verbs}


def path_of(body: Json) -> str:
    """Return where an object stands."""
    metadata = body["metadata"]
    return RESOURCES[body["kind"]].path(metadata.get("namespace"), metadata["name"])
