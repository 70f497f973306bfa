"""A policy as its author writes it: SidecarPolicy and ClusterSidecarPolicy."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Json = dict[str, Any]
Kind = Literal["Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job"]
DEFAULT_KINDS: tuple[Kind, ...] = ("Deployment", "StatefulSet", "Job")

_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours"}


def parse_duration(text: str) -> timedelta:
    """Return a time such as "30s", "10m" or "1h30m"; raises ValueError for anything else."""
    if not re.fullmatch(r"([0-9]+(ms|s|m|h))+", text):
        raise ValueError("give a time such as 30s, 10m or 1h30m")
    parts = re.findall(r"([0-9]+)(ms|s|m|h)", text)
    return sum((timedelta(**{_UNITS[unit]: int(number)}) for number, unit in parts), timedelta())


def _check_duration(text: str) -> str:
    parse_duration(text)
    return text


Duration = Annotated[str, AfterValidator(_check_duration)]


class Model(BaseModel):
    """What all parts of a policy share: camelCase as written, frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Requirement(Model):
    """One expression of a label selector."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] = []


class LabelSelector(Model):
    """A label selector; {} selects everything."""

    matchLabels: dict[str, str] = {}  # noqa: N815 - the API's own spelling
    matchExpressions: list[Requirement] = []  # noqa: N815 - the API's own spelling


class Placed(BaseModel):
    """What stands among the init containers, and where; every other field is core/v1's and stays as written."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    position: Literal["First", "Last"] | None = None
    before: list[str] = []
    after: list[str] = []

    @property
    def container(self) -> Json:
        """The core/v1 Container, as written."""
        return {"name": self.name, **(self.model_extra or {})}


class Fill(BaseModel):
    """What the app's own containers get, only where they have nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    names: list[str]
    volumeMounts: list[Json] = []  # noqa: N815 - the API's own spelling
    env: list[Json] = []
    resources: Json = {}
    startupProbe: Json | None = None  # noqa: N815 - the API's own spelling
    readinessProbe: Json | None = None  # noqa: N815 - the API's own spelling
    livenessProbe: Json | None = None  # noqa: N815 - the API's own spelling


class Rollout(Model):
    """How many workloads may be in flux, and how long one may take."""

    maxConcurrent: int | str = 10  # noqa: N815 - the API's own spelling
    progressDeadline: Duration = "10m"  # noqa: N815 - the API's own spelling


class PolicySpec(Model):
    """The spec of a SidecarPolicy."""

    selector: LabelSelector
    kinds: list[Kind] = list(DEFAULT_KINDS)
    priority: int = 0
    mode: Literal["Enforce", "Audit"] = "Enforce"
    paused: bool = False
    sidecars: list[Placed] = []
    initContainers: list[Placed] = []  # noqa: N815 - the API's own spelling
    convert: list[Placed] = []
    volumes: list[Json] = []
    containers: list[Fill] = []
    rollout: Rollout = Field(default_factory=Rollout)
    deletion: Literal["Restore", "Keep"] = "Restore"


class ClusterPolicySpec(PolicySpec):
    """The spec of a ClusterSidecarPolicy: the same, with a choice of namespaces."""

    namespaceSelector: LabelSelector = Field(default_factory=LabelSelector)  # noqa: N815 - the API's own spelling
