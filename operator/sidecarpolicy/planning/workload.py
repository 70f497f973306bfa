"""A workload: one Deployment, StatefulSet, DaemonSet, CronJob or Job, as the API server gave it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from sidecarpolicy.api.policy import Json


@dataclass(frozen=True, slots=True)
class KindFacts:
    """What differs between the five kinds."""

    group: str
    plural: str
    template: tuple[str, ...]
    """Where the pod template stands."""


KINDS: dict[str, KindFacts] = {
    "Deployment": KindFacts("apps", "deployments", ("spec", "template")),
    "StatefulSet": KindFacts("apps", "statefulsets", ("spec", "template")),
    "DaemonSet": KindFacts("apps", "daemonsets", ("spec", "template")),
    "CronJob": KindFacts("batch", "cronjobs", ("spec", "jobTemplate", "spec", "template")),
    "Job": KindFacts("batch", "jobs", ("spec", "template")),
}


class Ref(NamedTuple):
    """The name of one workload in the cluster."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def ref_of(body: Json) -> Ref:
    """Return the name of a workload."""
    return Ref(body["kind"], body["metadata"]["namespace"], body["metadata"]["name"])


def template_of(body: Json) -> Json:
    """Return the pod template of a workload."""
    value = body
    for step in KINDS[body["kind"]].template:
        value = value[step]
    return value


def container_names(spec: Json) -> set[str]:
    """Return the names of a pod's containers, init containers apart."""
    return {container["name"] for container in spec["containers"]}


def reach(value: Json, path: Iterable[str]) -> Json | None:
    """Return what stands at a path of keys; None where one is missing."""
    for step in path:
        value = value.get(step) or {}
    return value or None


def controller_of(body: Json) -> Json | None:
    """Return the owner that controls a workload, and would undo what others write to it."""
    owners = body["metadata"].get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), None)


def is_made_by_cron_job(body: Json) -> bool:
    """Tell whether a workload is a Job that a CronJob has made, by the template that the CronJob had then."""
    owner = controller_of(body)
    return body["kind"] == "Job" and owner is not None and owner["kind"] == "CronJob"
