"""Policies and workloads as their authors write them: name what matters."""

from __future__ import annotations

from typing import Any

from sidecarpolicy.api import names

Json = dict[str, Any]

SELECTED = {"logs": "shipped"}
REQUESTS = {"requests": {"cpu": "50m", "memory": "64Mi"}}


def policy(name: str = "log-shipper", *, kind: str = names.POLICY_KIND, **spec: Any) -> Json:
    """A policy that gives one sidecar to what has the label."""
    asked = {"selector": {"matchLabels": SELECTED}, "sidecars": [sidecar()], **spec}
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": asked}


def sidecar(name: str = "shipper", image: str = "fluent/fluent-bit:3.2", **fields: Any) -> Json:
    """A sidecar with the requests that every sidecar has to have."""
    return {"name": name, "image": image, "resources": REQUESTS, **fields}


def deployment(name: str = "web", **spec: Any) -> Json:
    """A selected Deployment of two pods."""
    return _workload("apps/v1", "Deployment", name, {"replicas": 2, **_pods(name), **spec})


def stateful_set(name: str = "web", **spec: Any) -> Json:
    """A selected StatefulSet of two pods."""
    return _workload("apps/v1", "StatefulSet", name, {"replicas": 2, "serviceName": name, **_pods(name), **spec})


def daemon_set(name: str = "web", **spec: Any) -> Json:
    """A selected DaemonSet."""
    return _workload("apps/v1", "DaemonSet", name, {**_pods(name), **spec})


def job(name: str = "import", *, runs_for: str = "600s", **spec: Any) -> Json:
    """A selected Job that runs for long."""
    return _workload("batch/v1", "Job", name, {**_job(name, runs_for), **spec})


def cron_job(name: str = "report", **spec: Any) -> Json:
    """A selected CronJob whose time never comes."""
    jobs = {"metadata": {"labels": SELECTED}, "spec": _job(name, "600s")}
    return _workload("batch/v1", "CronJob", name, {"schedule": "0 0 30 2 *", "jobTemplate": jobs, **spec})


def template(name: str = "web", *, image: str = "nginx:1.27", annotations: Json | None = None, **spec: Any) -> Json:
    """A pod template with one container."""
    metadata: Json = {"labels": {"app": name}}
    if annotations:
        metadata["annotations"] = annotations
    return {"metadata": metadata, "spec": {"containers": [{"name": "app", "image": image}], **spec}}


def labelled(body: Json, **labels: str) -> Json:
    """The object with these labels instead of its own."""
    return {**body, "metadata": {**body["metadata"], "labels": labels}}


def _pods(name: str) -> Json:
    return {"selector": {"matchLabels": {"app": name}}, "template": template(name)}


def _job(name: str, runs_for: str) -> Json:
    pods = template(name, annotations={"sidecarpolicy.test/runs-for": runs_for}, restartPolicy="Never")
    return {"backoffLimit": 0, "template": pods}


def _workload(version: str, kind: str, name: str, spec: Json) -> Json:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": SELECTED}, "spec": spec}
