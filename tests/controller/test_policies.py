"""What a change of a policy, of a label or of an annotation does to workloads that run."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from controller.manifests import SELECTED, Json, cron_job, deployment, labelled, policy, sidecar
from localcluster import LocalCluster
from localcluster.waiting import until
from running import SYSTEM_NAMESPACE, Operator
from sidecarpolicy.planning.workload import template_of
from world import World, condition

OTHER = {"logs": "kept"}


def inits(world: World, name: str = "web", kind: str = "Deployment") -> list[str]:
    """The names of the init containers in a workload's template."""
    return [one["name"] for one in template_of(world.get(kind, name))["spec"].get("initContainers", [])]


def generation(world: World, name: str = "web") -> int:
    return int(world.get("Deployment", name)["metadata"]["generation"])


def injected(world: World, **spec: Any) -> None:
    """A Deployment that carries the policy's sidecar."""
    world.apply(deployment(), policy(**spec))
    world.until_ready("log-shipper")
    assert inits(world) == ["shipper"]


def test_author_keeps_policies_away_by_an_annotation_and_lets_them_back(world: World) -> None:
    injected(world)

    world.kubectl("annotate", "deployment/web", "sidecarpolicy.dev/inject=false")
    until(lambda: inits(world) == [])
    world.until_policy("log-shipper", lambda body: body["status"]["matched"] == 0)
    world.until_ready("log-shipper")

    world.kubectl("annotate", "deployment/web", "sidecarpolicy.dev/inject-")
    until(lambda: inits(world) == ["shipper"])


def test_workload_that_loses_the_label_is_restored(world: World) -> None:
    world.apply(deployment())
    before = template_of(world.get("Deployment", "web"))
    world.apply(policy())
    world.until_ready("log-shipper")

    world.kubectl("label", "deployment/web", "logs-")
    until(lambda: template_of(world.get("Deployment", "web")) == before)
    said = world.until_says("log-shipper", Ready="True", WorkloadsUpToDate="NoWorkloadsMatched")
    assert said["status"]["upToDate"] == 0


def test_selector_edit_restores_some_and_injects_others(world: World) -> None:
    world.apply(deployment("one"), labelled(deployment("two"), **OTHER), policy())
    world.until_ready("log-shipper")
    assert (inits(world, "one"), inits(world, "two")) == (["shipper"], [])

    world.apply(policy(selector={"matchLabels": OTHER}))
    world.until_ready("log-shipper")
    until(lambda: inits(world, "one") == [])
    assert inits(world, "two") == ["shipper"]


def test_kinds_edit_restores_some_and_injects_others(world: World) -> None:
    world.apply(deployment(), cron_job(), policy(kinds=["Deployment"]))
    world.until_ready("log-shipper")

    world.apply(policy(kinds=["CronJob"]))
    world.until_ready("log-shipper")
    until(lambda: inits(world) == [])
    assert inits(world, "report", "CronJob") == ["shipper"]


def test_edit_of_a_sidecar_replaces_it_and_takes_away_old_fields(world: World) -> None:
    limited = sidecar(resources={"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}})
    injected(world, sidecars=[{**limited, "args": ["--old"], "env": [{"name": "OLD", "value": "1"}]}])
    before = generation(world)

    world.apply(policy(sidecars=[sidecar(image="fluent/fluent-bit:3.3", command=["/new"])]))
    world.until_ready("log-shipper")

    one = template_of(world.get("Deployment", "web"))["spec"]["initContainers"][0]
    assert (one["image"], one["command"]) == ("fluent/fluent-bit:3.3", ["/new"])
    assert not {"args", "env"} & one.keys()
    assert "limits" not in one["resources"]
    assert generation(world) == before + 1


def test_renamed_sidecar_leaves_one(world: World) -> None:
    injected(world)

    world.apply(policy(sidecars=[sidecar("forwarder")]))
    world.until_ready("log-shipper")
    assert inits(world) == ["forwarder"]


def test_author_of_the_workload_edits_while_it_is_injected(world: World) -> None:
    injected(world)

    world.kubectl("set", "image", "deployment/web", "app=nginx:1.28")
    world.until_ready("log-shipper")
    assert inits(world) == ["shipper"]

    world.delete("SidecarPolicy", "log-shipper")
    until(lambda: inits(world) == [])
    assert template_of(world.get("Deployment", "web"))["spec"]["containers"][0]["image"] == "nginx:1.28"


def test_audit_says_what_would_change_and_writes_nothing(world: World) -> None:
    world.apply(deployment())
    before = generation(world)
    world.apply(policy(mode="Audit"))
    said = world.until_says("log-shipper", Ready="AuditOnly", WorkloadsUpToDate="AuditOnly")

    assert said["status"]["outdated"] == 1
    assert generation(world) == before

    world.apply(policy(mode="Enforce"))
    world.until_ready("log-shipper")
    assert inits(world) == ["shipper"]


def test_audit_of_an_edit_leaves_what_is_there(world: World) -> None:
    injected(world)
    before = generation(world)

    world.apply(policy(mode="Audit", sidecars=[sidecar("forwarder")]))
    world.until_says("log-shipper", Ready="AuditOnly")
    assert (inits(world), generation(world)) == (["shipper"], before)


def test_paused_policy_starts_nothing_and_leaves_what_is_there(world: World) -> None:
    injected(world)

    world.apply(policy(paused=True, sidecars=[sidecar("forwarder")]), deployment("late"))
    said = world.until_policy("log-shipper", lambda body: body["status"]["outdated"] == 2)
    assert condition(said, "Ready")["reason"] == "Paused"
    assert (inits(world), inits(world, "late")) == (["shipper"], [])

    world.apply(policy(sidecars=[sidecar("forwarder")]))
    world.until_ready("log-shipper")
    assert (inits(world), inits(world, "late")) == (["forwarder"], ["forwarder"])


def test_policy_that_keeps_leaves_its_sidecars_behind(world: World) -> None:
    injected(world, deletion="Keep")
    before = template_of(world.get("Deployment", "web"))

    world.delete("SidecarPolicy", "log-shipper")
    until(lambda: world.find("SidecarPolicy", "log-shipper") is None)
    world.apply(deployment("late"), policy("another", selector={"matchLabels": OTHER}))
    world.until_ready("another")
    assert template_of(world.get("Deployment", "web")) == before


def test_new_workload_is_injected(world: World) -> None:
    world.apply(policy())
    world.until_says("log-shipper", WorkloadsUpToDate="NoWorkloadsMatched")

    world.apply(deployment())
    world.until_policy("log-shipper", lambda body: body["status"]["upToDate"] == 1)
    world.until_ready("log-shipper")
    assert inits(world) == ["shipper"]


def test_workload_made_anew_is_injected_anew(world: World) -> None:
    injected(world)

    world.kubectl("delete", "deployment/web")
    world.apply(deployment())
    until(lambda: inits(world) == ["shipper"])
    world.until_ready("log-shipper")


def test_policy_made_anew_at_once_takes_over_what_it_left(world: World) -> None:
    injected(world)

    world.kubectl("delete", "sidecarpolicy/log-shipper", "--timeout=60s")
    world.apply(policy(sidecars=[sidecar("forwarder")]))
    world.until_ready("log-shipper")
    assert inits(world) == ["forwarder"]


# The cluster-wide kind.


@pytest.fixture
def neighbour(cluster: LocalCluster, operator: Operator) -> Iterator[World]:
    """Another namespace."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    cluster.create_namespace(name)
    one = World(cluster, name)
    yield one
    one.close()
    cluster.delete_namespace(name)


@pytest.fixture
def team(world: World) -> Iterator[str]:
    """A label value that only this test's namespaces have, and the name of its cluster-wide policy."""
    yield world.namespace
    if world.find("ClusterSidecarPolicy", world.namespace):
        world.delete("ClusterSidecarPolicy", world.namespace)


def cluster_policy(team: str, **spec: Any) -> Json:
    return policy(team, kind="ClusterSidecarPolicy", namespaceSelector={"matchLabels": {"team": team}}, **spec)


def test_cluster_policy_follows_the_labels_of_namespaces(world: World, neighbour: World, team: str) -> None:
    world.apply(deployment())
    neighbour.apply(deployment())
    world.kubectl("label", "namespace", world.namespace, f"team={team}")
    world.apply(cluster_policy(team))
    until(lambda: inits(world) == ["shipper"])
    world.until_policy(team, lambda body: body["status"]["matched"] == 1, "ClusterSidecarPolicy")
    assert inits(neighbour) == []

    world.kubectl("label", "namespace", neighbour.namespace, f"team={team}")
    world.kubectl("label", "namespace", world.namespace, "team-")
    until(lambda: inits(neighbour) == ["shipper"] and inits(world) == [])

    world.delete("ClusterSidecarPolicy", team)
    until(lambda: inits(neighbour) == [])
    until(lambda: world.find("ClusterSidecarPolicy", team) is None)


def test_cluster_policy_goes_before_a_namespaced_one(world: World, team: str) -> None:
    world.kubectl("label", "namespace", world.namespace, f"team={team}")
    world.apply(policy(sidecars=[sidecar(image="ours:1")]), cluster_policy(team, sidecars=[sidecar(image="theirs:1")]))
    world.apply(deployment())
    until(lambda: inits(world) == ["shipper"])
    said = world.until_says("log-shipper", Conflicted="PolicyConflict")

    assert template_of(world.get("Deployment", "web"))["spec"]["initContainers"][0]["image"] == "theirs:1"
    assert f"ClusterSidecarPolicy {team}" in condition(said, "Conflicted")["message"]


@pytest.mark.parametrize("excluded", ["kube-system", "kube-public", SYSTEM_NAMESPACE])
def test_no_policy_acts_in_a_system_namespace(world: World, team: str, excluded: str) -> None:
    system = World(world.cluster, excluded)
    body = labelled(deployment(team, replicas=0), team=team)
    system.apply(body)
    world.apply({**labelled(deployment(), team=team)})
    everywhere: Json = {"selector": {"matchLabels": {"team": team}}, "namespaceSelector": {}}
    world.apply(policy(team, kind="ClusterSidecarPolicy", **everywhere))
    until(lambda: inits(world) == ["shipper"])
    said = world.until_policy(team, lambda body: body["status"]["upToDate"] == 1, "ClusterSidecarPolicy")

    assert said["status"]["matched"] == 1
    assert inits(system, team) == []

    system.delete("Deployment", team)
    system.close()


def test_priority_decides_who_wins(world: World) -> None:
    world.apply(
        policy("alpha", sidecars=[sidecar(image="alpha:1")]),
        policy("beta", priority=10, sidecars=[sidecar(image="beta:1")]),
        deployment(),
    )
    world.until_says("alpha", Conflicted="PolicyConflict")
    world.until_ready("beta")

    assert template_of(world.get("Deployment", "web"))["spec"]["initContainers"][0]["image"] == "beta:1"
    assert world.get("Deployment", "web")["metadata"]["labels"] == SELECTED


def test_policy_made_anew_keeps_revisions_of_its_own(world: World) -> None:
    injected(world)
    world.kubectl("delete", "sidecarpolicy/log-shipper", "--timeout=60s")
    world.apply(policy())
    world.until_ready("log-shipper")

    uid = world.get("SidecarPolicy", "log-shipper")["metadata"]["uid"]
    selector = f"--selector=sidecarpolicy.dev/policy-uid={uid}"
    assert world.kubectl("get", "controllerrevisions", selector, "--output=name").count("log-shipper") == 1


def test_ten_revisions_are_kept_beside_those_in_use(world: World) -> None:
    world.apply(policy(sidecars=[sidecar(image="shipper:first")]))
    for edit in range(12):
        world.patch("SidecarPolicy", "log-shipper", {"spec": {"sidecars": [sidecar(image=f"shipper:{edit}")]}})
        world.until_says("log-shipper", Accepted="True")

    until(lambda: len(world.list("ControllerRevision")) == 10)
    images = [one["data"]["sidecars"][0]["image"] for one in world.list("ControllerRevision")]
    assert "shipper:11" in images
