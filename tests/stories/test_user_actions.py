"""Whatever users do to an injected workload, what is ours comes back or stays, and goes without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

import running
from localcluster import LocalCluster
from running import Operator
from stories.actions import CASES, Case
from stories.author import CLIENT, applying, manifest, unannotated
from stories.ours import marker, shows_ours
from stories.stage import (
    Stage,
    a_second_look_writes_nothing,
    about,
    are_ours,
    check,
    is_as_its_twin,
    leaves_no_trace,
    place,
)
from stories.telling import Mode, Story, Telling

HAS_NO_EFFECT = "the template stays as it was"


pytestmark = pytest.mark.xdist_group("user-actions")


@pytest.fixture(scope="module", params=[pytest.param(mode, id=mode.value) for mode in Mode])
def mode(request: pytest.FixtureRequest) -> Mode:
    """Whether admission serves."""
    found: Mode = request.param
    return found


@pytest.fixture(scope="module")
def told(mode: Mode, cluster: LocalCluster, operator: Operator) -> Iterator[list[Story]]:
    """All stories, after the policy has gone."""
    with ExitStack() as places:
        enter = places.enter_context
        if mode is Mode.OFF:
            telling = Telling(mode, Stage(enter(place(cluster)), enter(place(cluster))))
        else:
            injected, born, beside = (enter(place(cluster, running.ADMITTED)) for _ in range(3))
            telling = Telling(mode, Stage(injected, beside), Stage(born, beside))
        telling.tell()
        yield telling.stories


each_case = pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])


def of(case: Case, told: list[Story]) -> list[Story]:
    return [story for story in told if story.case is case]


@each_case
def test_no_command_fails_that_would_not_fail_without_us(case: Case, told: list[Story], mode: Mode) -> None:
    for story in of(case, told):
        with about(story.pair):
            if story.twin_done:
                check(story.twin_done)
            if mode is Mode.OFF and story.author.way in case.fails:
                assert story.done.returncode == 1
                assert case.fails[story.author.way] in story.done.stderr
            else:
                check(story.done)


@each_case
def test_a_command_without_effect_says_so(case: Case, told: list[Story], mode: Mode) -> None:
    for story in of(case, told):
        with about(story.pair):
            warned = mode is Mode.ON and story.author.way in case.warned
            assert (HAS_NO_EFFECT in story.done.stderr) == warned, story.done.stderr


@each_case
def test_what_is_ours_survives(case: Case, told: list[Story], mode: Mode) -> None:
    for story in of(case, told):
        with about(story.pair):
            body = story.replaced or story.body
            shows, taken = case.at_once if mode is Mode.ON and case.at_once else (case.shows, case.taken)
            assert marker(body)
            shows_ours(body, shows, taken)


@each_case
def test_nothing_restarts_but_for_what_the_author_changed(case: Case, told: list[Story], mode: Mode) -> None:
    for story in of(case, told):
        with about(story.pair):
            if story.done.returncode:
                assert story.new == frozenset()
            elif mode is Mode.OFF:
                assert len(story.new) <= case.off[story.author.way]
            elif story.author.kind != "CronJob":
                assert len(story.new) == case.on


@each_case
def test_the_operator_writes_no_more_than_it_must(case: Case, told: list[Story], mode: Mode) -> None:
    for story in of(case, told):
        with about(story.pair):
            assert story.late == set()
            if mode is Mode.ON:
                assert len(story.writes) == case.records


@each_case
def test_without_the_policy_the_template_is_its_twins(case: Case, told: list[Story]) -> None:
    for story in of(case, told):
        with about(story.pair):
            is_as_its_twin(story.pair, *story.left)


def test_marker_wiped_by_an_apply_comes_back_with_the_next_revision_and_not_by_a_restart(stage: Stage) -> None:
    [pair] = stage.set([CLIENT], manifest())
    generations = pair.generations()

    stage.rest_after(applying(unannotated))

    shows_ours(pair.body, {}, frozenset())
    assert len(pair.generations() - generations) == 1
    a_second_look_writes_nothing(stage)

    stage.rest_with(image="shipper:2")

    are_ours(stage, {"images": {"shipper": "shipper:2", "agent": "agent:1"}})
    leaves_no_trace(stage)
