"""A policy as its author writes it: SidecarPolicy and ClusterSidecarPolicy.

The CRDs are rendered from these models: every description is what `kubectl explain` shows, every bound and default what
the API server enforces. A part whose schema is core/v1's own is marked with that type's name under `x-core`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from sidecarpolicy.api import quantity

Json = dict[str, Any]
Kind = Literal["Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job"]
DEFAULT_KINDS: tuple[Kind, ...] = ("Deployment", "StatefulSet", "Job")

MOST_ITEMS = 16
"""In every list that a CEL rule walks: each has to end within the API server's budget."""
DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
"""What containers, volumes and ports may be called."""

LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
_GLOB = r"^[-a-z0-9*?\[\]!]+$"
_LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
_PERCENTAGE = r"^([1-9][0-9]?|100)%$"

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
LISTS = {"volumeMounts": "mountPath", "env": "name"}
"""What a container is filled with item by item, and the key of the items."""
QUANTITY_MAPS = frozenset({"requests", "limits"})
QUANTITIES = frozenset({"sizeLimit", "divisor"})
"""Fields of core/v1 that hold one quantity; those above hold one for each resource."""

_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours"}


def parse_duration(text: str) -> timedelta:
    """Return a time such as "30s", "10m" or "1h30m"; raises ValueError for anything else."""
    parts = re.findall(r"([0-9]{1,6})(ms|s|m|h)", text)
    time = sum((timedelta(**{_UNITS[unit]: int(number)}) for number, unit in parts), timedelta())
    if not time or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("give a time such as 30s, 10m or 1h30m")
    return time


def _quantities(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every quantity below a part of a policy, with the path to it."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _quantities(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in QUANTITY_MAPS and isinstance(item, dict):
                yield from ((f"{path}.{key}.{name}", amount) for name, amount in item.items())
            elif key in QUANTITIES and item is not None:
                yield f"{path}.{key}", item
            else:
                yield from _quantities(item, f"{path}.{key}")


def _check_duration(text: str) -> str:
    parse_duration(text)
    return text


def _check_quantities(value: Json) -> Json:
    for path, amount in _quantities(value):
        try:
            quantity.parse(amount)
        except ValueError as error:
            raise ValueError(f"{path.lstrip('.')}: {error}") from error
    return value


Duration = Annotated[str, AfterValidator(_check_duration), Field(max_length=32)]
Name = Annotated[str, Field(max_length=63, pattern=DNS_LABEL)]
LabelKey = Annotated[str, Field(max_length=317, pattern=LABEL_KEY)]
LabelValue = Annotated[str, Field(max_length=63, pattern=_LABEL_VALUE)]
Percentage = Annotated[str, Field(max_length=4, pattern=_PERCENTAGE)]

VolumeMount = Annotated[Json, WithJsonSchema({"x-core": "VolumeMount"})]
EnvVar = Annotated[Json, WithJsonSchema({"x-core": "EnvVar"}), AfterValidator(_check_quantities)]
Resources = Annotated[Json, WithJsonSchema({"x-core": "ResourceRequirements"}), AfterValidator(_check_quantities)]
Probe = Annotated[Json, WithJsonSchema({"x-core": "Probe"})]
Volume = Annotated[Json, WithJsonSchema({"x-core": "Volume"}), AfterValidator(_check_quantities)]

_SET: Json = {"x-kubernetes-list-type": "set"}
_ATOMIC: Json = {"x-kubernetes-list-type": "atomic"}


def _map_by(key: str) -> Json:
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


class Model(BaseModel):
    """What all parts of a policy share: camelCase as written, frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Requirement(Model):
    """One expression of a label selector."""

    key: LabelKey = Field(description="The label's key.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(description="How the label is compared.")
    values: list[LabelValue] = Field(
        default=[],
        max_length=64,
        json_schema_extra=_ATOMIC,
        description="What the label is compared with; for In and NotIn only.",
    )


class LabelSelector(Model):
    """A label selector; {} selects everything."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})

    matchLabels: dict[str, LabelValue] = Field(
        default={}, max_length=MOST_ITEMS, description="Labels that have to be there with these very values."
    )
    matchExpressions: list[Requirement] = Field(
        default=[], max_length=MOST_ITEMS, json_schema_extra=_ATOMIC, description="Expressions that all have to hold."
    )


class Placed(BaseModel):
    """What stands among the init containers, and where; every other field is core/v1's and stays as written."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: Name = Field(description="Its name, unique in the whole pod.")
    position: Literal["First", "Last"] | None = Field(
        default=None,
        description="Before or after the workload's own init containers; First if neither before nor after is given.",
    )
    before: list[Name] = Field(
        default=[],
        max_length=MOST_ITEMS,
        json_schema_extra=_SET,
        description="Init containers or sidecars that start later; names that a workload does not have are ignored.",
    )
    after: list[Name] = Field(
        default=[],
        max_length=MOST_ITEMS,
        json_schema_extra=_SET,
        description="Init containers or sidecars that start earlier; names that a workload does not have are ignored.",
    )

    @property
    def container(self) -> Json:
        """The core/v1 Container, as written."""
        return {"name": self.name, **(self.model_extra or {})}

    @model_validator(mode="after")
    def _has_quantities(self) -> Placed:
        _check_quantities(self.model_extra or {})
        return self


class Sidecar(Placed):
    """A native sidecar: a core/v1 Container that always restarts, with its place."""

    model_config = ConfigDict(json_schema_extra={"x-core": "Container"})


class InitContainer(Placed):
    """An ordinary init container: a core/v1 Container, with its place."""

    model_config = ConfigDict(json_schema_extra={"x-core": "Container"})


class Converted(Placed):
    """A container of the workload, by name, that becomes a native sidecar, with its place."""

    model_config = ConfigDict(extra="forbid")


_PROBE = (
    "A {} probe, where the container has none and declares the port;"
    " where it declares no ports at all, the port has to be a number."
)


class Fill(BaseModel):
    """What the app's own containers get, only where they have nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    names: list[Annotated[str, Field(max_length=63, pattern=_GLOB)]] = Field(
        min_length=1,
        max_length=MOST_ITEMS,
        json_schema_extra=_SET,
        description='Which of the workload\'s containers: names or globs; "*" is all of them.',
    )
    volumeMounts: list[VolumeMount] = Field(
        default=[],
        json_schema_extra=_map_by("mountPath"),
        description="Mounts, where the container mounts nothing at that path.",
    )
    env: list[EnvVar] = Field(
        default=[],
        json_schema_extra=_map_by("name"),
        description="Variables, where the container has none of that name.",
    )
    resources: Resources = Field(
        default={}, description="Requests and limits, key by key where the container has none; a limit needs a request."
    )
    startupProbe: Probe | None = Field(default=None, description=_PROBE.format("startup"))
    readinessProbe: Probe | None = Field(default=None, description=_PROBE.format("readiness"))
    livenessProbe: Probe | None = Field(default=None, description=_PROBE.format("liveness"))


class Rollout(Model):
    """How many workloads may be in flux, and how long one may take."""

    maxConcurrent: Annotated[int, Field(ge=1, strict=True)] | Percentage = Field(
        default=10, description="How many workloads may be in flux at once: a number, or a percentage such as 25%."
    )
    progressDeadline: Duration = Field(
        default="10m", description="How long one workload may take to settle before it counts as failed."
    )


class PolicySpec(Model):
    """The spec of a SidecarPolicy."""

    selector: LabelSelector = Field(
        description="Which workloads, by their own labels (not their pods'); {} selects every one."
    )
    kinds: list[Kind] = Field(
        default=list(DEFAULT_KINDS),
        min_length=1,
        json_schema_extra=_SET,
        description="The kinds of workload that the policy acts on.",
    )
    priority: int = Field(
        default=0, ge=-1000, le=1000, description="The higher one goes first and wins a conflict between policies."
    )
    mode: Literal["Enforce", "Audit"] = Field(
        default="Enforce", description="Enforce changes workloads; Audit only reports what would change."
    )
    paused: bool = Field(default=False, description="While true nothing new is started, and what is there stays.")
    sidecars: list[Sidecar] = Field(
        default=[],
        max_length=MOST_ITEMS,
        json_schema_extra=_map_by("name"),
        description="Native sidecars: containers as in any manifest, restarted always, with their place.",
    )
    initContainers: list[InitContainer] = Field(
        default=[],
        max_length=MOST_ITEMS,
        json_schema_extra=_map_by("name"),
        description="Ordinary init containers that a sidecar needs, with their place.",
    )
    convert: list[Converted] = Field(
        default=[],
        max_length=MOST_ITEMS,
        json_schema_extra=_map_by("name"),
        description="Containers of the workload that become native sidecars, with their place.",
    )
    volumes: list[Volume] = Field(
        default=[],
        max_length=64,
        json_schema_extra=_map_by("name"),
        description="Volumes that are added to the pods: as in any manifest.",
    )
    containers: list[Fill] = Field(
        default=[],
        max_length=MOST_ITEMS,
        json_schema_extra=_ATOMIC,
        description="What the workload's own containers get, only where they have nothing.",
    )
    rollout: Rollout = Field(default=Rollout(), description="How gradually workloads are changed.")
    deletion: Literal["Restore", "Keep"] = Field(
        default="Restore",
        description="What becomes of the workloads when the policy goes: restored as they were, or kept as they are.",
    )


class ClusterPolicySpec(PolicySpec):
    """The spec of a ClusterSidecarPolicy: the same, with a choice of namespaces."""

    namespaceSelector: LabelSelector = Field(
        default=LabelSelector(), description="Which namespaces, by their labels; {} selects every one."
    )
