"""Which changes may start now."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import asking, deployment, job, policy, read, settle, sidecar
from serving import written
from sidecarpolicy.planning.assess import Assessment, assess
from sidecarpolicy.planning.policy import Policy, PolicyRef
from sidecarpolicy.planning.progress import Progress, Stage
from sidecarpolicy.planning.rollout import limit, next_wave

Json = dict[str, Any]

LOGS = PolicyRef("shop", "logs")
NOBODY: frozenset[str] = frozenset()


def asked(most: int | str = 2, name: str = "logs", **spec: Any) -> Json:
    return policy(name, sidecars=[sidecar(name)], rollout={"maxConcurrent": most}, **spec)


def fleet(count: int, *bodies: Json, earlier: tuple[Json, ...] = ()) -> list[Assessment]:
    return [look(deployment(f"w{index}"), *bodies, earlier=earlier) for index in range(count)]


def look(body: Json, *bodies: Json, earlier: tuple[Json, ...] = ()) -> Assessment:
    one = assess(body, asking(*bodies, earlier=earlier), {})
    assert one is not None
    return one


def injected(body: Json, *bodies: Json) -> Json:
    change = look(body, *bodies).change
    assert change is not None
    return settle(written(body, change), replicas=2, updatedReplicas=2, availableReplicas=2)


def by_ref(*bodies: Json) -> dict[PolicyRef, Policy]:
    return {one.ref: one for one in read(*bodies)}


def in_flux(one: Assessment, stage: Stage = Stage.UPDATING) -> Assessment:
    return replace(one, progress=Progress(stage))


def names(wave: Any) -> list[str]:
    return [change.ref.name for change in wave.changes]


@pytest.mark.parametrize(
    ("most", "started"),
    [
        pytest.param(1, 1, id="one"),
        pytest.param(3, 3, id="three"),
        pytest.param(100, 10, id="more-than-there-are"),
        pytest.param("25%", 3, id="a-quarter-rounded-up"),
        pytest.param("1%", 1, id="at-least-one"),
        pytest.param("100%", 10, id="all"),
    ],
)
def test_no_more_start_than_allowed(most: int | str, started: int) -> None:
    wave = next_wave(by_ref(asked(most)), fleet(10, asked(most)), NOBODY)

    assert len(wave.changes) == started
    assert wave.waiting == 10 - started


def test_no_percentage_is_taken_of_jobs_that_have_finished() -> None:
    body = asked("50%", kinds=["Deployment", "Job"])
    done = {"conditions": [{"type": "Complete", "status": "True"}]}
    jobs = [look({**job(f"done-{index}"), "status": done}, body) for index in range(10)]

    assert len(next_wave(by_ref(body), [*jobs, *fleet(4, body)], NOBODY).changes) == 2


def test_those_in_flux_take_room() -> None:
    body = asked(2)
    carrying = in_flux(look(injected(deployment("z"), body), body))

    assert len(next_wave(by_ref(body), [carrying, *fleet(3, body)], NOBODY).changes) == 1


def test_those_that_failed_take_room() -> None:
    body = asked(1)
    failed = in_flux(look(injected(deployment("z"), body), body), Stage.FAILED)

    assert not next_wave(by_ref(body), [failed, *fleet(3, body)], NOBODY).changes


def test_those_on_their_way_to_the_api_server_take_room() -> None:
    body = asked(2)
    known = fleet(3, body)
    wave = next_wave(by_ref(body), known, frozenset({known[0].uid}))

    assert names(wave) == ["w1"]
    assert wave.waiting == 1


def test_those_that_were_just_restored_take_room() -> None:
    body = asked(2)

    assert len(next_wave(by_ref(body), fleet(3, body), NOBODY, {LOGS: 1}).changes) == 1


def test_workloads_start_by_name_and_troubled_ones_last() -> None:
    body = asked(2)
    known = fleet(3, body)
    known[0] = in_flux(known[0])

    assert names(next_wave(by_ref(body), reversed(known), NOBODY)) == ["w1", "w2"]


def test_troubles_before_any_injection_hold_nobody_up() -> None:
    body = asked(1)
    known = [in_flux(one) for one in fleet(3, body)]

    assert names(next_wave(by_ref(body), known, NOBODY)) == ["w0"]


def test_a_workload_in_flux_gets_the_revision_that_may_cure_it_at_no_cost() -> None:
    old = asked(1)
    new = {**old, "spec": {**old["spec"], "sidecars": [sidecar("logs", image="logs:2")]}}
    broken = [in_flux(look(injected(deployment(f"w{i}"), old), new, earlier=(old,)), Stage.FAILED) for i in range(3)]

    assert names(next_wave(by_ref(new), broken, NOBODY)) == ["w0", "w1", "w2"]


def test_of_several_policies_the_strictest_decides() -> None:
    strict, loose = asked(1, "strict"), asked(5, "loose")
    known = fleet(4, strict, loose)

    assert len(next_wave(by_ref(strict, loose), known, NOBODY).changes) == 1


def test_a_policy_that_changes_nothing_still_allows_no_more() -> None:
    strict, loose = asked(1, "strict"), asked(5, "loose")
    bodies = [injected(deployment(f"w{index}"), strict) for index in range(4)]
    known = [look(body, strict, loose) for body in bodies]

    assert len(next_wave(by_ref(strict, loose), known, NOBODY).changes) == 1


@pytest.mark.parametrize("spec", [{"paused": True}, {"mode": "Audit"}], ids=["paused", "audit"])
def test_a_policy_that_does_not_act_limits_nobody(spec: Json) -> None:
    idle, acting = asked(1, "idle", **spec), asked(5, "acting")

    assert len(next_wave(by_ref(idle, acting), fleet(4, idle, acting), NOBODY).changes) == 4


def test_what_is_left_of_a_policy_that_is_gone_moves_ten_at_a_time() -> None:
    body = asked(1)
    known = [look(injected(deployment(f"w{index:02}"), body), earlier=(body,)) for index in range(12)]

    assert len(next_wave({}, known, NOBODY).changes) == 10
    assert len(next_wave({}, known, NOBODY, {LOGS: 4}).changes) == 6
    assert len(next_wave({}, known, frozenset({known[0].uid})).changes) == 9


def test_a_change_of_the_record_alone_needs_no_room() -> None:
    body = asked(1, deletion="Keep")
    gone = {**body, "metadata": {**body["metadata"], "deletionTimestamp": "2026-11-21T09:00:00Z"}}
    known = [look(injected(deployment(f"w{index}"), body), gone) for index in range(3)]

    assert len(next_wave(by_ref(gone), known, NOBODY).changes) == 3


def test_a_percentage_is_of_those_that_match() -> None:
    (one,) = read(asked("10%"))

    assert [limit(one, matched) for matched in (0, 1, 10, 11, 100)] == [1, 1, 1, 2, 10]


@pytest.mark.parametrize(("most", "started"), [("50%", 1), ("100%", 4)])
def test_a_percentage_is_also_of_those_that_were_just_restored(most: str, started: int) -> None:
    body = asked(most)
    wave = next_wave(by_ref(body), fleet(4, body), NOBODY, {LOGS: 2})

    assert len(wave.changes) == started


def test_nothing_to_do_is_an_empty_wave() -> None:
    body = asked()

    assert not next_wave(by_ref(body), [look(injected(deployment(), body), body)], NOBODY).changes
    assert not next_wave({}, [], NOBODY).changes
