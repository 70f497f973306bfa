"""The load: Deployments of about eight kilobytes as served, over many namespaces, and the policy that selects them."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

NAMESPACES = 16
MANY = 2000
LABEL = {"bench": "sidecarpolicy"}
POLICY = "bench"
_VARIABLES = 8
_PROBE: Json = {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10, "failureThreshold": 3}
_RESOURCES: Json = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}}


def namespaces() -> list[str]:
    """Return the namespaces that the Deployments are in."""
    return [f"bench-{number}" for number in range(NAMESPACES)]


def deployment(number: int, count: int) -> Json:
    """Return one Deployment of so many, as teams write them: two containers, variables, probes, volumes, annotations.

    Where there are many, one in ten has a pod: what ten thousand pods cost, the API server pays and not the operator.
    """
    name = f"app-{number:05}"
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "bench"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": namespaces()[number % NAMESPACES],
            "labels": {**labels, **LABEL},
            "annotations": {f"team.example.com/fact-{index}": "x" * 40 for index in range(6)},
        },
        "spec": {
            "replicas": 1 if count <= MANY or number % 10 == 0 else 0,
            # Every roll then makes one ReplicaSet and deletes another, the first as the last.
            "revisionHistoryLimit": 0,
            "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
            "template": {"metadata": {"labels": labels}, "spec": _pod()},
        },
    }


def _pod() -> Json:
    volumes = [{"name": f"files-{index}", "configMap": {"name": "files", "optional": True}} for index in range(3)]
    mounts = [{"name": volume["name"], "mountPath": f"/etc/{volume['name']}"} for volume in volumes]
    variables = [{"name": f"SETTING_{index}", "value": f"a value of setting {index}"} for index in range(_VARIABLES)]
    usual = {"resources": _RESOURCES, "volumeMounts": mounts, "env": variables}
    app = {"ports": [{"name": "http", "containerPort": 8080}], "readinessProbe": _PROBE, "livenessProbe": _PROBE}
    return {
        "volumes": volumes,
        "containers": [
            {"name": "app", "image": "registry.example.com/app:1.0.0", **usual, **app},
            {"name": "helper", "image": "registry.example.com/helper:1.0.0", **usual},
        ],
    }


def policy(turn: int, *, fills: bool = False) -> Json:
    """Return the policy of one turn; each asks for other content, so that each roll makes new ReplicaSets."""
    sidecar = {
        "name": "shipper",
        "image": "fluent/fluent-bit:3.2.4",
        "env": [{"name": "TURN", "value": str(turn)}],
        "resources": _RESOURCES,
        "volumeMounts": [{"name": "logs", "mountPath": "/logs", "readOnly": True}],
    }
    filled: Json = {"names": ["*"], "volumeMounts": [{"name": "logs", "mountPath": "/var/log/app"}]}
    if fills:
        filled["startupProbe"] = {"tcpSocket": {"port": "http"}, "failureThreshold": 30}
    return {
        "apiVersion": "sidecarpolicy.dev/v1alpha1",
        "kind": "ClusterSidecarPolicy",
        "metadata": {"name": POLICY},
        "spec": {
            "selector": {"matchLabels": LABEL},
            "kinds": ["Deployment"],
            "sidecars": [sidecar],
            "volumes": [{"name": "logs", "emptyDir": {}}],
            "containers": [filled],
            "rollout": {"maxConcurrent": "100%"},
        },
    }
