"""Which resources we touch, where they stand in the API, and what we do there: RBAC is compared with this table."""

from __future__ import annotations

from dataclasses import dataclass

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


_WATCHED = frozenset({"get", "list", "watch"})

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
    "Lease": Resource(
        "coordination.k8s.io", "v1", "leases", frozenset({"get", "create", "update"}), own_namespace=True
    ),
    "Secret": Resource("", "v1", "secrets", frozenset({"get", "create", "update"}), own_namespace=True),
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


Permissions = dict[tuple[str, str], frozenset[str]]
"""Verbs by API group and resource; a subresource stands behind a slash."""


def permissions() -> Permissions:
    """Return what we need to be allowed in the whole cluster."""
    wide = (one for one in RESOURCES.values() if not one.own_namespace and not one.only)
    rules = {(one.group, one.plural): one.verbs for one in wide}
    for kind in STATUS_KINDS:
        rules[names.GROUP, f"{RESOURCES[kind].plural}/status"] = frozenset({"patch"})
    return rules


def own_permissions() -> Permissions:
    """Return what we need to be allowed in the operator's own namespace besides."""
    return {(one.group, one.plural): one.verbs for one in RESOURCES.values() if one.own_namespace}


def named_permissions() -> dict[tuple[str, str, str], frozenset[str]]:
    """Return what we need to be allowed on one object besides: verbs by API group, resource and name."""
    return {(one.group, one.plural, one.only): one.verbs for one in RESOURCES.values() if one.only}


def path_of(body: Json) -> str:
    """Return where an object stands."""
    metadata = body["metadata"]
    return RESOURCES[body["kind"]].path(metadata.get("namespace"), metadata["name"])
