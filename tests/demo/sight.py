"""What a person sees of a namespace: workloads with their pods, and what policies say of themselves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from localcluster import LocalCluster

Json = dict[str, Any]

SEEN = "deployments,statefulsets,daemonsets,cronjobs,jobs,pods,sidecarpolicies"
REVISION_ANNOTATION = "sidecarpolicy.dev/revision"
REPLICATED = ("Deployment", "StatefulSet", "DaemonSet")


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod as `kubectl get pods` counts it: native sidecars are among its containers."""

    workload: str
    template: str
    """The hash of the ReplicaSet or revision that made it."""
    ready: int
    containers: int
    ending: bool


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload, its own controller's view of it, and its pods."""

    body: Json
    pods: tuple[Pod, ...]

    @property
    def name(self) -> str:
        """As kubectl spells it."""
        return f"{self.body['kind'].lower()}/{self.body['metadata']['name']}"

    @property
    def template(self) -> Json:
        """The pod template, as the API server has it."""
        spec = self.body["spec"]
        found: Json = spec["jobTemplate"]["spec"]["template"] if self.body["kind"] == "CronJob" else spec["template"]
        return found

    @property
    def revisions(self) -> frozenset[str]:
        """The ReplicaSets, or revisions of a StatefulSet, that its pods come from."""
        return frozenset(pod.template for pod in self.pods if not pod.ending)

    @property
    def revision(self) -> str:
        """What policies ask of it, as a hash; nothing where no policy has to do with it."""
        annotations: dict[str, str] = self.template.get("metadata", {}).get("annotations", {})
        return annotations.get(REVISION_ANNOTATION, "")

    @property
    def containers(self) -> list[str]:
        """Its containers in the order of their start; a native sidecar is marked with a plus."""
        spec = self.template["spec"]
        before = (f"{'+' if one.get('restartPolicy') else ''}{one['name']}" for one in spec.get("initContainers", ()))
        return [*before, *(one["name"] for one in spec["containers"])]

    @property
    def is_settled(self) -> bool:
        """All of its pods are new and ready, and no old one is left."""
        if self.body["kind"] not in REPLICATED:
            return True
        status, wanted = self.body.get("status", {}), self.wanted
        observed = status.get("observedGeneration") == self.body["metadata"]["generation"]
        return observed and self.updated == wanted == len(self.pods) and all(_is_up(pod) for pod in self.pods)

    @property
    def updated(self) -> int:
        """How many of its pods come from its newest template."""
        status = self.body.get("status", {})
        return int(status.get("updatedReplicas", status.get("updatedNumberScheduled", 0)))

    @property
    def pods_ready(self) -> str:
        """Its pods by what kubectl says under READY."""
        counted = Counter(f"{pod.ready}/{pod.containers}" for pod in self.pods)
        return "  ".join(f"{ready} x{count}" for ready, count in sorted(counted.items()))

    @property
    def wanted(self) -> int:
        """How many pods it should have."""
        if self.body["kind"] == "DaemonSet":
            return int(self.body.get("status", {}).get("desiredNumberScheduled", 0))
        return int(self.body["spec"]["replicas"])


@dataclass(frozen=True, slots=True)
class Sight:
    """One look at a namespace."""

    workloads: dict[str, Workload]
    policies: dict[str, Json]

    @property
    def is_settled(self) -> bool:
        """No workload is rolling out."""
        return all(one.is_settled for one in self.workloads.values())


def look(cluster: LocalCluster, namespace: str) -> Sight:
    """Return what there is now."""
    items = json.loads(cluster.kubectl("get", SEEN, f"--namespace={namespace}", "--output=json"))["items"]
    pods = list(_pods(items))
    workloads = (
        Workload(item, tuple(pod for pod in pods if pod.workload == _key(item)))
        for item in items
        if item["kind"] not in ("Pod", "SidecarPolicy")
    )
    policies = {item["metadata"]["name"]: item for item in items if item["kind"] == "SidecarPolicy"}
    return Sight({one.name: one for one in workloads}, policies)


def condition(policy: Json, kind: str) -> Json:
    """Return a condition of a policy; an unknown one where it says nothing yet."""
    found = policy.get("status", {}).get("conditions", ())
    return next((one for one in found if one["type"] == kind), {"type": kind, "status": "Unknown", "reason": ""})


def is_ready(policy: Json) -> bool:
    """Tell what `kubectl wait --for=condition=Ready` waits for."""
    ready = condition(policy, "Ready")
    return bool(ready["status"] == "True" and ready["observedGeneration"] == policy["metadata"]["generation"])


def _pods(items: list[Json]) -> Iterator[Pod]:
    for item in items:
        if item["kind"] == "Pod" and item.get("status", {}).get("phase") != "Succeeded":
            yield _pod(item)


def _pod(item: Json) -> Pod:
    metadata, status = item["metadata"], item.get("status", {})
    owner, labels = metadata["ownerReferences"][0], metadata.get("labels", {})
    template = labels.get("pod-template-hash") or labels.get("controller-revision-hash", "")
    kind = "Deployment" if owner["kind"] == "ReplicaSet" else owner["kind"]
    name = owner["name"].removesuffix(f"-{template}")
    statuses = [*_sidecars(item), *status.get("containerStatuses", ())]
    return Pod(
        workload=f"{kind}/{name}",
        template=template,
        ready=sum(one["ready"] for one in statuses),
        containers=len(item["spec"]["containers"]) + len(_native(item)),
        ending="deletionTimestamp" in metadata,
    )


def _native(item: Json) -> set[str]:
    return {one["name"] for one in item["spec"].get("initContainers", ()) if one.get("restartPolicy") == "Always"}


def _sidecars(item: Json) -> list[Json]:
    native = _native(item)
    return [one for one in item.get("status", {}).get("initContainerStatuses", ()) if one["name"] in native]


def _key(item: Json) -> str:
    return f"{item['kind']}/{item['metadata']['name']}"


def _is_up(pod: Pod) -> bool:
    return pod.ready == pod.containers and not pod.ending
