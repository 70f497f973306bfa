"""Objects as their authors write them, and small questions about them."""

from __future__ import annotations

import json
from typing import Any

from sidecarpolicy.api import names
from sidecarpolicy.planning.patch import Change
from sidecarpolicy.planning.workload import KINDS, Ref

Json = dict[str, Any]

SIDECAR = {"name": "shipper", "image": "fluent/fluent-bit:3.2", "restartPolicy": "Always"}
TEMPLATE = "/spec/template/spec"


def template(**app: Any) -> Json:
    """A pod template with one container."""
    container = {"name": "app", "image": "nginx:1.27", **app}
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}


def deployment(name: str = "web", **app: Any) -> Json:
    """A Deployment whose pods are of no interest."""
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": template(**app)}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def cron_job(name: str = "report", **app: Any) -> Json:
    """A CronJob that does not run."""
    pods = template(**app)
    pods["spec"]["restartPolicy"] = "Never"
    spec = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": {"template": pods}}}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": spec}


def policy(name: str = "log-shipper", kind: str = names.POLICY_KIND) -> Json:
    """A policy with one sidecar; a cluster-wide one selects no namespace, since the run's operator follows it."""
    requests = {"cpu": "50m", "memory": "64Mi"}
    sidecar = {"name": "shipper", "image": "fluent/fluent-bit:3.2", "resources": {"requests": requests}}
    spec: Json = {"selector": {"matchLabels": {"logs": "shipped"}}, "sidecars": [sidecar]}
    if kind == names.CLUSTER_POLICY_KIND:
        spec["namespaceSelector"] = {"matchLabels": {names.NAMESPACE_LABEL: "nowhere"}}
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def change(body: Json, *operations: Json, guards: Json | None = None) -> Change:
    """The change of a workload by these operations, behind a guard for each field given."""
    wanted = {"/metadata/uid": body["metadata"]["uid"], **(guards or {})}
    tests = [{"op": "test", "path": path, "value": value} for path, value in wanted.items()]
    metadata = body["metadata"]
    return Change(
        ref=Ref(body["kind"], metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        body=json.dumps([*tests, *operations]).encode(),
        restarts=True,
        wish=0,
        fills=True,
        moves=False,
    )


def add(path: str, value: Any) -> Json:
    """One operation of a JSON Patch."""
    return {"op": "add", "path": path, "value": value}


def containers(body: Json, which: str = "containers") -> list[Json]:
    """The containers in a workload's template."""
    found: Any = body
    for step in (*KINDS[body["kind"]].template, "spec"):
        found = found[step]
    return list(found.get(which, []))
