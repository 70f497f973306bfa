"""What one look at a workload says: which policies it is up to date with, what it needs, why it cannot change."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from builders import (
    asking,
    container,
    cron_job,
    daemon_set,
    deployment,
    job,
    policy,
    read,
    settle,
    sidecar,
    stateful_set,
)
from serving import edited, sent, written
from sidecarpolicy.api import names
from sidecarpolicy.api.reasons import BlockReason, NoteReason
from sidecarpolicy.planning.asking import Asking
from sidecarpolicy.planning.assess import Assessment, Standing, assess, assess_again
from sidecarpolicy.planning.policy import PolicyRef
from sidecarpolicy.planning.workload import template_of

Json = dict[str, Any]

LOGS = PolicyRef("shop", "logs")
OPT_OUT = {names.INJECT_ANNOTATION: "false"}
V1 = policy(sidecars=[sidecar(image="shipper:1")])
V2 = policy(sidecars=[sidecar(image="shipper:2")])
EXIT_CODES = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}}
REQUESTS = {"names": ["*"], "resources": {"requests": {"cpu": "100m"}}}


def idle(body: Json, **spec: Any) -> Json:
    return {**body, "spec": {**body["spec"], **spec}}


def look(body: Json, asked: Asking) -> Assessment:
    one = assess(body, asked, {})
    assert one is not None
    return one


def injected(body: Json, *asked: Json, earlier: tuple[Json, ...] = ()) -> Json:
    return changed(body, asking(*asked, earlier=earlier))


def changed(body: Json, asked: Asking) -> Json:
    change = look(body, asked).change
    return written(body, change) if change else body


def standing(one: Assessment, ref: PolicyRef = LOGS) -> Standing:
    return one.states[ref].standing


def sidecars(body: Json) -> list[str]:
    return [init["image"] for init in template_of(body)["spec"].get("initContainers", ())]


def annotated(body: Json, **annotations: str) -> Json:
    after = copy.deepcopy(body)
    after["metadata"].setdefault("annotations", {}).update(annotations)
    return sent(body, after)


@pytest.mark.parametrize("make", [deployment, stateful_set, daemon_set, cron_job])
def test_a_selected_workload_is_outdated_then_up_to_date(make: Any) -> None:
    before = look(make(), asking(V1))
    body = injected(make(), V1)
    after = look(body, asking(V1))

    assert standing(before) is Standing.OUTDATED
    assert before.change is not None
    assert before.change.restarts
    assert standing(after) is Standing.UP_TO_DATE
    assert after.change is None
    assert after.applied == {read(V1)[0].revision}
    assert after.carrying == {LOGS}


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        pytest.param(deployment(), asking(), id="no-policy"),
        pytest.param(deployment(), asking(policy(selector={"matchLabels": {"x": "y"}})), id="not-selected"),
        pytest.param(deployment(namespace="kube-system"), asking(policy(namespace="")), id="a-system-namespace"),
        pytest.param(
            deployment(), asking(policy(namespace=""), excluded=frozenset({"shop"})), id="the-operators-own-namespace"
        ),
        pytest.param(deployment(annotations=OPT_OUT), asking(), id="no-policy-to-keep-away"),
        pytest.param(
            deployment(metadata={"deletionTimestamp": "2026-11-21T09:00:00Z"}), asking(V1), id="a-workload-that-goes"
        ),
    ],
)
def test_a_workload_is_none_of_our_business(body: Json, asked: Asking) -> None:
    assert assess(body, asked, {}) is None


@pytest.mark.parametrize(
    ("said", "note"),
    [
        pytest.param("true", [], id="true"),
        pytest.param("False", [NoteReason.INJECT_VALUE_IGNORED], id="False"),
        pytest.param("no", [NoteReason.INJECT_VALUE_IGNORED], id="no"),
        pytest.param("", [NoteReason.INJECT_VALUE_IGNORED], id="empty"),
    ],
)
def test_another_value_of_the_opt_out_keeps_nobody_away(said: str, note: list[NoteReason]) -> None:
    one = look(deployment(annotations={names.INJECT_ANNOTATION: said}), asking(V1))

    assert one.change is not None
    assert [note.reason for note in one.notes] == note


@pytest.mark.parametrize("asked", [V1, {**V1, "spec": {**V1["spec"], "mode": "Audit"}}], ids=["acting", "audit"])
@pytest.mark.parametrize("make", [deployment, job])
def test_opting_out_is_said_of_a_workload_that_is_left_alone(make: Any, asked: Json) -> None:
    one = look(make(annotations=OPT_OUT), asking(asked))

    assert one.change is None
    assert standing(one) is Standing.OPTED_OUT
    assert [(note.policy, note.reason) for note in one.notes] == [(LOGS, NoteReason.OPTED_OUT)]


@pytest.mark.parametrize("asked", [V1, {**V1, "spec": {**V1["spec"], "paused": True}}], ids=["acting", "paused"])
def test_opting_out_undoes(asked: Json) -> None:
    body = annotated(injected(deployment(), V1), **OPT_OUT)
    one = look(body, asking(asked, earlier=(V1,)))

    assert standing(one) is Standing.RESTORING
    assert one.change is not None
    after = written(body, one.change)
    assert after["spec"] == deployment()["spec"]
    assert standing(look(after, asking(asked, earlier=(V1,)))) is Standing.OPTED_OUT


def test_a_controller_owned_workload_is_never_touched() -> None:
    owner = {"kind": "Rollout", "name": "web", "uid": "u", "controller": True}
    one = look(deployment(metadata={"ownerReferences": [owner]}), asking(V1))

    assert one.change is None
    assert one.states[LOGS].reason is BlockReason.OWNED_BY_CONTROLLER
    assert "Rollout web" in one.states[LOGS].message


def test_an_owner_that_does_not_control_is_no_obstacle() -> None:
    owner = {"kind": "App", "name": "web", "uid": "u"}

    assert look(deployment(metadata={"ownerReferences": [owner]}), asking(V1)).change is not None


OF_A_CRON_JOB = {"ownerReferences": [{"kind": "CronJob", "name": "report", "uid": "u", "controller": True}]}


def made(owner: Json) -> Json:
    """The Job that a CronJob makes: its template, and no record."""
    return {**job(metadata=OF_A_CRON_JOB), "spec": {"template": copy.deepcopy(template_of(owner))}}


def test_a_job_of_a_cron_job_is_blocked_until_it_finishes_where_it_lacks_what_selects_it() -> None:
    one = look(made(cron_job()), asking(V1))

    assert one.change is None
    assert one.states[LOGS].reason is BlockReason.TEMPLATE_IMMUTABLE
    assert "Let it finish: the next one is born with" in one.states[LOGS].message
    assert "if the policy selects the CronJob" in one.states[LOGS].message


@pytest.mark.parametrize("kinds", [["Job"], ["CronJob", "Job"]])
def test_a_job_of_a_cron_job_that_carries_what_selects_it_is_up_to_date(kinds: list[str]) -> None:
    one = look(made(injected(cron_job(), V1)), asking(idle(V1, kinds=kinds)))

    assert one.change is None
    assert standing(one) is Standing.UP_TO_DATE
    assert one.asked is not None


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(asking(idle(V1, kinds=["CronJob"])), id="that-selects-cron-jobs-only"),
        pytest.param(asking(policy(deleting=True, **V1["spec"])), id="that-goes"),
    ],
)
def test_a_job_of_a_cron_job_holds_up_no_policy(asked: Asking) -> None:
    one = look(made(injected(cron_job(), V1)), asked)

    assert not one.states
    assert one.change is None


def test_a_finished_job_of_a_cron_job_does_not_count() -> None:
    done = {**made(cron_job()), "status": {"conditions": [{"type": "Complete", "status": "True"}]}}

    assert standing(look(done, asking(V1))) is Standing.FINISHED


@pytest.mark.parametrize("kind", ["Complete", "Failed"])
def test_a_finished_job_does_not_count(kind: str) -> None:
    body = {**job(), "status": {"conditions": [{"type": kind, "status": "True"}]}}
    one = look(body, asking(V1))

    assert standing(one) is Standing.FINISHED
    assert one.change is None


def test_a_job_that_runs_keeps_its_template_and_says_what_to_do() -> None:
    one = look(job(), asking(V1))

    assert one.change is None
    assert one.states[LOGS].reason is BlockReason.TEMPLATE_IMMUTABLE
    assert "delete and create it again" in one.states[LOGS].message
    # So that nobody makes it anew in vain.
    assert "the admission webhook gives a Job what policies ask" in one.states[LOGS].message


SUSPENDED = {"conditions": [{"type": "Suspended", "status": "True"}], "startTime": "2026-11-21T08:00:00Z"}


@pytest.mark.parametrize(
    ("spec", "status", "asked", "server", "allowed"),
    [
        pytest.param({"suspend": True}, {}, {"containers": [REQUESTS]}, (1, 36), True, id="never-started"),
        pytest.param({"suspend": True}, SUSPENDED, {"containers": [REQUESTS]}, (1, 36), True, id="suspended-again"),
        pytest.param({"suspend": True}, {}, {"containers": [REQUESTS]}, (2, 0), True, id="a-later-server"),
        pytest.param({"suspend": True}, {}, {"containers": [REQUESTS]}, (1, 35), False, id="an-older-server"),
        pytest.param({}, {}, {"containers": [REQUESTS]}, (1, 36), False, id="not-suspended"),
        pytest.param(
            {"suspend": True},
            {**SUSPENDED, "active": 1},
            {"containers": [REQUESTS]},
            (1, 36),
            False,
            id="pods-still-run",
        ),
        pytest.param(
            {"suspend": True},
            {"startTime": "2026-11-21T08:00:00Z"},
            {"containers": [REQUESTS]},
            (1, 36),
            False,
            id="not-yet-suspended",
        ),
        pytest.param({"suspend": True}, {}, {"sidecars": [sidecar()]}, (1, 36), False, id="more-than-resources"),
    ],
)
def test_of_a_suspended_job_resources_may_change(
    spec: Json, status: Json, asked: Json, server: tuple[int, int], allowed: bool
) -> None:
    body = {**job(spec=spec), "status": status}
    one = look(body, asking(policy(**asked), server=server))

    assert (one.change is not None) is allowed
    assert (one.states[LOGS].reason is BlockReason.TEMPLATE_IMMUTABLE) is not allowed


def test_a_paused_deployment_waits_for_its_owner() -> None:
    one = look(deployment(spec={"paused": True}), asking(V1))

    assert one.change is None
    assert one.states[LOGS].reason is BlockReason.WAITING_FOR_RESUME
    assert "rollout resume" in one.states[LOGS].message


def not_accepted(*bodies: Json, earlier: tuple[Json, ...] = ()) -> Asking:
    asked = asking(*bodies, earlier=earlier)
    return replace(asked, policies=tuple(replace(one, accepted=False) for one in asked.policies))


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(asking(idle(V2, paused=True), earlier=(V1,)), id="paused"),
        pytest.param(asking(idle(V2, mode="Audit"), earlier=(V1,)), id="audit"),
        pytest.param(not_accepted(V2, earlier=(V1,)), id="not-accepted"),
    ],
)
def test_a_policy_that_does_not_act_leaves_what_is_there_at_its_revision(asked: Asking) -> None:
    one = look(injected(deployment(), V1), asked)

    assert one.change is None
    assert standing(one) is Standing.OUTDATED
    assert one.asked is not None


@pytest.mark.parametrize("spec", [{"paused": True}, {"mode": "Audit"}], ids=["paused", "audit"])
def test_a_policy_that_does_not_act_starts_nothing(spec: Json) -> None:
    one = look(deployment(), asking(idle(V1, **spec)))

    assert one.change is None
    assert standing(one) is Standing.OUTDATED


def test_a_paused_policy_repairs_no_drift() -> None:
    body = edited(injected(deployment(), V1), lambda template: template["spec"].pop("initContainers"))

    assert look(body, asking(idle(V1, paused=True))).change is None


def test_an_audit_says_its_conflict_and_harms_nobody() -> None:
    audit = policy("audit", priority=1, mode="Audit", sidecars=[sidecar()])
    one = look(deployment(), asking(V1, audit))

    assert standing(one) is Standing.OUTDATED
    assert one.change is not None
    assert standing(one, PolicyRef("shop", "audit")) is Standing.OUTDATED


def test_deselecting_restores() -> None:
    body = injected(deployment(labels={"logs": "yes"}), V1)
    one = look(body, asking(idle(V1, selector={"matchLabels": {"logs": "no"}})))

    assert standing(one) is Standing.RESTORING
    assert one.change is not None
    assert written(body, one.change)["spec"] == deployment()["spec"]


def test_a_paused_policy_does_not_restore_what_it_deselects() -> None:
    body = injected(deployment(), V1)
    one = look(body, asking(idle(V1, selector={"matchLabels": {"logs": "no"}}, paused=True)))

    assert one.change is None


def deleting(body: Json, deletion: str) -> Json:
    return policy(deleting=True, deletion=deletion, **body["spec"])


@pytest.mark.parametrize("spec", [{}, {"paused": True}, {"mode": "Audit"}], ids=["acting", "paused", "audit"])
def test_deleting_a_policy_restores(spec: Json) -> None:
    body = injected(deployment(), V1)
    one = look(body, asking(deleting(idle(V1, **spec), "Restore")))

    assert standing(one) is Standing.RESTORING
    assert one.change is not None
    after = written(body, one.change)
    assert after["spec"] == deployment()["spec"]
    assert "annotations" not in after["metadata"]


@pytest.mark.parametrize("make", [deployment, stateful_set])
def test_deleting_a_policy_that_keeps_leaves_everything_to_the_author_without_a_restart(make: Any) -> None:
    body = injected(make(), V1)
    asked = asking(deleting(V1, "Keep"))
    one = look(body, asked)

    assert standing(one) is Standing.RESTORING
    assert one.change is not None
    assert not one.change.restarts
    after = written(body, one.change)
    assert after["spec"] == body["spec"]
    assert names.RECORD_ANNOTATION not in after["metadata"].get("annotations", {})
    assert assess(after, asked, {}) is None
    assert assess(after, asking(), {}) is None


def test_what_a_policy_that_keeps_added_stays_also_when_nobody_saw_it_go() -> None:
    body = injected(deployment(), idle(V1, deletion="Keep"))
    one = look(body, asking(earlier=(V1,)))

    assert one.change is not None
    assert not one.change.restarts
    after = written(body, one.change)
    assert after["spec"] == body["spec"]
    assert "annotations" not in after["metadata"]


def test_a_deselected_policy_that_would_keep_restores() -> None:
    body = injected(deployment(), idle(V1, deletion="Keep"))
    one = look(body, asking(idle(V1, deletion="Keep", selector={"matchLabels": {"x": "y"}})))

    assert one.change is not None
    assert written(body, one.change)["spec"] == deployment()["spec"]


def test_what_an_unreadable_policy_added_stays() -> None:
    body = injected(deployment(), V1)
    one = assess(body, Asking(unreadable=frozenset({LOGS}), history=asking(V1).history), {})

    assert one is not None
    assert one.change is None


def test_an_unreadable_policy_disturbs_no_other() -> None:
    body = injected(deployment(), V1)
    other = policy("other", sidecars=[sidecar("other")])
    asked = asking(other, earlier=(V1,), unreadable=frozenset({LOGS}))
    change = look(body, asked).change
    assert change is not None
    after = written(body, change)

    assert sorted(sidecars(after)) == ["other:1", "shipper:1"]
    assert look(after, asked).change is None
    assert read(V1)[0].revision in template_of(after)["metadata"]["annotations"][names.REVISION_ANNOTATION]


def test_what_is_there_at_a_revision_that_nobody_knows_stays_while_the_policy_is_paused() -> None:
    body = injected(deployment(), V1)
    one = look(body, asking(idle(V2, paused=True)))

    assert one.change is None


def test_a_new_revision_replaces_the_old() -> None:
    body = injected(injected(deployment(), V1), V2, earlier=(V1,))

    assert sidecars(body) == ["shipper:2"]


def test_a_revision_that_changes_nothing_here_writes_nothing() -> None:
    jobs_only = {"names": ["batch"], "env": [{"name": "A", "value": "1"}]}
    body = injected(deployment(), V1)
    one = look(body, asking(idle(V1, containers=[jobs_only]), earlier=(V1,)))

    assert one.change is None
    assert standing(one) is Standing.UP_TO_DATE


@pytest.mark.parametrize(
    ("edit", "restored"),
    [
        pytest.param(lambda spec: spec["initContainers"][0].update(image="evil:1"), True, id="its-image"),
        pytest.param(lambda spec: spec.pop("initContainers"), True, id="gone"),
        pytest.param(lambda spec: spec["initContainers"].append(container("own")), False, id="the-authors-own-behind"),
        pytest.param(
            lambda spec: spec["initContainers"].insert(0, container("own")), True, id="the-authors-own-in-front"
        ),
    ],
)
def test_our_sidecar_is_kept_as_the_policy_says(edit: Any, restored: bool) -> None:
    body = edited(injected(deployment(), V1), lambda template: edit(template["spec"]))
    one = look(body, asking(V1))

    assert (one.change is not None) is restored
    assert standing(one) is (Standing.OUTDATED if restored else Standing.UP_TO_DATE)
    if one.change is not None:
        assert sidecars(written(body, one.change))[0] == "shipper:1"


def test_a_value_that_the_author_changed_is_taken_from_the_record_without_a_restart() -> None:
    asked = policy(containers=[REQUESTS], sidecars=[sidecar()])

    def take_over(template: Json) -> None:
        template["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "300m"

    body = edited(injected(deployment(), asked), take_over)
    one = look(body, asking(asked))

    assert standing(one) is Standing.UP_TO_DATE
    assert one.change is not None
    assert not one.change.restarts
    after = written(body, one.change)
    assert "containers" not in json.loads(after["metadata"]["annotations"][names.RECORD_ANNOTATION])["policies"]["logs"]
    assert template_of(after)["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "300m"}


PROBED = policy(
    sidecars=[sidecar()],
    containers=[{"names": ["*"], "livenessProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 20}}],
)


def own_port(template: Json) -> None:
    template["spec"]["containers"][0]["livenessProbe"]["tcpSocket"] = {"port": 81}


def test_keys_of_our_probe_left_in_the_authors_cause_no_restart() -> None:
    body = edited(injected(deployment(), PROBED), own_port)
    one = look(body, asking(PROBED))

    assert one.change is None
    assert standing(one) is Standing.UP_TO_DATE
    assert one.asked is not None


def test_they_go_with_the_next_change() -> None:
    body = edited(injected(deployment(), PROBED), own_port)
    newer = idle(PROBED, sidecars=[sidecar(image="shipper:2")])
    after = injected(body, newer, earlier=(PROBED,))

    assert template_of(after)["spec"]["containers"][0]["livenessProbe"] == {
        "tcpSocket": {"port": 81},
        "periodSeconds": 10,
        "timeoutSeconds": 1,
        "successThreshold": 1,
        "failureThreshold": 3,
    }


def test_they_go_with_the_policy() -> None:
    only_probe = policy(containers=PROBED["spec"]["containers"])
    body = edited(injected(deployment(), only_probe), own_port)
    one = look(body, asking(earlier=(only_probe,)))

    assert one.change is not None
    assert template_of(written(body, one.change))["spec"]["containers"][0]["livenessProbe"]["periodSeconds"] == 10


def test_a_changed_probe_of_the_policy_is_no_leftover() -> None:
    body = injected(deployment(), PROBED)
    newer = json.loads(json.dumps(PROBED).replace("20", "30"))
    after = injected(body, newer, earlier=(PROBED,))

    assert template_of(after)["spec"]["containers"][0]["livenessProbe"]["periodSeconds"] == 30


def test_quantities_and_probes_spelled_otherwise_are_written_once() -> None:
    asked = policy(
        sidecars=[
            sidecar(
                resources={"requests": {"cpu": "0.1", "memory": "1024Mi"}, "limits": {"memory": "1.5Gi"}},
                startupProbe={"httpGet": {"port": 1}, "initialDelaySeconds": 0},
                env=[{"name": "EMPTY", "value": ""}],
                command=[],
            )
        ],
        containers=[
            {
                "names": ["*"],
                "resources": {"requests": {"cpu": "0.1", "memory": "1024Mi"}, "limits": {"cpu": 1}},
                "livenessProbe": {"grpc": {"port": 9000}},
                "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
            }
        ],
        volumes=[{"name": "v", "configMap": {"name": "x"}}, {"name": "h", "hostPath": {"path": "/x"}}],
    )
    body = injected(deployment(), asked)

    assert look(body, asking(asked)).change is None
    assert injected(body, earlier=(asked,))["spec"] == deployment()["spec"]


def test_two_policies_are_one_write() -> None:
    other = policy("other", sidecars=[sidecar("other")])
    body = injected(deployment(), V1, other)

    assert sidecars(body) == ["shipper:1", "other:1"]
    assert look(body, asking(V1, other)).change is None


def test_a_policy_beside_one_that_changes_is_up_to_date() -> None:
    other = policy("other", sidecars=[sidecar("other")])
    body = injected(deployment(), V1, other)
    one = look(body, asking(V2, other, earlier=(V1,)))

    assert standing(one) is Standing.OUTDATED
    assert standing(one, PolicyRef("shop", "other")) is Standing.UP_TO_DATE


def test_a_policy_beside_one_that_goes_is_up_to_date() -> None:
    other = policy("other", sidecars=[sidecar("other")])
    body = injected(deployment(), V1, other)
    one = look(body, asking(other, earlier=(V1,)))

    assert one.states[LOGS].standing is Standing.RESTORING
    assert standing(one, PolicyRef("shop", "other")) is Standing.UP_TO_DATE


def test_the_loser_of_a_conflict_goes_in_when_the_winner_goes() -> None:
    winner = policy("a", sidecars=[sidecar(image="winner:1")])
    body = injected(deployment(), winner, V1)
    one = look(body, asking(winner, V1))

    assert sidecars(body) == ["winner:1"]
    assert one.states[LOGS].reason is BlockReason.POLICY_CONFLICT
    assert one.states[LOGS].other == PolicyRef("shop", "a")
    assert sidecars(injected(body, V1, earlier=(winner,))) == ["shipper:1"]


def test_a_policy_that_gives_way_is_blocked_and_its_part_goes() -> None:
    body = edited(
        injected(deployment(), V1), lambda template: template["spec"].update(volumes=[{"name": "v", "emptyDir": {}}])
    )
    newer = idle(V1, volumes=[{"name": "v", "configMap": {"name": "x"}}])
    one = look(body, asking(newer, earlier=(V1,)))

    assert standing(one) is Standing.BLOCKED
    assert one.change is not None
    assert sidecars(written(body, one.change)) == []


def test_an_export_that_the_author_applied_is_the_authors() -> None:
    body = injected(deployment(), V1)
    exported = copy.deepcopy(body)
    manifest = {"spec": {"template": template_of(body)}}
    exported["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = json.dumps(manifest)
    after = injected(sent(body, exported), earlier=(V1,))

    assert sidecars(after) == ["shipper:1"]


def test_pods_are_looked_at_where_the_template_is_as_it_should_be() -> None:
    assert look(deployment(), asking(V1)).asked is None
    asked = look(injected(deployment(), V1), asking(V1)).asked
    assert asked is not None
    assert asked.sidecars == ("shipper",)
    assert asked.selector == "app=web"
    assert look(injected(cron_job(), V1), asking(V1)).asked is None


def test_pods_show_what_is_there_while_another_policy_waits() -> None:
    other = policy("other", sidecars=[sidecar("proxy")])
    one = look(injected(deployment(), V1), asking(V1, other))

    assert (standing(one), standing(one, PolicyRef("shop", "other"))) == (Standing.UP_TO_DATE, Standing.OUTDATED)
    assert one.asked is not None
    assert one.asked.sidecars == ("shipper",)
    assert one.carrying == {LOGS}


def test_a_workload_that_gets_nothing_needs_no_look_at_its_pods() -> None:
    one = look(deployment(), asking(policy(containers=[{"names": ["other"], "env": [{"name": "A", "value": "1"}]}])))

    assert standing(one) is Standing.UP_TO_DATE
    assert one.asked is None
    assert one.change is None


def test_a_look_again_takes_the_status_alone() -> None:
    body = injected(deployment(), V1)
    one = look(body, asking(V1))
    moved = settle(body, replicas=3, updatedReplicas=1)
    moved["metadata"] = {**moved["metadata"], "resourceVersion": "500"}
    again = assess_again(one, moved)

    assert again is not None
    assert again.in_flux
    assert again.version == 500
    assert again == look(moved, asking(V1))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"generation": 9}, id="its-spec"),
        pytest.param({"labels": {"x": "y"}}, id="its-labels"),
        pytest.param({"annotations": {names.RECORD_ANNOTATION: "x"}}, id="its-record"),
        pytest.param({"annotations": OPT_OUT}, id="its-opt-out"),
        pytest.param({"uid": "other"}, id="itself"),
        pytest.param({"deletionTimestamp": "2026-11-21T09:00:00Z"}, id="its-end"),
        pytest.param({"ownerReferences": [{"kind": "X", "name": "x", "uid": "u", "controller": True}]}, id="its-owner"),
    ],
)
def test_more_than_a_status_is_assessed_anew(change: Json) -> None:
    body = deployment()
    after = {**body, "metadata": {**body["metadata"], **change}}

    assert assess_again(look(body, asking(V1)), after) is None


def last_applied(*names: str) -> Json:
    spec = {"template": {"spec": {"containers": [{"name": name} for name in names]}}}
    return {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"spec": spec})}}


def last_owned(*names: str) -> Json:
    owned: Json = {"f:containers": {f'k:{{"name":"{name}"}}': {"f:image": {}} for name in names}}
    fields = {"f:spec": {"f:template": {"f:spec": owned}}}
    return {"managedFields": [{"manager": "kubectl", "operation": "Apply", "fieldsV1": fields}]}


@pytest.mark.parametrize("told", [last_applied, last_owned], ids=["client-side", "server-side"])
def test_a_converted_container_goes_though_only_its_authors_manifest_tells(told: Callable[..., Json]) -> None:
    asked = asking(policy(convert=[{"name": "envoy"}]), may_convert=True)
    body = deployment(containers=[container("app"), container("envoy")], metadata=told("app", "envoy"))
    body = changed(body, asked)
    metadata = body["metadata"]
    annotations = {**metadata["annotations"], **told("app").get("annotations", {})}
    after = {**body, "metadata": {**metadata, **told("app"), "annotations": annotations}}
    one = look(body, asked)

    assert one.change is None
    assert assess_again(one, body) == one
    assert assess_again(one, after) is None
    spec = template_of(changed(after, asked))["spec"]
    assert [one["name"] for one in spec["containers"]] == ["app"]
    assert "initContainers" not in spec


def test_a_converted_container_is_its_authors_sidecar_though_only_their_claim_on_it_tells() -> None:
    asked = asking(policy(convert=[{"name": "envoy"}]), may_convert=True)
    body = changed(deployment(containers=[container("app"), container("envoy")]), asked)
    owned: Json = {"f:spec": {"f:template": {"f:spec": {"f:initContainers": {'k:{"name":"envoy"}': {"f:image": {}}}}}}}
    claim = {"manager": "kubectl", "operation": "Apply", "fieldsV1": owned}
    after = {**body, "metadata": {**body["metadata"], "managedFields": [claim]}}

    assert assess_again(look(body, asked), after) is None


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({"conditions": [{"type": "Complete", "status": "True"}]}, id="it-finishes"),
        pytest.param({**SUSPENDED}, id="it-is-on-hold"),
    ],
)
def test_a_job_is_assessed_anew_when(status: Json) -> None:
    body = job(spec={"suspend": True})

    assert assess_again(look(body, asking(V1)), {**body, "status": status}) is None


@pytest.mark.parametrize(
    ("body", "asked", "reason"),
    [
        pytest.param(
            deployment(
                containers=[
                    container(resources={side: {"cpu": "1", "memory": "1Gi"} for side in ("requests", "limits")})
                ]
            ),
            V1,
            NoteReason.QOS_CHANGES,
            id="the-qos-class-falls",
        ),
        pytest.param(deployment(terminationGracePeriodSeconds=5), V1, NoteReason.GRACE_PERIOD_SHORT, id="little-grace"),
        pytest.param(deployment(spec={"strategy": {"type": "Recreate"}}), V1, NoteReason.FULL_OUTAGE, id="recreate"),
        pytest.param(
            stateful_set(spec={"updateStrategy": {"type": "OnDelete"}}) | {"status": {"observedGeneration": 9}},
            V1,
            NoteReason.PENDING_RESTART,
            id="on-delete",
        ),
        pytest.param(
            cron_job(restartPolicy="OnFailure"), V1, NoteReason.RESTARTS_COUNT_AGAINST_BACKOFF_LIMIT, id="backoff-limit"
        ),
        pytest.param(
            job(spec={"podFailurePolicy": {"rules": [EXIT_CODES]}}),
            V1,
            NoteReason.POD_FAILURE_POLICY_MATCHES_SIDECAR,
            id="exit-codes-of-any-container",
        ),
        pytest.param(
            deployment(), policy(sidecars=[sidecar(after=["gone"])]), NoteReason.ANCHOR_MISSING, id="a-missing-anchor"
        ),
        pytest.param(
            deployment(),
            policy(containers=[{"names": ["*"], "livenessProbe": {"tcpSocket": {"port": "http"}}}]),
            NoteReason.PROBE_PORT_MISSING,
            id="a-missing-port",
        ),
    ],
)
def test_a_note_says_what_its_owner_should_know_before_and_after(body: Json, asked: Json, reason: NoteReason) -> None:
    before = look(body, asking(asked))
    after = look(injected(body, asked), asking(asked))

    assert [note.reason for note in before.notes] == [reason]
    assert [note.reason for note in after.notes] == [reason]
    assert {note.policy for note in after.notes} == {LOGS}


def test_exit_codes_of_the_app_alone_are_no_trap() -> None:
    rule = {"action": "FailJob", "onExitCodes": {"containerName": "app", "operator": "In", "values": [1]}}

    assert not look(job(spec={"podFailurePolicy": {"rules": [rule]}}), asking(V1)).notes


def test_a_guaranteed_pod_stays_so_beside_a_guaranteed_sidecar() -> None:
    amounts = {side: {"cpu": "1", "memory": "1Gi"} for side in ("requests", "limits")}

    assert not look(
        deployment(containers=[container(resources=amounts)]), asking(policy(sidecars=[sidecar(resources=amounts)]))
    ).notes


def test_a_conversion_blocked_for_want_of_admission_says_so() -> None:
    body = deployment(containers=[container(), container("envoy")])
    one = look(body, asking(policy(convert=[{"name": "envoy"}])))

    assert one.change is None
    assert one.states[LOGS].reason is BlockReason.ADMISSION_UNAVAILABLE


def test_a_container_converted_already_stays_when_admission_is_gone() -> None:
    body = deployment(containers=[container(), container("envoy")])
    asked = policy(convert=[{"name": "envoy"}])
    change = look(body, asking(asked, may_convert=True)).change
    assert change is not None
    converted = written(body, change)

    assert look(converted, asking(asked)).change is None
    assert injected(converted, earlier=(asked,))["spec"] == body["spec"]


def test_a_claim_template_is_a_volume_of_a_stateful_set() -> None:
    asked = policy(sidecars=[sidecar(volumeMounts=[{"name": "data", "mountPath": "/data"}])])
    body = stateful_set(spec={"volumeClaimTemplates": [{"metadata": {"name": "data"}}]})

    assert look(body, asking(asked)).change is not None
    assert look(stateful_set(), asking(asked)).states[LOGS].reason is BlockReason.VOLUME_MISSING
