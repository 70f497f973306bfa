"""Containers of the app that became native sidecars, while their author goes on with a manifest that lists them.

The operator finds out for all policies together whether admission serves, so these have a control plane of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

import running
from conftest import StartOperator
from localcluster import LocalCluster
from localcluster.waiting import until
from stories.actions import EVERY_KIND, Case
from stories.author import (
    BOTH,
    CLIENT,
    Author,
    Change,
    Json,
    applying,
    manifest,
    named,
    replacing,
    template_in,
    within,
)
from stories.author import running as kubectl
from stories.ours import POLICY, claims, marker, policy, record, shown
from stories.stage import Stage, about, check, is_as_its_twin, place
from stories.telling import Mode, Story, Telling

pytestmark = pytest.mark.xdist_group("own-cluster")

HAS_NO_EFFECT = "the template stays as it was"
WITH_ENVOY = ["shipper", "envoy", "migrate", "schema", "agent"]
WITHOUT_ENVOY = ["shipper", "migrate", "schema", "agent"]
BEGINS = {"legacy": ("envoy", "tail")}


def legacy(**fields: str) -> Change:
    """Set fields of the container that is converted."""
    return lambda body: template_in(body)["spec"]["containers"][1].update(fields)


def removed(body: Json) -> None:
    """Take the container out of the manifest."""
    del template_in(body)["spec"]["containers"][1]


def moved(body: Json) -> None:
    """Have it be a native sidecar in the manifest itself."""
    spec = template_in(body)["spec"]
    spec["initContainers"].append({**spec["containers"].pop(1), "restartPolicy": "Always"})


CASES = (
    Case("applied-unchanged", applying(), on=0, kinds=EVERY_KIND, start=BEGINS),
    Case("applied-with-its-other-image", applying(legacy(image="envoy:2")), start=BEGINS, kinds=EVERY_KIND,
         shows={"images": {"shipper": "shipper:1", "envoy": "envoy:2", "agent": "agent:1"}}),
    Case("applied-with-another-image-of-the-app", applying(within(image="app:2")), start=BEGINS, kinds=EVERY_KIND),
    Case("set-image", kubectl("set", "image", "{}", "envoy=envoy:2"), (CLIENT,), start=BEGINS, kinds=EVERY_KIND,
         shows={"images": {"shipper": "shipper:1", "envoy": "envoy:2", "agent": "agent:1"}}),
    Case("replaced-by-the-manifest", replacing(), on=0, warned=BOTH, start=BEGINS, kinds=EVERY_KIND),
    Case("replaced-by-the-manifest-without-it", replacing(removed), start=BEGINS,
         shows={"order": WITHOUT_ENVOY, "images": {"shipper": "shipper:1", "agent": "agent:1"}}),
    Case("removed-for-good", applying(removed), start=BEGINS, kinds=EVERY_KIND, records=1,
         shows={"order": WITHOUT_ENVOY, "images": {"shipper": "shipper:1", "agent": "agent:1"}}),
    Case("moved-for-good", applying(moved), start=BEGINS, kinds=EVERY_KIND,
         shows={"order": ["shipper", "migrate", "schema", "envoy", "agent"]}),
)  # fmt: skip
SHOWS = {"order": WITH_ENVOY, "images": {"shipper": "shipper:1", "envoy": "envoy:1", "agent": "agent:1"}}


@pytest.fixture(scope="module")
def told(own_cluster: LocalCluster) -> Iterator[list[Story]]:
    """All stories, after the policy has gone."""
    with ExitStack() as ending:
        # Before the places, which wait until admission answers.
        start = ending.enter_context(closing(StartOperator(own_cluster)))
        start(*running.admission(own_cluster))
        injected, born, beside = (ending.enter_context(place(own_cluster, running.ADMITTED)) for _ in range(3))
        stages = (Stage(injected, beside), Stage(born, beside))
        telling = Telling(Mode.ON, *stages, cases=CASES, convert=[{"name": "envoy"}])
        telling.tell()
        yield telling.stories


each_case = pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])


def of(case: Case, told: list[Story]) -> list[Story]:
    return [story for story in told if story.case is case]


@each_case
def test_no_command_fails_and_only_what_has_no_effect_is_told_so(case: Case, told: list[Story]) -> None:
    for story in of(case, told):
        with about(story.pair):
            check(story.done)
            assert (HAS_NO_EFFECT in story.done.stderr) == (story.author.way in case.warned)


@each_case
def test_it_becomes_a_sidecar(case: Case, told: list[Story]) -> None:
    for story in of(case, told):
        with about(story.pair):
            found = shown(story.begun)
            assert {key: found[key] for key in SHOWS} == SHOWS


@each_case
def test_it_is_a_sidecar_as_its_author_has_it_now(case: Case, told: list[Story]) -> None:
    for story in of(case, told):
        with about(story.pair):
            found = shown(story.body)
            assert {key: found[key] for key in SHOWS} == {**SHOWS, **case.shows}
            assert [one["name"] for one in template_in(story.body)["spec"]["containers"]] == ["app", "tail"]
            assert record(story.body)["revision"] == marker(story.body)


@each_case
def test_nothing_restarts_but_for_what_the_author_changed(case: Case, told: list[Story]) -> None:
    for story in of(case, told):
        with about(story.pair):
            if story.author.kind != "CronJob":
                assert len(story.new) == case.on
            assert len(story.writes) == case.records
            assert story.late == set()


@each_case
def test_without_the_policy_the_template_is_its_twins(case: Case, told: list[Story]) -> None:
    for story in of(case, told):
        with about(story.pair):
            is_as_its_twin(story.pair, *story.left)


def test_a_container_that_is_removed_goes_at_once(told: list[Story], own_cluster: LocalCluster) -> None:
    """Though its author's manifest is all that tells, and no generation moves."""
    with place(own_cluster, running.ADMITTED) as world:
        body = manifest("StatefulSet", legacy=("envoy", "tail"))
        authors = [Author(world, way, named(body, way)) for way in BOTH]
        for author in authors:
            check(author.applies())
        world.create(policy(convert=[{"name": "envoy"}]))
        world.until_ready(POLICY)
        until(lambda: not any(claims(author.workload) for author in authors))
        for author in authors:
            assert shown(author.workload)["order"] == WITH_ENVOY
            check(author.applies(removed))

        until(lambda: all(shown(author.workload)["order"] == WITHOUT_ENVOY for author in authors))


def test_a_manifest_that_lists_it_goes_from_client_side_to_server_side(
    told: list[Story], own_cluster: LocalCluster
) -> None:
    """Also where the workload was born by it, so that its claims on the container were noted before it was moved."""
    with place(own_cluster, running.ADMITTED) as world:
        world.create(policy(convert=[{"name": "envoy"}]))
        world.until_says(POLICY, Accepted="True")
        for kind in EVERY_KIND:
            author = Author(world, CLIENT, named(manifest(kind, legacy=("envoy", "tail")), CLIENT))
            check(author.applies())
            check(author.applies())
            check(author.sends(author.body, "apply", "--server-side"))
            check(author.sends(author.body, "apply", "--server-side"))

            assert shown(author.workload)["order"] == WITH_ENVOY
