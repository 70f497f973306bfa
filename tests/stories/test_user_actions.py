"""Whatever users do to an injected Deployment, what is ours comes back, and goes without a trace."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from stories.actions import APPLIES, FAILURES, OTHERS, Case, Failure
from stories.author import CLIENT, applying, manifest, unannotated
from stories.ours import shows_ours
from stories.stage import (
    Stage,
    a_second_look_writes_nothing,
    about,
    are_ours,
    check,
    leaves_no_trace,
)


def each(cases: Iterable[Case | Failure]) -> list[object]:
    return [pytest.param(case, id=case.id) for case in cases]


@pytest.mark.parametrize("case", each((*APPLIES, *OTHERS)))
def test_what_is_ours_survives(case: Case, stage: Stage) -> None:
    pairs = stage.set(case.ways, case.start)
    for action in case.before:
        stage.rest_after(action)
    generations = [pair.generations() for pair in pairs]

    stage.rest_after(case.action, case.twin)

    are_ours(stage, case.shows, case.taken)
    for pair, before in zip(pairs, generations, strict=True):
        with about(pair):
            assert len(pair.generations() - before) <= case.new[pair.author.way]
    a_second_look_writes_nothing(stage)
    leaves_no_trace(stage)


@pytest.mark.parametrize("case", each(FAILURES))
def test_failing_apply_says_why_and_succeeds_as_a_replace(case: Failure, stage: Stage) -> None:
    pairs = stage.set(case.ways, manifest())
    generations = [pair.generations() for pair in pairs]

    done = [pair.author.applies(case.change) for pair in pairs]

    assert [one.returncode for one in done] == [1] * len(pairs)
    assert all(case.message in one.stderr for one in done)
    stage.rest()
    are_ours(stage)
    assert [pair.generations() for pair in pairs] == generations

    for pair in pairs:
        check(pair.author.replaces())
        check(pair.other.replaces(case.change))

    stage.rest()
    are_ours(stage, case.shows, case.taken)
    leaves_no_trace(stage)


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
