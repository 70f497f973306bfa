"""What we keep and what we give back of a container's fields."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.objects import Json
from sidecarpolicy.api.names import FIELD_MANAGER
from sidecarpolicy.cluster.claims import trimmed_claims

APP = 'k:{"name":"app"}'
MOUNT: Json = {'k:{"mountPath":"/logs"}': {".": {}, "f:mountPath": {}, "f:name": {}}}
SIDECARS: Json = {".": {}, 'k:{"name":"shipper"}': {".": {}, "f:name": {}, "f:resources": {}, "f:restartPolicy": {}}}


def pod(fields: Json) -> Json:
    return {"f:spec": {"f:template": {"f:spec": fields}}}


def entry(fields: Json, **facts: Any) -> Json:
    return {"manager": FIELD_MANAGER, "operation": "Update", "time": "T", "fieldsV1": fields, **facts}


def body(*entries: Json, kind: str = "Deployment") -> Json:
    return {"kind": kind, "metadata": {"uid": "U", "managedFields": list(entries)}}


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


def test_patch_is_guarded_against_a_moved_list() -> None:
    others = entry({}, manager="kubectl", operation="Apply")

    patch = trimmed_claims(body(others, entry(pod({"f:containers": {APP: {"f:image": {}}}}))))

    assert patch is not None
    assert patch[:-1] == [
        {"op": "test", "path": "/metadata/uid", "value": "U"},
        {"op": "test", "path": "/metadata/managedFields/1/manager", "value": FIELD_MANAGER},
        {"op": "test", "path": "/metadata/managedFields/1/operation", "value": "Update"},
        {"op": "test", "path": "/metadata/managedFields/1/time", "value": "T"},
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
