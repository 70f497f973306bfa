"""Policies, workloads and pods as the API server serves them: sensible defaults, name what matters."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from serving import as_served
from sidecarpolicy.api import names
from sidecarpolicy.planning.asking import Asking
from sidecarpolicy.planning.policy import Policy, PolicyRef, read_policy
from sidecarpolicy.planning.selection import in_order
from sidecarpolicy.planning.trust import History

Json = dict[str, Any]

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
REQUESTS = {"requests": {"cpu": "50m", "memory": "64Mi"}}


def policy(name: str = "logs", *, namespace: str = "shop", deleting: bool = False, **spec: Any) -> Json:
    """A policy; namespace="" makes it one of the cluster kind."""
    metadata: Json = {"name": name, "uid": f"uid-{namespace}-{name}", "generation": 1}
    if namespace:
        metadata["namespace"] = namespace
    if deleting:
        metadata["deletionTimestamp"] = "2026-11-21T09:00:00Z"
    kind = names.POLICY_KIND if namespace else names.CLUSTER_POLICY_KIND
    return {
        "apiVersion": names.API_VERSION,
        "kind": kind,
        "metadata": metadata,
        "spec": {"selector": {}, "kinds": ["Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job"], **spec},
    }


def sidecar(name: str = "shipper", **fields: Any) -> Json:
    """A sidecar as a policy has it."""
    return {"name": name, "image": f"{name}:1", "resources": REQUESTS, **fields}


def read(*bodies: Json) -> list[Policy]:
    """The policies as the head sees them, in order."""
    return in_order([read_policy(body) for body in bodies])


def asking(*bodies: Json, earlier: tuple[Json, ...] = (), **fields: Any) -> Asking:
    """What these policies ask; `earlier` are revisions that they had before."""
    policies = read(*bodies)
    return Asking(policies=tuple(policies), history=history(*earlier, *bodies), **fields)


def history(*bodies: Json) -> History:
    """The revisions of these policies."""
    contents, owners = {}, dict[str, frozenset[PolicyRef]]()
    for one in read(*bodies):
        contents[one.revision] = one.content
        owners[one.revision] = owners.get(one.revision, frozenset()) | {one.ref}
    return History(contents, owners)


def container(name: str = "app", **fields: Any) -> Json:
    """A container of the author's."""
    return {"name": name, "image": f"{name}:1", **fields}


def template(*, containers: list[Json] | None = None, init: list[Json] | None = None, **spec: Any) -> Json:
    """A pod template as its author writes it."""
    pod: Json = {"containers": containers or [container()], **spec}
    if init:
        pod["initContainers"] = init
    return {"metadata": {"labels": {"app": "web"}}, "spec": pod}


def deployment(name: str = "web", *, spec: Json | None = None, **rest: Any) -> Json:
    """A Deployment that has settled."""
    replicas: int = (spec or {}).get("replicas", 2)
    body = _workload("Deployment", name, {"replicas": replicas, **(spec or {})}, **rest)
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas)
    return settle(body, **(counts if replicas else {}))


def stateful_set(name: str = "db", *, spec: Json | None = None, **rest: Any) -> Json:
    """A StatefulSet that has settled."""
    replicas: int = (spec or {}).get("replicas", 2)
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    body = _workload("StatefulSet", name, {"replicas": replicas, "updateStrategy": strategy, **(spec or {})}, **rest)
    names_of_counts = ("replicas", "currentReplicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    return settle(body, **dict.fromkeys(names_of_counts, replicas))


def daemon_set(name: str = "agent", *, spec: Json | None = None, **rest: Any) -> Json:
    """A DaemonSet that has settled on two nodes."""
    body = _workload("DaemonSet", name, {"updateStrategy": {"type": "RollingUpdate"}, **(spec or {})}, **rest)
    return settle(body, desiredNumberScheduled=2, updatedNumberScheduled=2, numberAvailable=2)


def job(name: str = "import", *, spec: Json | None = None, **rest: Any) -> Json:
    """A Job that runs."""
    body = _workload("Job", name, {"backoffLimit": 6, **(spec or {})}, **rest)
    return {**body, "status": {"active": 1, "startTime": "2026-11-21T08:00:00Z"}}


def cron_job(name: str = "report", **rest: Any) -> Json:
    """A CronJob."""
    body = _workload("CronJob", name, {}, **rest)
    pods = body["spec"].pop("template")
    del body["spec"]["selector"]
    return {**body, "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": pods}}}}


def settle(body: Json, **counts: int) -> Json:
    """The workload with a status of its newest generation."""
    return {**body, "status": {"observedGeneration": body["metadata"]["generation"], **counts}}


def _workload(
    kind: str,
    name: str,
    spec: Json,
    *,
    namespace: str = "shop",
    labels: Json | None = None,
    annotations: Json | None = None,
    metadata: Json | None = None,
    **of_template: Any,
) -> Json:
    made: Json = {"name": name, "namespace": namespace, "uid": f"uid-{kind}-{namespace}-{name}", "generation": 1}
    made |= {"resourceVersion": "100", **({"labels": labels} if labels else {})}
    made |= {"annotations": annotations} if annotations else {}
    body = {
        "apiVersion": "batch/v1" if kind in ("Job", "CronJob") else "apps/v1",
        "kind": kind,
        "metadata": made | (metadata or {}),
        "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec, "template": template(**of_template)},
    }
    return as_served(body)


def pod(name: str = "web-1", *, marker: str = "", **status: Any) -> Json:
    """A pod of the newest template; `status` as its containers' states by name."""
    return {
        "metadata": {
            "name": name,
            "annotations": {names.REVISION_ANNOTATION: marker} if marker else {},
            "creationTimestamp": "2026-11-21T08:59:58Z",
        },
        "spec": {"containers": [container()]},
        "status": {"phase": "Running", **status},
    }
