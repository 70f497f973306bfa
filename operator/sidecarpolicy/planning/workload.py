"""A workload: one Deployment, StatefulSet, DaemonSet, CronJob or Job, as the API server gave it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class KindFacts:
    """What differs between the five kinds."""

    group: str
    plural: str
    template: tuple[str, ...]
    """Where the pod template stands."""

    @property
    def path(self) -> str:
        """The API path of the kind's group."""
        return f"/apis/{self.group}/v1"


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
