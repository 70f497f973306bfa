"""What users do to StatefulSets, DaemonSets and CronJobs, whose controllers bring templates back without the record."""

from __future__ import annotations

import pytest

from stories.actions import limits
from stories.author import (
    BOTH,
    CLIENT,
    Action,
    applying,
    manifest,
    replacing,
    replacing_by_export,
    replacing_template,
    within,
)
from stories.stage import Stage, a_second_look_writes_nothing, about, are_ours, leaves_no_trace

KINDS = (manifest("StatefulSet"), manifest("DaemonSet"), manifest("CronJob"))
LIMIT = frozenset({"limits.memory"})


@pytest.mark.parametrize(
    ("action", "ways", "new", "taken"),
    [
        pytest.param(applying(), BOTH, 0, frozenset(), id="applied-unchanged"),
        pytest.param(applying(within(image="app:2")), BOTH, 1, frozenset(), id="applied-with-another-image"),
        pytest.param(applying(within(resources=limits("256Mi"))), BOTH, 0, LIMIT, id="applied-with-our-very-limit"),
        pytest.param(replacing(), (CLIENT,), 0, frozenset(), id="replaced-by-the-manifest"),
        pytest.param(replacing_by_export, (CLIENT,), 0, frozenset(), id="replaced-by-an-export-without-annotations"),
        pytest.param(replacing_template, (CLIENT,), 0, frozenset(), id="whole-template-patched"),
    ],
)
def test_what_is_ours_survives(
    action: Action, ways: tuple[str, ...], new: int, taken: frozenset[str], stage: Stage
) -> None:
    pairs = stage.set(ways, *KINDS)
    generations = [pair.generations() for pair in pairs]

    stage.rest_after(action)

    are_ours(stage, taken=taken)
    for pair, before in zip(pairs, generations, strict=True):
        with about(pair):
            assert len(pair.generations() - before) <= new
    a_second_look_writes_nothing(stage)
    leaves_no_trace(stage)
