"""Two hundred workloads, one policy that all of them follow, and what was written to bring them there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import running
from controller.manifests import Json, deployment, policy, sidecar
from localcluster import LocalCluster
from localcluster.audit import Write
from localcluster.waiting import until
from sidecarpolicy.planning.workload import template_of
from world import World, is_current, says

MANY = 200
PATIENCE = 120.0
US = f"system:serviceaccount:{running.SYSTEM_NAMESPACE}:{running.ACCOUNT}"


@contextmanager
def many_deployments(cluster: LocalCluster) -> Iterator[World]:
    """Two hundred Deployments, some of which have a pod."""
    cluster.create_namespace("crowd")
    world = World(cluster, "crowd")
    for number in range(MANY):
        world.create(deployment(f"web-{number:03}", replicas=1 if number % 10 == 0 else 0))
    yield world
    world.close()


def ask_for(crowd: World, image: str) -> None:
    """Have everybody carry this image, everybody at once."""
    crowd.apply(policy(sidecars=[sidecar(image=image)], rollout={"maxConcurrent": "100%"}))


def is_done(crowd: World, image: str) -> bool:
    """Everybody carries it and only it, and the policy says so."""
    body = crowd.get("SidecarPolicy", "log-shipper")
    if not (is_current(body) and says(body, {"Ready": "True"}) and body["status"]["upToDate"] == MANY):
        return False
    return set(images(crowd).values()) == {(image,)}


def until_done(crowd: World, image: str) -> None:
    try:
        until(partial(is_done, crowd, image), PATIENCE)
    except AssertionError:
        status = crowd.get("SidecarPolicy", "log-shipper").get("status")
        found = Counter(images(crowd).values())
        raise AssertionError(f"{found}, and the policy says {json.dumps(status, indent=1)}") from None


def images(crowd: World) -> dict[str, tuple[str, ...]]:
    return {one["metadata"]["name"]: init_images(one) for one in crowd.list("Deployment")}


def init_images(body: Json) -> tuple[str, ...]:
    return tuple(one["image"] for one in template_of(body)["spec"].get("initContainers", ()))


def writes(crowd: World, mark: int) -> list[Write]:
    """What operators have written, without what they only tried, and without who of them leads."""
    found = crowd.cluster.audit_log.writes(mark, user=US, dry_run=False)
    return [one for one in found if one.resource != "leases" and not one.resource.startswith("selfsubject")]


def template_writes(crowd: World, mark: int) -> Counter[str]:
    """How often each Deployment was written."""
    found = [one for one in writes(crowd, mark) if (one.resource, one.code) == ("deployments", 200)]
    return Counter(one.name for one in found)


def generations(crowd: World) -> dict[str, int]:
    """How often the spec of each was written; its controller's own annotations do not count."""
    return {one["metadata"]["name"]: one["metadata"]["generation"] for one in crowd.list("Deployment")}


def has_written(crowd: World, mark: int, many: int) -> bool:
    return template_writes(crowd, mark).total() >= many
