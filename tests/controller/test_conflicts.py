"""Several policies on one workload: who wins, who is told, and that nothing depends on who came first."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import pytest

from controller.manifests import Json, deployment, labelled, policy, sidecar
from localcluster.waiting import until
from sidecarpolicy.api import names
from sidecarpolicy.planning.workload import template_of
from world import World, condition

MOUNT = {"name": "logs", "mountPath": "/logs"}
FILLED = {"names": ["*"], "env": [{"name": "B", "value": "1"}]}


def three(order: str) -> list[Json]:
    """Three policies on the workload of one order; the last claims what the second, which goes before it, has."""
    mine: Json = {"selector": {"matchLabels": {"order": order}}}
    volumes = [{"name": "logs", "emptyDir": {}}]
    return [
        policy(f"alpha-{order}", **mine, volumes=volumes, sidecars=[sidecar("one", volumeMounts=[MOUNT])]),
        policy(f"beta-{order}", **mine, priority=5, sidecars=[sidecar("two", position="Last")], containers=[FILLED]),
        policy(f"gamma-{order}", **mine, sidecars=[sidecar("two", image="gamma:1"), sidecar("three")]),
    ]


def templates(world: World) -> Json:
    return template_of(world.get("Deployment", "web"))


def generation(world: World) -> int:
    return int(world.get("Deployment", "web")["metadata"]["generation"])


def test_order_of_creation_decides_nothing(world: World) -> None:
    orders = {"".join(map(str, order)): order for order in permutations(range(3))}
    world.apply(*(labelled(deployment(f"web-{order}"), order=order) for order in orders))
    before = {order: pod_spec(world, order) for order in orders}
    for order, places in orders.items():
        policies = three(order)
        for place in places:
            world.create(policies[place])
    for order in orders:
        world.until_ready(f"alpha-{order}", f"beta-{order}")
        world.until_says(f"gamma-{order}", Conflicted="PolicyConflict", Ready="Blocked")
    results = [pod_spec(world, order) for order in orders]

    assert all(result == results[0] for result in results)
    assert [one["name"] for one in results[0]["initContainers"]] == ["one", "two"]

    world.kubectl("delete", "sidecarpolicy", "--all", "--timeout=60s")
    assert {order: pod_spec(world, order) for order in orders} == before


def pod_spec(world: World, order: str) -> Json:
    spec: Json = template_of(world.get("Deployment", f"web-{order}"))["spec"]
    return spec


def test_two_policies_make_one_write(world: World) -> None:
    world.apply(policy("alpha", sidecars=[sidecar("one")]), policy("beta", sidecars=[sidecar("two")]))
    world.until_ready("alpha", "beta")
    world.apply(deployment())
    until(lambda: len(templates(world)["spec"].get("initContainers", [])) == 2)
    world.until_policy("alpha", lambda body: body["status"]["upToDate"] == 1)
    world.until_ready("alpha", "beta")

    assert [found for one in world.list("ReplicaSet") if (found := template_init(one))] == [["one", "two"]]


def template_init(body: Json) -> list[str]:
    return [one["name"] for one in body["spec"]["template"]["spec"].get("initContainers", [])]


CLAIMS: list[tuple[str, Callable[[str], Json]]] = [
    ("container-name", lambda name: {"sidecars": [sidecar("same", image=f"{name}:1")]}),
    ("container-port", lambda name: {"sidecars": [sidecar(name, ports=[{"containerPort": 9000}])]}),
    ("volume-name", lambda name: {"volumes": [volume(name)], "sidecars": [sidecar(name)]}),
    ("variable", lambda name: {"containers": [{"names": ["*"], "env": [{"name": "WHO", "value": name}]}]}),
    ("probe", lambda name: {"containers": [{"names": ["*"], "readinessProbe": {"exec": {"command": [name]}}}]}),
    ("mount-path", lambda name: {"volumes": [{"name": name, "emptyDir": {}}], "containers": [mounting(name)]}),
]


def volume(medium: str) -> Json:
    return {"name": "same", "emptyDir": {"sizeLimit": "1Gi" if medium == "alpha" else "2Gi"}}


def mounting(name: str) -> Json:
    return {"names": ["*"], "volumeMounts": [{"name": name, "mountPath": "/same"}]}


@pytest.mark.parametrize("claim", [pytest.param(claim, id=name) for name, claim in CLAIMS])
def test_clash_is_said_by_both_and_ends_with_the_winner(world: World, claim: Callable[[str], Json]) -> None:
    alone = deployment()
    world.apply(alone, *(policy(name, **{"sidecars": [], **claim(name)}) for name in ("alpha", "beta")))
    loser = world.until_says("beta", Conflicted="PolicyConflict", Ready="False")
    winner = world.until_says("alpha", Conflicted="PolicyConflict", Ready="True")

    assert f"SidecarPolicy {world.namespace}/alpha" in condition(loser, "Conflicted")["message"]
    assert f"SidecarPolicy {world.namespace}/beta" in condition(winner, "Conflicted")["message"]
    [entry] = loser["status"]["blocks"]
    assert entry["reason"] == "PolicyConflict"
    assert (winner["status"]["upToDate"], winner["status"]["blocks"]) == (1, [])

    world.delete("SidecarPolicy", "alpha")
    world.until_ready("beta")
    assert condition(world.get("SidecarPolicy", "beta"), "Conflicted")["reason"] == "NoConflict"


def test_priority_edit_changes_the_winner(world: World) -> None:
    world.apply(
        deployment(), policy("alpha", sidecars=[sidecar(image="a:1")]), policy("beta", sidecars=[sidecar(image="b:1")])
    )
    world.until_says("beta", Conflicted="PolicyConflict")
    world.until_ready("alpha")

    world.patch("SidecarPolicy", "beta", {"spec": {"priority": 10}})
    world.until_says("alpha", Conflicted="PolicyConflict", Ready="False")
    world.until_ready("beta")
    assert [one["image"] for one in templates(world)["spec"]["initContainers"]] == ["b:1"]


def test_name_that_the_author_uses_is_the_authors(world: World) -> None:
    body = deployment()
    body["spec"]["template"]["spec"]["initContainers"] = [{"name": "shipper", "image": "authors:1"}]
    world.apply(body, policy())
    before = templates(world)
    said = world.until_says("log-shipper", Conflicted="WorkloadConflict", Ready="Blocked")

    assert "shipper" in condition(said, "Conflicted")["message"]
    assert templates(world) == before


def test_other_workloads_of_the_loser_are_served(world: World) -> None:
    shared = deployment("shared")
    shared["metadata"]["labels"] = {"logs": "shipped", "both": "yes"}
    world.apply(shared, deployment("single"))
    world.apply(
        policy("alpha", selector={"matchLabels": {"both": "yes"}}), policy("beta", sidecars=[sidecar(image="b:1")])
    )
    said = world.until_policy("beta", lambda body: body["status"]["upToDate"] == 1)

    assert said["status"]["blocks"][0]["name"] == "shared"
    until(
        lambda: (
            [one["image"] for one in template_of(world.get("Deployment", "single"))["spec"]["initContainers"]]
            == ["b:1"]
        )
    )


# A policy that cannot be acted upon.

UNSOUND = sidecar(securityContext={"privileged": True, "allowPrivilegeEscalation": False})
"""Only the API server's own validation of pods knows that this makes no sense."""


def test_bad_policy_writes_nothing_and_disturbs_no_other(world: World) -> None:
    world.apply(
        deployment(), policy("bad", priority=10, sidecars=[UNSOUND]), policy("good", sidecars=[sidecar("other")])
    )
    said = world.until_says("bad", Accepted="Invalid", Ready="NotAccepted", Stalled="NotAccepted")
    world.until_ready("good")

    assert "allowPrivilegeEscalation" in condition(said, "Accepted")["message"]
    assert [one["name"] for one in templates(world)["spec"]["initContainers"]] == ["other"]
    assert names.FINALIZER not in said["metadata"].get("finalizers", [])


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        pytest.param(policy("bad", selector={"matchLabels": {"a/b/c": ""}}), "no label's key", id="selector"),
        pytest.param(policy("bad." * 62 + "bad"), "metadata.name", id="name-too-long-for-its-revisions"),
    ],
)
def test_policy_that_the_api_server_cannot_work_with_is_said_and_disturbs_no_other(
    world: World, bad: Json, words: str
) -> None:
    world.apply(deployment(), bad)
    said = world.until_says(bad["metadata"]["name"], Accepted="Invalid")
    assert words in condition(said, "Accepted")["message"]

    world.apply(policy("good"))
    world.until_ready("good")


def test_good_policy_edited_to_a_bad_one_leaves_what_is_there(world: World) -> None:
    world.apply(deployment(), policy())
    world.until_ready("log-shipper")
    before = generation(world)

    world.apply(policy(sidecars=[UNSOUND]))
    world.until_says("log-shipper", Accepted="Invalid")
    world.apply(deployment("late"), policy("other", selector={"matchLabels": {"app": "none"}}))
    world.until_ready("other")
    assert [one["name"] for one in templates(world)["spec"]["initContainers"]] == ["shipper"]
    assert generation(world) == before

    world.apply(policy())
    world.until_policy("log-shipper", lambda body: body["status"]["upToDate"] == 2)
    world.until_ready("log-shipper")
    assert generation(world) == before


def test_bad_policy_can_be_deleted_and_restores(world: World) -> None:
    world.apply(deployment())
    before = templates(world)
    world.apply(policy())
    world.until_ready("log-shipper")
    world.apply(policy(sidecars=[UNSOUND]))
    world.until_says("log-shipper", Accepted="Invalid")

    world.kubectl("delete", "sidecarpolicy/log-shipper", "--timeout=30s")
    assert templates(world) == before
