"""What the policy of these stories adds, and what of it a workload shows and its record names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sidecarpolicy.api import names
from stories.author import Json, template_in

POLICY = "log-shipper"
NOTHING: Mapping[str, Any] = {}

_SMALL = {"requests": {"cpu": "50m", "memory": "64Mi"}}
_RESOURCES = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}
_PROBE = {"tcpSocket": {"port": 8080}, "periodSeconds": 20}
_DEFAULTS = {"timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3}

OURS: Mapping[str, Any] = {
    "order": ["shipper", "migrate", "schema", "agent"],
    "images": {"shipper": "shipper:1", "agent": "agent:1"},
    "volumes": ["cache", "logs"],
    "mounts": ["/var/log/app"],
    "requests": _RESOURCES["requests"],
    "limits": _RESOURCES["limits"],
    "livenessProbe": {**_PROBE, **_DEFAULTS},
}
"""What the injected template of `author.manifest()` shows."""

RECORDED = frozenset(
    {
        "initContainers shipper",
        "initContainers agent",
        "volumes logs",
        "volumeMounts /var/log/app",
        "requests.cpu",
        "requests.memory",
        "limits.memory",
        "livenessProbe",
    }
)
"""What the record of it names."""


def policy(**fields: Any) -> Json:
    """A policy that adds one of everything."""
    mount = {"name": "logs", "mountPath": "/logs"}
    spec = {
        "selector": {"matchLabels": {"logs": "shipped"}},
        "kinds": ["Deployment", "StatefulSet", "DaemonSet", "CronJob"],
        "sidecars": [
            {"name": "shipper", "image": "shipper:1", "resources": _SMALL, "volumeMounts": [mount]},
            {"name": "agent", "image": "agent:1", "resources": _SMALL, "position": "Last"},
        ],
        "volumes": [{"name": "logs", "emptyDir": {}}],
        "containers": [
            {
                "names": ["*"],
                "volumeMounts": [{"name": "logs", "mountPath": "/var/log/app"}],
                "resources": _RESOURCES,
                "livenessProbe": _PROBE,
            }
        ],
        **fields,
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.POLICY_KIND,
        "metadata": {"name": POLICY},
        "spec": spec,
    }


def shows_ours(body: Json, shows: Mapping[str, Any], taken: frozenset[str]) -> None:
    """What is shown is there; the record is of this template and does not name what the author took."""
    assert shown(body) == {**OURS, **shows}
    assert recorded(body) == RECORDED - taken
    assert record(body)["revision"] == marker(body)


def shown(body: Json) -> Json:
    """What the template shows of all that the policy is about."""
    template = template_in(body)
    spec = template["spec"]
    inits, app = spec.get("initContainers", []), spec["containers"][0]
    return {
        "order": [one["name"] for one in inits],
        "images": {one["name"]: one["image"] for one in inits if one.get("restartPolicy") == "Always"},
        "volumes": sorted(one["name"] for one in spec.get("volumes", [])),
        "mounts": [one["mountPath"] for one in app.get("volumeMounts", [])],
        **{side: app.get("resources", {}).get(side) for side in ("requests", "limits")},
        "livenessProbe": app.get("livenessProbe"),
    }


def recorded(body: Json) -> set[str]:
    """What the record names, whichever container of the app it is about."""
    part = record(body)["policies"][POLICY]
    found = {f"{name} {item}" for name in ("initContainers", "volumes") for item in part.get(name, [])}
    for filled in part.get("containers", {}).values():
        found |= {f"volumeMounts {mount['mountPath']}" for mount in filled.get("volumeMounts", [])}
        found |= {f"{side}.{name}" for side, amounts in filled.get("resources", {}).items() for name in amounts}
        found |= {name for name in filled if name.endswith("Probe")}
    return found


def record(body: Json) -> Json:
    """The record, as it stands in the annotation."""
    content: Json = json.loads(body["metadata"]["annotations"][names.RECORD_ANNOTATION])
    return content


def marker(body: Json) -> str:
    """The revision that the template names."""
    return str(template_in(body)["metadata"].get("annotations", {}).get(names.REVISION_ANNOTATION, ""))


def claims(body: Json) -> set[str]:
    """The fields of the author's container that a server-side apply of the author's would conflict about."""
    found: set[str] = set()
    for entry in body["metadata"]["managedFields"]:
        if entry["manager"] == names.FIELD_MANAGER:
            spec = _plain(entry["fieldsV1"]).get("spec", {})
            template = spec.get("jobTemplate", {}).get("spec", spec).get("template", {})
            for container in template.get("spec", {}).get("containers", {}).values():
                found |= container.keys() - {"volumeMounts", "env", "."}
    return found


def _plain(fields: Any) -> Any:
    return {key.removeprefix("f:"): _plain(value) for key, value in fields.items()}
