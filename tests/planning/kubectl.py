"""What users do with kubectl, as it was seen to leave the template of an injected workload."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from builders import container, deployment, policy, sidecar
from sidecarpolicy.planning.workload import template_of

Json = dict[str, Any]
Edit = Callable[[Json], None]

POLICY = policy(
    sidecars=[
        sidecar("shipper", volumeMounts=[{"name": "logs", "mountPath": "/logs"}]),
        sidecar("agent", position="Last"),
    ],
    volumes=[{"name": "logs", "emptyDir": {}}],
    containers=[
        {
            "names": ["*"],
            "volumeMounts": [{"name": "logs", "mountPath": "/var/log"}],
            "resources": {"requests": {"memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "livenessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 20},
        }
    ],
)
INITS = [container("migrate"), container("schema")]


def make(kind: Any = deployment, **rest: Any) -> Json:
    body: Json = kind(init=copy.deepcopy(INITS), volumes=[{"name": "data", "emptyDir": {}}], **rest)
    return body


def inits(template: Json) -> list[str]:
    return [init["name"] for init in template["spec"].get("initContainers", ())]


def app(template: Json) -> Json:
    found: Json = template["spec"]["containers"][0]
    return found


def insert(where: int | str, name: str) -> Edit:
    """An init container of the author's, at a place in the list or behind another."""

    def edit(template: Json) -> None:
        items = template["spec"].setdefault("initContainers", [])
        index = inits(template).index(where) + 1 if isinstance(where, str) else where
        items.insert(index, container(name))

    return edit


def unchanged(template: Json) -> None:
    del template


def set_image(template: Json) -> None:
    app(template)["image"] = "app:2"


def restart(template: Json) -> None:
    template["metadata"].setdefault("annotations", {})["kubectl.kubernetes.io/restartedAt"] = "now"


def wipe_inits(template: Json) -> None:
    template["spec"].pop("initContainers", None)


def other_port(template: Json) -> None:
    probe = app(template).setdefault("livenessProbe", {})
    probe["tcpSocket"] = {"port": 9090}


def limit(amount: str) -> Edit:
    def edit(template: Json) -> None:
        app(template)["resources"].setdefault("limits", {})["memory"] = amount

    return edit


def rename(template: Json) -> None:
    own = {key: value for key, value in app(template).items() if key in ("image", "resources")}
    template["spec"]["containers"] = [container("renamed", image=own["image"])]


def no_annotations(template: Json) -> None:
    template["metadata"].pop("annotations", None)


def evil_image(template: Json) -> None:
    for init in template["spec"].get("initContainers", ()):
        if init["name"] == "shipper":
            init["image"] = "evil:1"


def delete_ours(template: Json) -> None:
    kept = [init for init in template["spec"]["initContainers"] if init["name"] != "shipper"]
    template["spec"]["initContainers"] = kept


def whole(template: Json) -> None:
    twin = template_of(make())
    template.clear()
    template.update(copy.deepcopy(twin))


OURS_IN_ORDER = ["shipper", "migrate", "schema", "agent"]
