"""What the API server would say to a policy's containers, asked before any workload hears of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sidecarpolicy.api.policy import Fill, Json, PolicySpec
from sidecarpolicy.cluster.client import Client, Invalid
from sidecarpolicy.cluster.resources import RESOURCES

_QUERY = {"dryRun": "All", "fieldValidation": "Strict"}
_FIELD = re.compile(r"template\.spec\.(initContainers|containers|volumes)\[(\d+)\]")
_STAND_IN = "stand-in"


@dataclass(frozen=True, slots=True)
class Sound:
    """The API server takes it."""


@dataclass(frozen=True, slots=True)
class Unsound:
    """The API server refuses it, in its words and with the policy's own field names."""

    message: str


@dataclass(frozen=True, slots=True)
class RestartPolicyDropped:
    """The API server takes it but knows no native sidecars."""


Verdict = Sound | Unsound | RestartPolicyDropped


async def preflight(client: Client, namespace: str, spec: PolicySpec) -> Verdict:
    """Ask for a pod template with everything that a policy adds, beside stand-ins for what the workload has."""
    body = {
        "apiVersion": "v1",
        "kind": "PodTemplate",
        "metadata": {"generateName": "sidecarpolicy-preflight-"},
        "template": {"spec": _pod(spec)},
    }
    path = RESOURCES["PodTemplate"].path(namespace)
    try:
        answer = await client.request("POST", path, query=_QUERY, body=body)
    except Invalid as error:
        return Unsound(_in_words_of_the_policy(error, len(spec.initContainers)))
    placed = answer["template"]["spec"].get("initContainers", [])[len(spec.initContainers) :]
    native = all(container.get("restartPolicy") == "Always" for container in placed)
    return Sound() if native else RestartPolicyDropped()


def _pod(spec: PolicySpec) -> Json:
    placed = [each.container for each in spec.initContainers]
    placed += [{**each.container, "restartPolicy": "Always"} for each in spec.sidecars]
    filled = [_filled(index, fill) for index, fill in enumerate(spec.containers or [Fill(names=["*"])])]
    volumes = [*spec.volumes, *_missing_volumes([*placed, *filled], {volume["name"] for volume in spec.volumes})]
    return {"initContainers": placed, "containers": filled, "volumes": volumes}


def _filled(index: int, fill: Fill) -> Json:
    given = fill.model_dump(exclude={"names"}, exclude_none=True)
    return {"name": f"{_STAND_IN}-{index}", "image": _STAND_IN, **given}


def _missing_volumes(containers: list[Json], known: set[str]) -> list[Json]:
    # A sidecar may use a volume that the workload brings along.
    mounts = {mount.get("name") for container in containers for mount in container.get("volumeMounts") or []}
    devices = {device.get("name") for container in containers for device in container.get("volumeDevices") or []}
    return [
        *({"name": name, "emptyDir": {}} for name in sorted(mounts - devices - known - {None})),
        *({"name": name, "persistentVolumeClaim": {"claimName": _STAND_IN}} for name in sorted(devices - known)),
    ]


def _in_words_of_the_policy(error: Invalid, ordinary: int) -> str:
    texts = [f"{cause.get('field')}: {cause.get('message')}" for cause in error.causes] or [error.message]

    def rename(match: re.Match[str]) -> str:
        name, index = match[1], int(match[2])
        if name == "initContainers" and index >= ordinary:
            name, index = "sidecars", index - ordinary
        return f"spec.{name}[{index}]"

    return "; ".join(_FIELD.sub(rename, text) for text in texts)
