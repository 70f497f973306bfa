"""What we keep and what we give back of a container's fields."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.objects import Json
from sidecarpolicy.api.names import FIELD_MANAGER
from sidecarpolicy.planning.ownership import trimmed_claims, unmoved_claims
from sidecarpolicy.planning.workload import KINDS

APP = 'k:{"name":"app"}'
MOUNT: Json = {'k:{"mountPath":"/logs"}': {".": {}, "f:mountPath": {}, "f:name": {}}}
SIDECARS: Json = {".": {}, 'k:{"name":"shipper"}': {".": {}, "f:name": {}, "f:resources": {}, "f:restartPolicy": {}}}


def pod(fields: Json) -> Json:
    return {"f:spec": {"f:template": {"f:spec": fields}}}


def entry(fields: Json, **facts: Any) -> Json:
    return {"manager": FIELD_MANAGER, "operation": "Update", "time": "T", "fieldsV1": fields, **facts}


def body(*entries: Json, kind: str = "Deployment", containers: tuple[str, ...] = ("app",)) -> Json:
    spec: Json = {"containers": [{"name": name} for name in containers]}
    for step in reversed(KINDS[kind].template):
        spec = {step: {"spec": spec} if step == "template" else spec}
    return {"kind": kind, "metadata": {"uid": "U", "managedFields": list(entries)}, **spec}


@pytest.mark.parametrize(
    ("claimed", "kept"),
    [
        pytest.param(
            {"f:initContainers": SIDECARS, "f:containers": {APP: {"f:resources": {"f:limits": {"f:memory": {}}}}}},
            {"f:initContainers": SIDECARS},
            id="resources-go-back-and-sidecars-stay",
        ),
        pytest.param(
            {"f:containers": {APP: {"f:livenessProbe": {".": {}, "f:periodSeconds": {}}, "f:volumeMounts": MOUNT}}},
            {"f:containers": {APP: {"f:volumeMounts": MOUNT}}},
            id="probes-go-back-and-mounts-stay",
        ),
        pytest.param(
            {"f:containers": {APP: {".": {}, "f:image": {}}, 'k:{"name":"b"}': {"f:volumeMounts": MOUNT}}},
            {"f:containers": {'k:{"name":"b"}': {"f:volumeMounts": MOUNT}}},
            id="a-container-of-which-nothing-is-kept-is-not-claimed-itself",
        ),
        pytest.param(
            {"f:volumes": MOUNT, "f:containers": {APP: {"f:env": {".": {}, 'k:{"name":"A"}': {"f:value": {}}}}}},
            {"f:volumes": MOUNT},
            id="a-part-of-the-authors-own-variable-goes-back",
        ),
    ],
)
def test_only_whole_items_are_kept(claimed: Json, kept: Json) -> None:
    patch = trimmed_claims(body(entry(pod(claimed))))

    assert patch is not None
    assert patch[-1] == {"op": "replace", "path": "/metadata/managedFields/0/fieldsV1", "value": pod(kept)}


def test_path_of_a_cron_job_is_deeper() -> None:
    claimed: Json = {"f:spec": {"f:jobTemplate": {"f:spec": {"f:template": {"f:spec": {"f:containers": {APP: {}}}}}}}}
    record: Json = {"f:metadata": {"f:annotations": {"f:sidecarpolicy.dev/applied": {}}}}

    patch = trimmed_claims(body(entry({**record, **claimed}), kind="CronJob"))

    assert patch is not None
    assert patch[-1]["value"] == record


def test_patch_is_guarded_against_a_moved_list_and_new_claims() -> None:
    others = entry({}, manager="kubectl", operation="Apply")
    ours = entry(pod({"f:containers": {APP: {"f:image": {}}}}))

    patch = trimmed_claims(body(others, ours))

    assert patch is not None
    assert patch[:-1] == [
        {"op": "test", "path": "/metadata/uid", "value": "U"},
        {"op": "test", "path": "/metadata/managedFields/1", "value": ours},
    ]


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([], id="no-entries"),
        pytest.param([entry(pod({"f:initContainers": SIDECARS}))], id="only-sidecars-are-claimed"),
        pytest.param(
            [entry(pod({"f:containers": {APP: {"f:volumeMounts": MOUNT}}}))], id="only-whole-items-are-claimed"
        ),
        pytest.param([entry(pod({"f:containers": {APP: {}}}), manager="kubectl")], id="the-claims-are-another-s"),
        pytest.param([entry(pod({"f:containers": {APP: {}}}), subresource="status")], id="another-subresource"),
    ],
)
def test_nothing_to_give_back_is_no_patch(entries: list[Json]) -> None:
    assert trimmed_claims(body(*entries)) is None


ENVOY = 'k:{"name":"envoy"}'
CLAIM: Json = {".": {}, "f:image": {}, "f:name": {}}
AWAITED: Json = {**CLAIM, "f:restartPolicy": {}, "f:terminationMessagePath": {}}
GIVEN: Json = {**CLAIM, "f:restartPolicy": {}}


def applied(*claimed: str, by: str = "kubectl", **facts: Any) -> Json:
    return entry(pod({"f:containers": dict.fromkeys(claimed, CLAIM)}), manager=by, operation="Apply", **facts)


def converted(*entries: Json, sidecar: Json = AWAITED) -> Json:
    return body(*entries, entry(pod({"f:initContainers": {ENVOY: sidecar}})))


def after(patched: Json, before: Json | None) -> list[Json]:
    """The fields of all entries after the patch."""
    entries = [one["fieldsV1"]["f:spec"]["f:template"]["f:spec"] for one in patched["metadata"]["managedFields"]]
    for op in trimmed_claims(patched, before) or []:
        if op["op"] == "replace":
            index = int(op["path"].split("/")[3])
            entries[index] = op["value"].get("f:spec", {}).get("f:template", {}).get("f:spec", {})
    return entries


def before(*entries: Json) -> Json:
    return body(*entries, containers=("app", "envoy"))


@pytest.mark.parametrize(
    ("now", "earlier", "claims", "sidecar"),
    [
        pytest.param(
            converted(applied(APP)), before(applied(APP, ENVOY)), [{APP, ENVOY}], GIVEN, id="it-is-given-back"
        ),
        pytest.param(
            converted(applied(APP), applied(APP, by="ci"), applied(APP, by="cd")),
            before(applied(APP, ENVOY), applied(APP, by="ci"), applied(APP, ENVOY, by="cd")),
            [{APP, ENVOY}, {APP}, {APP, ENVOY}],
            GIVEN,
            id="to-all-who-had-it",
        ),
        pytest.param(converted(applied()), before(applied(ENVOY)), [{ENVOY}], GIVEN, id="to-one-who-has-nothing-else"),
        pytest.param(
            converted(applied(APP, time="U")),
            before(applied(APP, ENVOY)),
            [{APP}],
            AWAITED,
            id="not-if-they-applied-since",
        ),
        pytest.param(converted(applied(APP)), before(applied(APP)), [{APP}], AWAITED, id="not-if-nobody-had-it"),
        pytest.param(converted(applied(APP)), None, [{APP}], AWAITED, id="not-if-nobody-knows-who-had-it"),
        pytest.param(
            converted(applied(APP), sidecar=GIVEN), None, [{APP}], GIVEN, id="not-again-after-its-author-gave-it-up"
        ),
        pytest.param(converted(applied(APP, ENVOY)), None, [{APP, ENVOY}], GIVEN, id="not-needed-if-applied-again"),
    ],
)
def test_claims_on_a_converted_container_are_given_back(
    now: Json, earlier: Json | None, claims: list[set[str]], sidecar: Json
) -> None:
    *others, ours = after(now, earlier)

    assert [set(one.get("f:containers", {})) for one in others] == claims
    assert ours == {"f:initContainers": {ENVOY: sidecar}}


def test_who_applies_only_its_resources_would_not_remove_it() -> None:
    sizer = entry(pod({"f:containers": {ENVOY: {"f:resources": {}}}}), manager="sizer", operation="Apply")
    lost = entry(pod({}), manager="sizer", operation="Apply")
    theirs, ours = after(converted(lost), before(sizer))

    assert theirs == {"f:containers": {ENVOY: {"f:resources": {}}}}
    assert ours == {"f:initContainers": {ENVOY: AWAITED}}


def test_a_container_that_came_back_is_all_its_authors() -> None:
    claim = {**CLAIM, "f:env": {'k:{"name":"A"}': {".": {}, "f:value": {}}}}
    now = body(applied(APP), entry(pod({"f:containers": {ENVOY: claim}})), containers=("app", "envoy"))
    theirs, ours = after(now, body(applied(APP, ENVOY)))

    assert theirs == {"f:containers": {APP: CLAIM, ENVOY: CLAIM}}
    assert ours == {}


def test_a_client_side_apply_keeps_no_claim_on_what_its_own_request_has_moved() -> None:
    fields = pod({"f:containers": {APP: CLAIM, ENVOY: CLAIM}, "f:volumes": MOUNT})
    others = [
        entry(fields, manager="kubectl", operation="Apply"),
        entry(fields, manager="kubectl-replace"),
        entry(pod({"f:containers": {APP: CLAIM}}), manager="kubectl-client-side-apply"),
    ]
    sent = body(*others, entry(fields, manager="kubectl-client-side-apply"), containers=("app",))

    assert list(unmoved_claims(sent, {"envoy"})) == [
        {
            "op": "replace",
            "path": "/metadata/managedFields/3/fieldsV1",
            "value": pod({"f:containers": {APP: CLAIM}, "f:volumes": MOUNT}),
        }
    ]
    assert list(unmoved_claims(sent, set())) == []


def test_claims_on_what_did_not_move_are_not_ours_to_give() -> None:
    now = converted(applied(), applied(APP, ENVOY, by="ci"), sidecar=GIVEN)

    assert trimmed_claims(now, before(applied(APP), applied(APP, ENVOY, by="ci"))) is None
