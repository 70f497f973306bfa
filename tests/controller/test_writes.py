"""When a write that comes back counts as a fight."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from builders import NOW, asking, deployment, policy, sidecar
from sidecarpolicy.controller.writes import WITHIN, Writes
from sidecarpolicy.planning.assess import assess
from sidecarpolicy.planning.patch import Change

SECOND = timedelta(seconds=1)


def change(image: str = "shipper:1", uid: str = "first", generation: int = 1) -> Change:
    body = deployment(metadata={"uid": uid, "generation": generation})
    one = assess(body, asking(policy(sidecars=[sidecar(image=image)])), {})
    assert one is not None
    assert one.change is not None
    return one.change


RECORD = replace(change(), restarts=False)


@pytest.mark.parametrize(
    ("written", "next_one", "repeated"),
    [
        pytest.param([change()] * 2, change(), False, id="twice"),
        pytest.param([change()] * 3, change(), True, id="three-times"),
        pytest.param(
            [change(generation=each) for each in (1, 3, 5)], change(generation=7), True, id="as-it-grows-older"
        ),
        pytest.param([change()] * 3, change("shipper:2"), False, id="then-something-else-is-asked"),
        pytest.param([change(), change("shipper:2"), change()], change(), False, id="to-and-fro"),
        pytest.param([change(uid=uid) for uid in ("a", "b", "c")], change(uid="d"), False, id="made-anew-each-time"),
        pytest.param([RECORD] * 3, RECORD, True, id="a-record-that-somebody-takes-away"),
        pytest.param([change(), RECORD, change(), RECORD, change()], change(), True, id="records-between-them"),
    ],
)
def test_only_the_same_wish_for_the_same_workload_is_a_fight(
    written: list[Change], next_one: Change, repeated: bool
) -> None:
    writes = Writes()
    for index, one in enumerate(written):
        writes.add(one, NOW + index * SECOND)

    assert writes.is_repeated(next_one, NOW + len(written) * SECOND) is repeated


def test_what_is_long_past_is_no_fight_and_is_forgotten() -> None:
    writes = Writes()
    for _ in range(3):
        writes.add(change(), NOW)
    assert not writes.is_repeated(change(), NOW + WITHIN)

    writes.add(change(uid="second"), NOW + WITHIN)
    assert len(writes) == 1
