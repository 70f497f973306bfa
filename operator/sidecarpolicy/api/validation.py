"""What is wrong with a policy that its schema cannot see, in sentences for its author."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter

from sidecarpolicy.api import quantity
from sidecarpolicy.api.policy import LABEL_KEY, PROBES, ClusterPolicySpec, Fill, Json, LabelSelector, Placed, PolicySpec

_HOOKS = ("postStart", "preStop")
_HANDLERS = ("httpGet", "tcpSocket")


def problems(spec: PolicySpec) -> list[str]:
    """Return every problem of a spec: what, where and what to do; an empty list if there is none."""
    return [
        *_selector("selector", spec.selector),
        *(_selector("namespaceSelector", spec.namespaceSelector) if isinstance(spec, ClusterPolicySpec) else ()),
        *_names(spec),
        *_order([*spec.initContainers, *spec.sidecars, *spec.convert]),
        *(problem for each in spec.initContainers for problem in _container("init container", each)),
        *(problem for each in spec.sidecars for problem in _container("sidecar", each)),
        *(problem for each in spec.sidecars for problem in _ports(each)),
        *_shared_ports(spec.sidecars),
        *_repeated("volumes", "volume", [volume["name"] for volume in spec.volumes]),
        *(problem for each in spec.containers for problem in _fill(each)),
    ]


def _selector(field: str, selector: LabelSelector) -> Iterator[str]:
    for key in selector.matchLabels:
        if not re.fullmatch(LABEL_KEY, key):
            yield f"{field}.matchLabels has {key!r}, which is no label's key: write it as in app or example.com/app"


def _names(spec: PolicySpec) -> Iterator[str]:
    lists: dict[str, Sequence[Placed]] = {
        "sidecars": spec.sidecars,
        "initContainers": spec.initContainers,
        "convert": spec.convert,
    }
    places: dict[str, list[str]] = {}
    for field, items in lists.items():
        for item in items:
            places.setdefault(item.name, []).append(field)
    for name, fields in places.items():
        if len(fields) > 1:
            where = " and ".join(dict.fromkeys(fields))
            yield f"the name {name} is given {len(fields)} times in {where}: every name may be given once"


def _order(items: Sequence[Placed]) -> Iterator[str]:
    """Names that a workload may lack count too: what contradicts itself makes sense nowhere."""
    graph: TopologicalSorter[str] = TopologicalSorter()
    for item in items:
        graph.add(item.name, *item.after)
        for name in item.before:
            graph.add(name, item.name)
    try:
        graph.prepare()
    except CycleError as error:
        circle = " before ".join(error.args[1])
        yield f"before and after contradict each other ({circle}): remove one of them"


def _container(what: str, item: Placed) -> Iterator[str]:
    container, where = item.container, f"{what} {item.name}"
    yield from _above(where, container.get("resources") or {})
    yield from _repeated(where, "mountPath", [mount["mountPath"] for mount in container.get("volumeMounts") or ()])
    yield from _repeated(where, "variable", [variable["name"] for variable in container.get("env") or ()])


def _above(where: str, resources: Json) -> Iterator[str]:
    limits = resources.get("limits") or {}
    for name, request in (resources.get("requests") or {}).items():
        if name in limits and quantity.parse(request) > quantity.parse(limits[name]):
            yield (
                f"{where} has a {name} request ({request}) above its limit ({limits[name]}):"
                " lower the request or raise the limit"
            )


def _repeated(where: str, what: str, given: Iterable[str]) -> Iterator[str]:
    for name, count in Counter(given).items():
        if count > 1:
            yield f"{where} has the {what} {name} {count} times: keep one"


def _ports(item: Placed) -> Iterator[str]:
    where, declared = f"sidecar {item.name}", item.container.get("ports") or []
    yield from _repeated(where, "port name", [port["name"] for port in declared if "name" in port])
    for port in declared:
        if port.get("hostPort"):
            yield (
                f"{where} takes hostPort {port['hostPort']} on the node, so that one pod fits on each:"
                " remove hostPort, containerPort is enough"
            )
    names = {port.get("name") for port in declared}
    for field, port_name in _named_ports(item.container):
        if port_name not in names:
            yield (
                f"{where} has no port named {port_name}, which its {field} asks for:"
                " declare it in the sidecar's ports, or give the number"
            )


def _named_ports(container: Json) -> Iterator[tuple[str, str]]:
    lifecycle = container.get("lifecycle") or {}
    asked = {name: container.get(name) for name in PROBES} | {name: lifecycle.get(name) for name in _HOOKS}
    for field, handlers in asked.items():
        for handler in _HANDLERS:
            port = ((handlers or {}).get(handler) or {}).get("port")
            # "8080" in quotes is a number all the same.
            if isinstance(port, str) and not port.isdigit():
                yield field, port


def _shared_ports(sidecars: Sequence[Placed]) -> Iterator[str]:
    owners: dict[tuple[int, str], list[str]] = {}
    for item in sidecars:
        for port in item.container.get("ports") or ():
            owners.setdefault((port["containerPort"], port.get("protocol") or "TCP"), []).append(item.name)
    for (number, protocol), names in owners.items():
        if len(names) > 1:
            where = " and ".join(dict.fromkeys(names))
            yield f"port {number}/{protocol} is declared by {where}, and a pod has every port once: change one"


def _fill(fill: Fill) -> Iterator[str]:
    where = f"the entry of containers for {' '.join(fill.names)}"
    if not any((fill.volumeMounts, fill.env, fill.resources, *(getattr(fill, probe) for probe in PROBES))):
        yield f"{where} gives them nothing: add mounts, env, resources or a probe, or remove the entry"
    yield from _above(where, fill.resources)
    yield from _repeated(where, "mountPath", [mount["mountPath"] for mount in fill.volumeMounts])
    yield from _repeated(where, "variable", [variable["name"] for variable in fill.env])
