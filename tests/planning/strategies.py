"""Random templates as their authors write them, random policies, random edits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from builders import container, policy, sidecar

Json = dict[str, Any]
Edit = Callable[[Json], None]

APPS, INITS = ("app", "web", "worker"), ("i1", "i2", "i3")
_AMOUNTS: dict[str, tuple[str, ...]] = {
    "cpu": ("100m", "250m", "1"),
    "memory": ("64Mi", "256Mi", "1Gi"),
    "nvidia.com/gpu": ("1",),
}
_PATHS = ("/data", "/logs", "/tmp")
_PORTS = st.sampled_from([8080, 9090])


def some(values: Any, most: int = 2) -> st.SearchStrategy[list[Any]]:
    """A few different ones of these."""
    return st.lists(st.sampled_from(values), unique=True, max_size=most)


@st.composite
def resources(draw: st.DrawFn, amounts: dict[str, tuple[str, ...]] = _AMOUNTS) -> Json:
    """Requests and limits that a container may have: valid, and often incomplete."""
    result: dict[str, Json] = {}
    for name, choices in amounts.items():
        place = st.integers(0, len(choices) - 1)
        low, high = sorted((draw(place), draw(place)))
        if draw(st.booleans()):
            result.setdefault("limits", {})[name] = choices[high]
        if draw(st.booleans()) or (name in result.get("limits", {}) and "/" in name):
            result.setdefault("requests", {})[name] = choices[high if "/" in name else low]
            if "/" in name:
                result.setdefault("limits", {})[name] = choices[high]
    return result


@st.composite
def probe(draw: st.DrawFn, period: int) -> Json:
    """A probe, told from others by its period."""
    handler: Json = draw(
        st.sampled_from(
            [
                {"tcpSocket": {"port": 8080}},
                {"httpGet": {"port": "http", "path": "/ready"}},
                {"exec": {"command": ["true"]}},
                {"httpGet": {"port": 9090}},
            ]
        )
    )
    return {**handler, "periodSeconds": period} if draw(st.booleans()) else dict(handler)


@st.composite
def app(draw: st.DrawFn, name: str, volumes: list[str]) -> Json:
    """A container of the author's."""
    fields: Json = {"resources": draw(resources())} if draw(st.booleans()) else {}
    if draw(st.booleans()):
        fields["ports"] = [{"name": "http", "containerPort": draw(_PORTS)}]
    for field in draw(some(("readinessProbe", "livenessProbe"))):
        fields[field] = draw(probe(7))
    mounts = [{"name": volume, "mountPath": f"/{volume}"} for volume in volumes if draw(st.booleans())]
    variables = [{"name": name, "value": "authors"} for name in draw(some(("A", "B", "C"), 3))]
    unknown = {"futureField": {"deep": [1, {"x": "y"}]}} if draw(st.booleans()) else {}
    return container(name, volumeMounts=mounts, env=variables, **fields, **unknown)


@st.composite
def templates(draw: st.DrawFn) -> Json:
    """The arguments of a workload: what its author writes of the template."""
    volumes = draw(some(("data", "logs", "cache")))
    apps = draw(st.lists(st.sampled_from(APPS), unique=True, min_size=1, max_size=3))
    result: Json = {
        "containers": [draw(app(name, volumes)) for name in apps],
        "init": [
            container(name, **draw(st.sampled_from([{}, {"restartPolicy": "Always"}]))) for name in draw(some(INITS, 3))
        ],
        "volumes": [{"name": name, "emptyDir": {}} for name in volumes],
    }
    if draw(st.booleans()):
        result["someDay"] = {"unknown": True}
    return result


@st.composite
def placed(draw: st.DrawFn) -> Json:
    """Where a sidecar wants to stand."""
    if draw(st.booleans()):
        return draw(st.sampled_from([{}, {"position": "First"}, {"position": "Last"}]))
    names = (*INITS, "s1", "s2", "s3")
    return {"before": draw(some(names, 1)), "after": draw(some(names, 1))}


@st.composite
def fills(draw: st.DrawFn, volumes: list[str]) -> Json:
    """What the app's containers get."""
    rule: Json = {"names": draw(st.sampled_from([["*"], ["app"], ["w*"]]))}
    if volumes:
        paths = draw(some(_PATHS))
        rule["volumeMounts"] = [{"name": volumes[0], "mountPath": path} for path in paths]
    rule["env"] = [{"name": name, "value": "ours"} for name in draw(some(("A", "D", "E")))]
    rule["resources"] = draw(resources(_AMOUNTS | {"cpu": ("0.2", "0.4", "1500m")}))
    for field in draw(some(("readinessProbe", "livenessProbe", "startupProbe"))):
        rule[field] = draw(probe(20))
    return rule


@st.composite
def policies(draw: st.DrawFn, name: str, *, convert: bool = True) -> Json:
    """A policy of that name; what it adds has names from a small pool, so that policies clash at times."""
    volumes = draw(some(("logs", f"vol-{name}"), 1))
    sidecars = []
    for one in draw(some(("s1", "s2", "s3", f"of-{name}"))):
        mounts = [{"name": volume, "mountPath": "/in"} for volume in volumes]
        variables = [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
        probes = {"startupProbe": draw(probe(3))} if draw(st.booleans()) else {}
        sidecars.append(sidecar(one, volumeMounts=mounts, env=variables, **probes, **draw(placed())))
    spec: Json = {
        "priority": draw(st.integers(0, 1)),
        "sidecars": sidecars,
        "volumes": [{"name": volume, "emptyDir": {"sizeLimit": "1024Mi"}} for volume in volumes],
        "containers": [draw(fills(volumes)) for _ in range(draw(st.integers(0, 2)))],
    }
    if draw(st.booleans()):
        spec["initContainers"] = [{"name": f"init-{name}", "image": "init:1", **draw(placed())}]
    if convert and draw(st.booleans()):
        spec["convert"] = [{"name": draw(st.sampled_from(APPS)), **draw(placed())}]
    return policy(name, namespace=draw(st.sampled_from(["shop", "shop", ""])), **spec)


def _containers(template: Json) -> list[Json]:
    return [*template["spec"]["containers"], *template["spec"].get("initContainers", ())]


def _set_image(template: Json, value: int) -> None:
    for one in _containers(template):
        if one["name"] in (*APPS, *INITS):
            one["image"] = f"{one['name']}:{value}"


def _prepend_init(template: Json, value: int) -> None:
    spec = template["spec"]
    spec["initContainers"] = [container(f"n{value}"), *spec.get("initContainers", ())]


def _append_init(template: Json, value: int) -> None:
    spec = template["spec"]
    spec["initContainers"] = [*spec.get("initContainers", ()), container(f"m{value}")]


def _remove_init(template: Json, value: int) -> None:
    spec = template["spec"]
    gone = INITS[value % len(INITS)]
    spec["initContainers"] = [one for one in spec.get("initContainers", ()) if one["name"] != gone]


def _reverse_inits(template: Json, value: int) -> None:
    del value
    spec = template["spec"]
    spec["initContainers"] = [*reversed(spec.get("initContainers", []))]


def _set_limit(template: Json, value: int) -> None:
    for one in _containers(template):
        if one["name"] == APPS[value % len(APPS)]:
            sides = one.setdefault("resources", {})
            sides["limits"] = {**sides.get("limits", {}), "memory": f"{3 + value}Gi"}


def _set_probe(template: Json, value: int) -> None:
    for one in _containers(template):
        if one["name"] == APPS[value % len(APPS)]:
            one["livenessProbe"] = {"tcpSocket": {"port": 7000 + value}, "periodSeconds": 7}


def _set_variable(template: Json, value: int) -> None:
    for one in _containers(template):
        if one["name"] == APPS[value % len(APPS)]:
            others = [variable for variable in one.get("env", ()) if variable["name"] != "D"]
            one["env"] = [*others, {"name": "D", "value": f"authors-{value}"}]


def _add_volume(template: Json, value: int) -> None:
    spec = template["spec"]
    spec["volumes"] = [{"name": f"extra{value}", "configMap": {"name": "x"}}, *spec.get("volumes", ())]


def _annotate(template: Json, value: int) -> None:
    metadata = template.setdefault("metadata", {})
    metadata["annotations"] = {**metadata.get("annotations", {}), "kubectl.kubernetes.io/restartedAt": str(value)}


_EDITS = (
    _set_image,
    _prepend_init,
    _append_init,
    _remove_init,
    _reverse_inits,
    _set_limit,
    _set_probe,
    _set_variable,
    _add_volume,
    _annotate,
)


@st.composite
def edits(draw: st.DrawFn) -> Edit:
    """A few changes that an author may make; they do the same to an injected template as to its twin."""
    steps = draw(st.lists(st.tuples(st.sampled_from(_EDITS), st.integers(0, 3)), min_size=1, max_size=4, unique=True))

    def edit(template: Json) -> None:
        for step, value in steps:
            step(template, value)

    return edit
