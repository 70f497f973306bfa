"""What the fleet remembers of workloads that come, go and wait."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from builders import NOW, asking, deployment, policy, sidecar
from serving import written
from sidecarpolicy.api.reasons import BlockReason
from sidecarpolicy.controller.fleet import Fleet, blocked
from sidecarpolicy.planning.asking import Asking
from sidecarpolicy.planning.patch import Change
from sidecarpolicy.planning.workload import ref_of

Json = dict[str, Any]

EARLIER = (policy(sidecars=[sidecar(image="shipper:1")]),)
FIRST, SECOND = (asking(policy(sidecars=[sidecar(image=f"shipper:{each}")]), number=each) for each in (1, 2))
STATE = blocked(BlockReason.REFUSED, "refused")
LATER = NOW + timedelta(minutes=5)
WEB = ref_of(deployment())


def web(version: int = 1, *, uid: str = "first", **metadata: Any) -> Json:
    return deployment(metadata={"uid": uid, "generation": version, "resourceVersion": str(version), **metadata})


def seen(body: Json, asked: Asking = FIRST) -> tuple[Fleet, Change]:
    fleet = Fleet()
    fleet.observe(body, asked, {})
    change = fleet.known[WEB].change
    assert change is not None
    return fleet, change


def waits(fleet: Fleet) -> bool:
    return [one.change for one in fleet.startable(NOW)] == [None]


@pytest.mark.parametrize(
    ("body", "asked", "refused", "fought"),
    [
        pytest.param(web(1), FIRST, True, True, id="nothing"),
        pytest.param(web(2), FIRST, False, True, id="the-workload-changes"),
        pytest.param(web(1), SECOND, False, False, id="something-else-is-asked"),
        pytest.param(web(2, uid="second"), FIRST, False, False, id="the-workload-is-made-anew"),
    ],
)
def test_what_ends_a_wait(body: Json, asked: Asking, refused: bool, fought: bool) -> None:
    for_now, change = seen(web(1))
    for_now.hold(change, LATER, STATE)
    for_now.observe(body, asked, {})
    for_good, change = seen(web(1))
    for_good.give_up(change, LATER, STATE)
    for_good.observe(body, asked, {})

    assert (waits(for_now), waits(for_good)) == (refused, fought)


def test_a_list_that_is_older_than_an_event_leaves_no_workload_behind() -> None:
    fleet, _ = seen(web(1))
    status_only = web(1, resourceVersion="3")
    fleet.observe(status_only, SECOND, {})
    # A page that was read before the event came.
    fleet.observe(web(1, resourceVersion="2"), SECOND, {})
    change = fleet.known[WEB].change

    assert change is not None
    assert b"shipper:2" in change.body


def test_who_is_gone_is_not_brought_back_by_an_answer_that_came_late() -> None:
    fleet, _ = seen(web(1))
    fleet.forget(WEB, "first")
    fleet.observe(web(2), FIRST, {})
    assert not fleet.known

    fleet.observe(web(3, uid="second"), FIRST, {})
    assert fleet.known[WEB].uid == "second"


def test_an_end_that_is_heard_of_late_spares_who_has_the_name_by_now() -> None:
    fleet, _ = seen(web(1))
    fleet.observe(web(2, uid="second"), FIRST, {})

    assert fleet.forget(WEB, "first") == set()
    assert fleet.known[WEB].uid == "second"


@pytest.mark.parametrize(
    ("minutes", "count"),
    [pytest.param(1, 1, id="under-way"), pytest.param(11, 0, id="it-does-not-come-up")],
)
def test_a_restored_workload_holds_up_others_for_a_time(minutes: int, count: int) -> None:
    (ref,) = (one.ref for one in FIRST.policies)
    fleet, change = seen(web(1))
    fleet.observe(written(web(1), change), asking(policy(deleting=True), earlier=EARLIER, number=3), {})
    fleet.left(fleet.known[WEB], NOW)

    assert fleet.leaving(NOW + timedelta(minutes=minutes))[ref] == count


def test_a_wait_ends_in_time() -> None:
    fleet, change = seen(web(1))
    fleet.hold(change, NOW, STATE)

    assert not waits(fleet)
    assert fleet.release(NOW) == {one.ref for one in FIRST.policies}
