"""Whatever users do to an injected Deployment, what is ours comes back, and goes without a trace."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from stories.actions import APPLIES, FAILURES, OTHERS, Case, Failure
from stories.author import manifest
from stories.stage import MakeStage, a_second_look_writes_nothing, check, do, is_ours, leaves_no_trace


def each(cases: Iterable[Case | Failure]) -> list[object]:
    return [pytest.param(case, way, id=f"{case.id}-{way}") for case in cases for way in case.ways]


@pytest.mark.parametrize(("case", "way"), each((*APPLIES, *OTHERS)))
def test_what_is_ours_survives(case: Case, way: str, make_stage: MakeStage) -> None:
    stage = make_stage(way, case.start)
    stage.set()
    for action in case.before:
        do(stage, action)
    generations = stage.generations()

    body = do(stage, case.action, case.twin)

    is_ours(body, case.shows, case.taken)
    assert len(stage.generations() - generations) <= case.new
    a_second_look_writes_nothing(stage)
    leaves_no_trace(stage)


@pytest.mark.parametrize(("case", "way"), each(FAILURES))
def test_failing_apply_says_why_and_succeeds_as_a_replace(case: Failure, way: str, make_stage: MakeStage) -> None:
    stage = make_stage(way, manifest())
    stage.set()
    generations = stage.generations()

    done = stage.author.applies(case.change)

    assert done.returncode == 1
    assert case.message in done.stderr
    is_ours(stage.rest(), {}, frozenset())
    assert stage.generations() == generations

    check(stage.author.replaces())
    check(stage.other.replaces(case.change))

    is_ours(stage.rest(), case.shows, case.taken)
    leaves_no_trace(stage)
