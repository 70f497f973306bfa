"""What the API server makes of what is sent: defaults, canonical quantities, guarded patches, the author's applies."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonpatch
import jsonpointer

from sidecarpolicy.api import names, quantity
from sidecarpolicy.planning.patch import Change
from sidecarpolicy.planning.workload import KINDS

Json = dict[str, Any]

_CONTAINER = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
_POD = {
    "dnsPolicy": "ClusterFirst",
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
    "securityContext": {},
    "terminationGracePeriodSeconds": 30,
}
_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_PROBE = {"failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1}
_EMPTY = (
    "initContainers",
    "volumes",
    "env",
    "ports",
    "volumeMounts",
    "annotations",
    "limits",
    "requests",
    "command",
    "args",
)


class RefusedError(Exception):
    """The API server answers 422."""


def as_served(body: Json) -> Json:
    """Return a workload as the API server would store it."""
    result = copy.deepcopy(body)
    template = result
    for step in KINDS[body["kind"]].template:
        template = template.get(step, {})
    if "spec" not in template:
        for step in ("spec", "template"):
            template = result[step] if step == "spec" else template[step]
    served = served_template(template)
    template.clear()
    template.update(served)
    return result


def served_template(template: Json) -> Json:
    """Return a pod template with the API server's defaults."""
    metadata = {key: value for key, value in (template.get("metadata") or {}).items() if value}
    spec = {**_POD, **_dropped(template["spec"])}
    spec["containers"] = [_container(container) for container in spec["containers"]]
    if "initContainers" in spec:
        spec["initContainers"] = [_container(container) for container in spec["initContainers"]]
    if "volumes" in spec:
        spec["volumes"] = [_volume(volume) for volume in spec["volumes"]]
    return {**template, "metadata": metadata, "spec": spec}


def _dropped(value: Json) -> Json:
    return {key: item for key, item in value.items() if item is not None and not (key in _EMPTY and not item)}


def _container(container: Json) -> Json:
    result = {"imagePullPolicy": "IfNotPresent", "resources": {}, **_CONTAINER, **_dropped(container)}
    result["resources"] = _dropped(
        {
            side: _quantities(amounts) if side in ("limits", "requests") else amounts
            for side, amounts in result["resources"].items()
        }
    )
    for name in _PROBES:
        if name in result:
            result[name] = _probe(result[name])
    if "ports" in result:
        result["ports"] = [{"protocol": "TCP", **port} for port in result["ports"]]
    if "env" in result:
        result["env"] = [_variable(variable) for variable in result["env"]]
    return result


def _quantities(amounts: Json) -> Json:
    return {name: quantity.canonical(amount) for name, amount in amounts.items()}


def _probe(probe: Json) -> Json:
    handlers = {}
    if "httpGet" in probe:
        handlers["httpGet"] = {"path": "/", "scheme": "HTTP", **probe["httpGet"]}
    if "grpc" in probe:
        handlers["grpc"] = {"service": "", **probe["grpc"]}
    return {**_PROBE, **{key: value for key, value in probe.items() if value}, **handlers}


def _variable(variable: Json) -> Json:
    result = {key: value for key, value in variable.items() if value not in ("", None)}
    source = result.get("valueFrom", {})
    if "fieldRef" in source:
        result["valueFrom"] = {"fieldRef": {"apiVersion": "v1", **source["fieldRef"]}}
    return result


def _volume(volume: Json) -> Json:
    result = copy.deepcopy(volume)
    for source in ("configMap", "secret", "downwardAPI", "projected"):
        if source in result:
            result[source] = {"defaultMode": 420, **result[source]}
    if "hostPath" in result:
        result["hostPath"] = {"type": "", **result["hostPath"]}
    if "sizeLimit" in result.get("emptyDir", {}):
        result["emptyDir"]["sizeLimit"] = quantity.canonical(result["emptyDir"]["sizeLimit"])
    return result


def written(body: Json, change: Change, *, at: str = "2026-11-21T09:00:00Z") -> Json:
    """Return the workload after our patch; raises RefusedError where a guard fails."""
    ops = json.loads(change.body)
    for op in ops:
        if op["op"] == "test" and jsonpointer.resolve_pointer(body, op["path"], None) != op["value"]:
            raise RefusedError(op["path"])
    steps = [op for op in ops if op["op"] != "test"]
    return sent(body, jsonpatch.apply_patch(body, steps), manager=names.FIELD_MANAGER, at=at)


def sent(before: Json, after: Json, *, manager: str = "kubectl", at: str = "2026-11-21T09:00:00Z") -> Json:
    """Return a workload that somebody wrote: defaults filled in, generation and version moved on."""
    result = as_served(after)
    metadata = dict(result["metadata"])
    moved = result["spec"] != before["spec"]
    if result["kind"] == "Deployment":
        moved = moved or metadata.get("annotations") != before["metadata"].get("annotations")
    metadata["generation"] = before["metadata"]["generation"] + moved
    metadata["resourceVersion"] = str(int(before["metadata"]["resourceVersion"]) + 1)
    others = [entry for entry in metadata.get("managedFields", ()) if entry["manager"] != manager]
    entry = {"manager": manager, "operation": "Update", "time": at, "fieldsV1": {}}
    metadata["managedFields"] = [*others, entry]
    if not metadata.get("annotations", True):
        del metadata["annotations"]
    return {**result, "metadata": metadata}


def edited(body: Json, edit: Any) -> Json:
    """Return a workload after its author changed the template by `edit`, which gets a copy of it."""
    result = copy.deepcopy(body)
    template = result
    for step in KINDS[body["kind"]].template:
        template = template[step]
    edit(template)
    return sent(body, result)
