"""What a policy's status says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import NOW, asking, container, deployment, job, policy, read, settle, sidecar
from serving import written
from sidecarpolicy.api import names
from sidecarpolicy.api.reasons import BlockReason, FailureReason, NoteReason, Reason
from sidecarpolicy.planning.assess import Assessment, Standing, State, assess
from sidecarpolicy.planning.pods import Failing, Look, Sound, Starting
from sidecarpolicy.planning.policy import PolicyRef
from sidecarpolicy.planning.progress import Progress, Stage
from sidecarpolicy.planning.status import (
    _WORST_FIRST,
    Acceptance,
    Row,
    describe,
    difference,
    refused,
    was_ready,
)

Json = dict[str, Any]

TYPES = ["Accepted", "WorkloadsUpToDate", "Ready", "Conflicted", "Reconciling", "Stalled"]
V1 = policy(sidecars=[sidecar()])
LOGS = PolicyRef("shop", "logs")
LATER = NOW + timedelta(minutes=5)


def assessed(body: Json, asked: Json = V1, *others: Json) -> Assessment:
    one = assess(body, asking(asked, *others), {})
    assert one is not None
    return one


def injected(name: str = "web", asked: Json = V1) -> Json:
    change = assessed(deployment(name), asked).change
    assert change is not None
    return settle(written(deployment(name), change), replicas=2, updatedReplicas=2, availableReplicas=2)


def up_to_date(name: str = "web", asked: Json = V1) -> Assessment:
    return assessed(injected(name, asked), asked)


def row(one: Assessment, look: Look | None = None, **fields: Any) -> Row:
    return Row(replace(one, **fields), look)


def updating(since: int = 0) -> Progress:
    return Progress(Stage.UPDATING, "1 of 2 pods are new", since=NOW - timedelta(seconds=since))


FAILED = Progress(Stage.FAILED, "its own progressDeadlineSeconds passed", FailureReason.PROGRESS_DEADLINE_EXCEEDED)
BLOCKED = row(assessed(job()))
OUTDATED = row(assessed(deployment()))
DONE = row(up_to_date(), Sound())
RESTORING = row(up_to_date(), Sound(), states={LOGS: State(Standing.RESTORING)})
HALF_DONE = assessed(injected(), V1, policy("other", sidecars=[sidecar("proxy")]))
OPTED_OUT = row(assessed(deployment("own", annotations={names.INJECT_ANNOTATION: "false"})))
CRASHING = row(up_to_date("x"), Failing(FailureReason.CRASH_LOOP, "it crashes"))
NOTHING = policy(containers=[{"names": ["other"], "env": [{"name": "A", "value": "1"}]}])
FINISHED = row(assessed({**job(), "status": {"conditions": [{"type": "Complete", "status": "True"}]}}))


def said(rows: list[Row], asked: Json = V1, accepted: Acceptance | None = None) -> dict[str, str]:
    status = describe(read(asked)[0], accepted or Acceptance(), rows, {}, NOW)
    return {one["type"]: f"{one['status']} {one['reason']}" for one in status["conditions"]}


def idle(**spec: Any) -> Json:
    return {**V1, "spec": {**V1["spec"], **spec}}


UNREADY = {
    "Accepted": "True Accepted",
    "WorkloadsUpToDate": "True UpToDate",
    "Conflicted": "False NoConflict",
    "Reconciling": "False Idle",
    "Stalled": "False NotStalled",
}
HELD = {"Ready": "False Failed", "Stalled": "True Failed"}


@pytest.mark.parametrize(
    ("rows", "asked", "wanted"),
    [
        pytest.param([DONE], V1, {"Ready": "True Ready"}, id="all-is-done"),
        pytest.param(
            [], V1, {"Ready": "True Ready", "WorkloadsUpToDate": "True NoWorkloadsMatched"}, id="nothing-matches"
        ),
        pytest.param(
            [OPTED_OUT],
            V1,
            {"Ready": "True Ready", "WorkloadsUpToDate": "True NoWorkloadsMatched"},
            id="what-is-selected-opted-out",
        ),
        pytest.param([DONE, OPTED_OUT], V1, {"Ready": "True Ready"}, id="one-opted-out"),
        pytest.param([DONE, FINISHED], V1, {"Ready": "True Ready"}, id="a-finished-job-does-not-count"),
        pytest.param(
            [DONE, OUTDATED],
            V1,
            {"Ready": "False RollingOut", "WorkloadsUpToDate": "False Outdated", "Reconciling": "True Wave"},
            id="some-wait-for-their-change",
        ),
        pytest.param(
            [row(up_to_date(), None, progress=updating())],
            V1,
            {"Ready": "False RollingOut", "Reconciling": "True Wave"},
            id="pods-are-being-replaced",
        ),
        pytest.param(
            [row(up_to_date())],
            V1,
            {"Ready": "False RollingOut", "Reconciling": "True Wave"},
            id="nobody-looked-at-the-pods",
        ),
        pytest.param(
            [row(HALF_DONE)],
            V1,
            {"Ready": "False RollingOut", "Reconciling": "True Wave"},
            id="nobody-looked-at-the-pods-of-one-that-another-policy-waits-for",
        ),
        pytest.param([row(HALF_DONE, Sound())], V1, {"Ready": "True Ready"}, id="what-others-wait-for-is-no-wait"),
        pytest.param(
            [row(assessed(deployment(), NOTHING), progress=FAILED)],
            NOTHING,
            {"Ready": "True Ready"},
            id="trouble-of-a-workload-that-gets-nothing",
        ),
        pytest.param(
            [row(assessed(deployment(), NOTHING), progress=updating(601))],
            NOTHING,
            {"Ready": "True Ready"},
            id="a-rollout-of-a-workload-that-gets-nothing",
        ),
        pytest.param(
            [row(up_to_date(), Starting("not ready"))],
            V1,
            {"Ready": "False RollingOut", "Reconciling": "True Wave"},
            id="the-pods-do-not-show-it-yet",
        ),
        pytest.param(
            [DONE, CRASHING],
            V1,
            HELD,
            id="a-sidecar-fails",
        ),
        pytest.param([row(up_to_date(), None, progress=FAILED)], V1, HELD, id="its-own-deadline"),
        pytest.param([row(up_to_date(), None, progress=updating(601))], V1, HELD, id="our-deadline"),
        pytest.param(
            [CRASHING, OUTDATED],
            idle(rollout={"maxConcurrent": 1}),
            {**HELD, "WorkloadsUpToDate": "False Outdated"},
            id="those-that-fail-fill-the-wave",
        ),
        pytest.param(
            [CRASHING, OUTDATED],
            idle(rollout={"maxConcurrent": 2}),
            {"Ready": "False Failed", "WorkloadsUpToDate": "False Outdated", "Reconciling": "True Wave"},
            id="one-fails-and-others-have-room",
        ),
        pytest.param(
            [CRASHING, row(up_to_date(), Starting("not ready")), OUTDATED],
            idle(rollout={"maxConcurrent": 1}),
            {"Ready": "False Failed", "WorkloadsUpToDate": "False Outdated", "Reconciling": "True Wave"},
            id="one-fails-and-others-are-under-way",
        ),
        pytest.param(
            [CRASHING, RESTORING],
            idle(rollout={"maxConcurrent": 1}),
            {**HELD, "WorkloadsUpToDate": "False Outdated"},
            id="those-that-fail-hold-up-what-is-restored",
        ),
        pytest.param(
            [CRASHING, OUTDATED],
            idle(paused=True),
            {**HELD, "WorkloadsUpToDate": "False Outdated"},
            id="one-fails-and-others-are-paused",
        ),
        pytest.param(
            [CRASHING, RESTORING],
            V1,
            {"Ready": "False Failed", "WorkloadsUpToDate": "False Outdated", "Reconciling": "True Restoring"},
            id="one-fails-and-others-are-restored",
        ),
        pytest.param(
            [DONE, BLOCKED],
            V1,
            {"Ready": "False Blocked", "WorkloadsUpToDate": "False Blocked", "Stalled": "True Blocked"},
            id="one-is-blocked",
        ),
        pytest.param(
            [OUTDATED, BLOCKED],
            V1,
            {"Ready": "False RollingOut", "WorkloadsUpToDate": "False Outdated", "Reconciling": "True Wave"},
            id="one-is-blocked-and-others-move",
        ),
        pytest.param(
            [OUTDATED],
            idle(mode="Audit"),
            {"Ready": "False AuditOnly", "WorkloadsUpToDate": "False AuditOnly"},
            id="audit-would-change-something",
        ),
        pytest.param([DONE], idle(mode="Audit"), {"Ready": "True Ready"}, id="audit-would-change-nothing"),
        pytest.param(
            [OUTDATED], idle(paused=True), {"Ready": "False Paused", "WorkloadsUpToDate": "False Outdated"}, id="paused"
        ),
        pytest.param([DONE], idle(paused=True), {"Ready": "True Ready"}, id="paused-when-all-was-done"),
        pytest.param(
            [RESTORING],
            V1,
            {"Ready": "False RollingOut", "WorkloadsUpToDate": "False Outdated", "Reconciling": "True Restoring"},
            id="what-is-deselected-is-restored",
        ),
        pytest.param(
            [RESTORING],
            policy(deleting=True, paused=True, sidecars=[sidecar()]),
            {"Ready": "False RollingOut", "WorkloadsUpToDate": "False Outdated", "Reconciling": "True Restoring"},
            id="what-goes-is-restored-also-when-paused",
        ),
    ],
)
def test_conditions_say_how_it_stands(rows: list[Row], asked: Json, wanted: dict[str, str]) -> None:
    assert said(rows, asked) == {**UNREADY, **wanted}


@pytest.mark.parametrize("reason", [Reason.INVALID, Reason.NATIVE_SIDECARS_UNSUPPORTED])
def test_nothing_but_that_is_said_of_a_policy_that_is_not_accepted(reason: Reason) -> None:
    conditions = said([DONE], V1, Acceptance(reason, "why"))

    assert conditions == {
        "Accepted": f"False {reason}",
        "WorkloadsUpToDate": "Unknown NotAccepted",
        "Ready": "False NotAccepted",
        "Conflicted": "Unknown NotAccepted",
        "Reconciling": "False Idle",
        "Stalled": "True NotAccepted",
    }


def test_an_unreadable_policy_has_every_condition() -> None:
    status = refused(7, "spec.sidecars: bad", {}, NOW)

    assert [one["type"] for one in status["conditions"]] == TYPES
    assert status["observedGeneration"] == 7
    assert {one["observedGeneration"] for one in status["conditions"]} == {7}
    assert status["conditions"][2]["message"] == "spec.sidecars: bad"


@pytest.mark.parametrize(
    ("conditions", "ready"),
    [
        pytest.param([{"type": "Ready", "status": "True", "observedGeneration": 1}], True, id="of-this-spec"),
        pytest.param([{"type": "Ready", "status": "True", "observedGeneration": 0}], False, id="of-an-earlier-spec"),
        pytest.param([{"type": "Ready", "status": "False", "observedGeneration": 1}], False, id="not-ready"),
        pytest.param([{"type": "Accepted", "status": "True", "observedGeneration": 1}], False, id="accepted-only"),
        pytest.param(None, False, id="nothing-said"),
    ],
)
def test_a_policy_was_ready_if_it_said_so_of_its_newest_spec(conditions: list[Json] | None, ready: bool) -> None:
    assert was_ready({**policy(), "status": {"conditions": conditions}}) is ready


def test_a_conflict_is_said_by_both_policies_with_the_others_name() -> None:
    winner, loser = policy("a", sidecars=[sidecar()]), policy("b", sidecars=[sidecar()])
    one = assess(deployment(), asking(winner, loser), {})
    assert one is not None
    found = [
        next(c for c in describe(own, Acceptance(), [Row(one)], {}, NOW)["conditions"] if c["type"] == "Conflicted")
        for own in read(winner, loser)
    ]

    assert [(c["status"], c["reason"]) for c in found] == [("True", "PolicyConflict")] * 2
    assert "SidecarPolicy shop/b is withheld" in found[0]["message"]
    assert "SidecarPolicy shop/a" in found[1]["message"]
    assert "Deployment shop/web" in found[0]["message"]


@pytest.mark.parametrize(
    ("reason", "wanted"),
    [
        (BlockReason.WORKLOAD_CONFLICT, "True WorkloadConflict"),
        (BlockReason.FIGHTING_CONTROLLER, "True FightingController"),
        (BlockReason.TEMPLATE_IMMUTABLE, "False NoConflict"),
    ],
)
def test_a_block_may_be_a_conflict(reason: BlockReason, wanted: str) -> None:
    blocked = row(assessed(deployment()), states={LOGS: State(Standing.BLOCKED, reason, "why")}, change=None)

    assert said([blocked])["Conflicted"] == wanted


def status_of(rows: list[Row], before: Json | None = None, asked: Json = V1, at: Any = NOW) -> Json:
    return describe(read(asked)[0], Acceptance(), rows, before or {}, at)


def test_counters_count() -> None:
    failing = row(up_to_date("f"), Failing(FailureReason.CRASH_LOOP, "x"))
    moving = row(up_to_date("m"), None, progress=updating())
    status = status_of([DONE, OUTDATED, BLOCKED, FINISHED, failing, moving, RESTORING])

    assert {name: status[name] for name in ("matched", "upToDate", "updating", "outdated", "failed", "finished")} == {
        "matched": 6,
        "upToDate": 3,
        "updating": 1,
        "outdated": 1,
        "failed": 1,
        "finished": 1,
    }
    assert status["blocked"] == 1


def test_generation_and_revision_are_said() -> None:
    status = status_of([DONE])

    assert status["observedGeneration"] == 1
    assert status["revision"] == read(V1)[0].revision
    assert [one["type"] for one in status["conditions"]] == TYPES
    assert {one["observedGeneration"] for one in status["conditions"]} == {1}


def condition(status: Json, kind: str) -> Json:
    return next(one for one in status["conditions"] if one["type"] == kind)


def times(status: Json) -> dict[str, str]:
    return {one["type"]: one["lastTransitionTime"] for one in status["conditions"]}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        pytest.param([OUTDATED], "1 workload still to be changed", id="one"),
        pytest.param([OUTDATED, OUTDATED], "2 workloads still to be changed", id="two"),
        pytest.param([], "no workload is selected", id="none"),
        pytest.param(
            [OPTED_OUT, OPTED_OUT],
            "every selected workload is opted out by sidecarpolicy.dev/inject: see status.notes (2 workloads)",
            id="none-but-those-that-opted-out",
        ),
        pytest.param(
            [DONE, OPTED_OUT], "1 workload up to date; 1 workload opted out: see status.notes", id="one-opted-out"
        ),
    ],
)
def test_a_message_is_right_for_any_number(rows: list[Row], message: str) -> None:
    assert condition(status_of(rows), "WorkloadsUpToDate")["message"] == message


def test_times_move_only_when_the_status_flips() -> None:
    first = status_of([OUTDATED])
    still = status_of([OUTDATED, row(up_to_date(), None, progress=updating())], first, at=LATER)
    done = status_of([DONE], first, at=LATER)

    assert times(still) == times(first)
    moved = {kind for kind in TYPES if times(done)[kind] != times(first)[kind]}
    assert moved == {"WorkloadsUpToDate", "Ready", "Reconciling"}


def test_an_old_condition_without_a_time_gets_one() -> None:
    before = {"conditions": [{"type": "Ready", "status": "True"}]}

    assert times(status_of([DONE], before))["Ready"] == "2026-11-21T09:00:00Z"


def test_the_order_of_the_rows_means_nothing() -> None:
    rows = [
        row(up_to_date(name), look)
        for name, look in (
            ("c", Starting("c")),
            ("a", Starting("a")),
            ("b", Failing(FailureReason.CRASH_LOOP, "b")),
            ("d", Failing(FailureReason.CRASH_LOOP, "d")),
        )
    ]

    assert status_of(rows) == status_of(rows[::-1])


def test_entries_are_twenty_at_most_and_worst_first() -> None:
    late = [row(up_to_date(f"late-{index:02}"), None, progress=updating(601)) for index in range(30)]
    worst = row(up_to_date("z"), Failing(FailureReason.RESTART_POLICY_STRIPPED, "stripped"))
    failures = status_of([*late, worst])["failures"]

    assert len(failures) == 20
    assert failures[0]["name"] == "z"
    assert [one["name"] for one in failures[1:3]] == ["late-00", "late-01"]


def test_every_reason_has_its_place_among_the_worst() -> None:
    assert set(_WORST_FIRST) == {*FailureReason, *BlockReason, *NoteReason}


def test_an_entry_says_what_where_and_since_when() -> None:
    first = status_of([BLOCKED])
    again = status_of([BLOCKED], first, at=LATER)
    (entry,) = first["blocks"]

    assert entry == {
        "kind": "Job",
        "namespace": "shop",
        "name": "import",
        "reason": "TemplateImmutable",
        "message": entry["message"],
        "since": "2026-11-21T09:00:00Z",
    }
    assert again["blocks"] == first["blocks"]


NOT_READY = Starting("sidecar shipper of pod web-1 is not ready")


@pytest.mark.parametrize(
    ("progress", "look", "message"),
    [
        pytest.param(updating(), None, "1 of 2 pods are new", id="nobody-looked"),
        pytest.param(updating(), NOT_READY, f"1 of 2 pods are new; {NOT_READY.message}", id="on-its-way"),
        pytest.param(updating(601), NOT_READY, f"1 of 2 pods are new; {NOT_READY.message}", id="late"),
        pytest.param(FAILED, NOT_READY, f"{FAILED.message}; {NOT_READY.message}", id="failed"),
        pytest.param(Progress(Stage.SETTLED), NOT_READY, NOT_READY.message, id="settled"),
        pytest.param(Progress(Stage.SETTLED), None, "its pods have not been looked at yet", id="just-settled"),
    ],
)
def test_what_a_workload_waits_for_is_said_by_the_pod_that_shows_it(
    progress: Progress, look: Look | None, message: str
) -> None:
    ready = condition(status_of([row(up_to_date(), look, progress=progress)]), "Ready")

    assert ready["message"].endswith(message)


def test_opting_out_is_noted_and_not_counted() -> None:
    status = status_of([OPTED_OUT])

    assert status["matched"] == 0
    assert [(note["name"], note["reason"]) for note in status["notes"]] == [("own", "OptedOut")]


def test_notes_are_those_of_this_policy() -> None:
    asked = policy(containers=[{"names": ["*"], "livenessProbe": {"tcpSocket": {"port": "http"}}}])
    other = policy("other", containers=[{"names": ["*"], "readinessProbe": {"tcpSocket": {"port": "http"}}}])
    one = assessed(deployment(containers=[container(), container("web")]), asked, other)
    notes = status_of([Row(one)], asked=asked)["notes"]

    assert len(notes) == 2
    assert all("livenessProbe" in note["message"] for note in notes)


def test_our_deadline_is_the_policys() -> None:
    slow = row(up_to_date(), None, progress=updating(120))

    assert said([slow])["Ready"] == "False RollingOut"
    assert said([slow], idle(rollout={"progressDeadline": "1m"}))["Ready"] == "False Failed"


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        pytest.param({"a": 1}, {"a": 1}, {}, id="nothing"),
        pytest.param({"a": 1, "b": 2}, {"a": 1, "b": 3}, {"b": 3}, id="what-changed"),
        pytest.param({"a": 1, "b": 2}, {"a": 1}, {"b": None}, id="what-is-gone"),
        pytest.param({}, {"a": []}, {"a": []}, id="what-is-new"),
        pytest.param({"conditions": [1, 2]}, {"conditions": [1, 3]}, {"conditions": [1, 3]}, id="lists-are-whole"),
    ],
)
def test_a_difference_is_a_merge_patch_of_whole_keys(before: Json, after: Json, patch: Json) -> None:
    assert difference(before, after) == patch


def test_an_unchanged_status_is_no_patch() -> None:
    status = status_of([DONE, OUTDATED, BLOCKED])

    assert difference(status, status_of([BLOCKED, OUTDATED, DONE], status, at=LATER)) == {}
