"""Whole rollouts, simulated: what must hold after every step, and the story of each."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builders import container, deployment, policy, sidecar, stateful_set
from rollouts.simulator import Cluster, Fate, cluster
from sidecarpolicy.planning.policy import PolicyRef

Json = dict[str, Any]

LOGS, MESH = PolicyRef("shop", "logs"), PolicyRef("shop", "mesh")
TRACES = Path(__file__).parent / "traces"


def logs(image: str = "shipper:1", most: int | str = 2, **spec: Any) -> Json:
    return policy("logs", sidecars=[sidecar(image=image)], rollout={"maxConcurrent": most}, **spec)


def mesh(most: int | str = 3, **spec: Any) -> Json:
    return policy("mesh", sidecars=[sidecar("envoy")], rollout={"maxConcurrent": most}, **spec)


def never_more_in_flux_than_allowed(world: Cluster) -> None:
    for one, count, allowed in world.in_flux():
        if one.acts or one.deleting:
            assert count <= allowed, "\n".join([*world.story, f"{one.ref}: {count} in flux, {allowed} allowed"])


def fleet_of(count: int) -> list[Json]:
    return [(deployment if index % 3 else stateful_set)(f"w{index}") for index in range(count)]


def run(world: Cluster) -> Cluster:
    world.run(never_more_in_flux_than_allowed)
    return world


def image_is(image: str, fate: Fate) -> Callable[[Json], Fate]:
    def decide(body: Json) -> Fate:
        inits = body["spec"]["template"]["spec"].get("initContainers", ())
        return fate if any(init["image"] == image for init in inits) else Fate.SETTLES

    return decide


def one_policy(dice: random.Random | None = None) -> Cluster:
    """A policy comes, ten workloads follow, two at a time."""
    world = cluster(fleet_of(10), dice=dice)
    world.ask(logs())
    return run(world)


def a_new_revision(dice: random.Random | None = None) -> Cluster:
    """The policy's sidecar gets a new image."""
    world = one_policy(dice)
    world.ask(logs("shipper:2"))
    return run(world)


def a_revision_that_crashes_and_its_cure(dice: random.Random | None = None) -> Cluster:
    """A bad image stops where it may have hit as many as may be in flux; a good one cures them first."""
    world = one_policy(dice)
    world.fate = image_is("shipper:bad", Fate.CRASHES)
    world.ask(logs("shipper:bad"))
    run(world)
    assert world.ready(LOGS) == "Failed"
    assert sum(one.progress.stage.value != "settled" for one in world.fleet()) == 2
    world.ask(logs("shipper:3"))
    return run(world)


def a_policy_that_goes(dice: random.Random | None = None) -> Cluster:
    """The policy is deleted, and every template is as it was, two at a time."""
    world = one_policy(dice)
    world.remove(LOGS)
    return run(world)


def two_policies(dice: random.Random | None = None) -> Cluster:
    """Two policies come at once: one write per workload, at the pace of the stricter."""
    world = cluster(fleet_of(6), dice=dice)
    world.ask(logs(most=1), mesh(most=5))
    return run(world)


def a_policy_joins_half_way(dice: random.Random | None = None) -> Cluster:
    """Another policy comes while the first rolls out."""
    world = cluster(fleet_of(6), dice=dice)
    world.ask(logs(most=1))
    world.run(never_more_in_flux_than_allowed, turns=200)
    world.ask(mesh(most="50%"))
    return run(world)


def a_paused_policy(dice: random.Random | None = None) -> Cluster:
    """Nothing starts until it is resumed."""
    world = cluster(fleet_of(4), dice=dice)
    world.ask(logs(paused=True))
    run(world)
    assert not world.writes
    world.ask(logs())
    return run(world)


def a_conflict_and_its_end(dice: random.Random | None = None) -> Cluster:
    """Of two policies with one sidecar the first goes in, and the other when the first is deleted."""
    world = cluster(fleet_of(3), dice=dice)
    world.ask(logs(priority=1), policy("mesh", sidecars=[sidecar(image="other:1")]))
    run(world)
    assert world.ready(MESH) == "Blocked"
    world.remove(LOGS)
    run(world)
    assert world.ready(MESH) == "Ready"
    return world


def workloads_that_are_in_trouble_already(dice: random.Random | None = None) -> Cluster:
    """A workload that crashes by itself comes last and holds up nobody before."""
    bodies = fleet_of(4)
    bodies[0]["spec"]["template"]["spec"]["containers"].append(container("broken"))

    def fate(body: Json) -> Fate:
        broken = any(one["name"] == "broken" for one in body["spec"]["template"]["spec"]["containers"])
        return Fate.STALLS if broken else Fate.SETTLES

    bodies[0]["status"] = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 1}
    world = cluster(bodies, dice=dice, fate=fate)
    world.ask(logs(most=1))
    return run(world)


SCENARIOS = (
    one_policy,
    a_new_revision,
    a_revision_that_crashes_and_its_cure,
    a_policy_that_goes,
    two_policies,
    a_policy_joins_half_way,
    a_paused_policy,
    a_conflict_and_its_end,
    workloads_that_are_in_trouble_already,
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__.replace("_", "-"))
@pytest.mark.parametrize("seed", range(5), ids=lambda seed: f"seed-{seed}")
def test_every_run_ends_and_keeps_its_limits(scenario: Callable[..., Cluster], seed: int) -> None:
    world = scenario(random.Random(seed))

    assert all(one.change is None for one in world.fleet())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__.replace("_", "-"))
def test_the_story_is_the_one_told(scenario: Callable[..., Cluster], refresh_golden: bool) -> None:
    world = scenario()
    told = TRACES / f"{scenario.__name__.replace('_', '-')}.txt"
    story = "\n".join([scenario.__doc__ or "", "", *world.story, ""])
    if refresh_golden:
        told.parent.mkdir(exist_ok=True)
        told.write_text(story)

    assert story == told.read_text()


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_one_write_per_workload_and_revision(seed: int | None) -> None:
    dice = None if seed is None else random.Random(seed)

    assert set(one_policy(dice).writes.values()) == {1}
    assert set(two_policies(dice).writes.values()) == {1}
    assert set(a_new_revision(dice).writes.values()) == {2}


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_what_goes_leaves_everything_as_it_was(seed: int | None) -> None:
    world = a_policy_that_goes(None if seed is None else random.Random(seed))

    assert world.templates() == cluster(fleet_of(10)).templates()
    assert not world.policies


def test_the_order_in_which_policies_come_means_nothing_in_the_end() -> None:
    asked = [logs(), mesh(), policy("third", sidecars=[sidecar("third", position="Last")])]
    ends = []
    for order in (asked, asked[::-1], [asked[1], asked[2], asked[0]]):
        world = cluster(fleet_of(4))
        for one in order:
            world.ask(one)
            run(world)
        ends.append({ref: template["spec"] for ref, template in world.templates().items()})

    assert ends[0] == ends[1] == ends[2]
