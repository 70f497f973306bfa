"""What the author of a workload wrote, as far as it can be told from outside the template."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecarpolicy.planning.authorship import Author

Json = dict[str, Any]

MANIFEST = {
    "containers": [
        {
            "name": "app",
            "resources": {"limits": {"memory": "256Mi"}},
            "env": [{"name": "A"}],
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        }
    ],
    "initContainers": [{"name": "migrate"}],
    "volumes": [{"name": "v"}],
}
OWNED = {
    "f:containers": {
        'k:{"name":"app"}': {
            "f:resources": {"f:limits": {"f:memory": {}}},
            "f:env": {'k:{"name":"A"}': {".": {}}},
            "f:volumeMounts": {'k:{"mountPath":"/v"}': {".": {}}},
        }
    },
    "f:initContainers": {'k:{"name":"migrate"}': {}},
    "f:volumes": {'k:{"name":"v"}': {}},
}


def by_manifest(spec: Any, path: tuple[str, ...] = ("spec", "template")) -> Author:
    for step in reversed((*path, "spec")):
        spec = {step: spec}
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(spec)}
    return Author({"metadata": {"annotations": annotations}}, path)


def by_fields(owned: Json, manager: str = "kubectl", operation: str = "Apply") -> Author:
    entry = {"manager": manager, "operation": operation, "fieldsV1": {"f:spec": {"f:template": {"f:spec": owned}}}}
    return Author({"metadata": {"managedFields": [entry]}}, ("spec", "template"))


@pytest.mark.parametrize("author", [by_manifest(MANIFEST), by_fields(OWNED)], ids=["client-side", "server-side"])
def test_what_the_author_applied_is_the_authors(author: Author) -> None:
    assert author.wrote("app", "resources", "limits", "memory")
    assert author.wrote("app", "env", "A")
    assert author.wrote("app", "volumeMounts", "/v")
    assert author.lists("initContainers", "migrate")
    assert author.lists("volumes", "v")


@pytest.mark.parametrize("author", [by_manifest(MANIFEST), by_fields(OWNED)], ids=["client-side", "server-side"])
def test_what_the_author_did_not_apply_is_not(author: Author) -> None:
    assert not author.wrote("app", "resources", "limits", "cpu")
    assert not author.wrote("app", "env", "B")
    assert not author.wrote("web", "resources", "limits", "memory")
    assert not author.lists("initContainers", "app")
    assert not author.lists("volumes", "logs")


@pytest.mark.parametrize(
    "author",
    [
        pytest.param(Author({}, ("spec", "template")), id="nothing-known"),
        pytest.param(by_manifest([1, 2]), id="a-manifest-of-another-shape"),
        pytest.param(by_manifest({"volumes": [None, 3, "v"]}), id="items-of-another-shape"),
        pytest.param(by_fields(OWNED, operation="Update"), id="an-update-may-bring-ours-back"),
        pytest.param(by_fields(OWNED, manager="sidecarpolicy"), id="our-own-fields"),
    ],
)
def test_everything_else_is_no_evidence(author: Author) -> None:
    assert not author.wrote("app", "resources", "limits", "memory")
    assert not author.lists("volumes", "v")
    assert not author.removed("envoy")


@pytest.mark.parametrize("text", ["{", "[]", '"x"', "null"])
def test_an_annotation_that_somebody_broke_is_no_evidence(text: str) -> None:
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": text}

    assert not Author({"metadata": {"annotations": annotations}}, ("spec", "template")).wrote("app", "image")


def test_a_cron_jobs_template_lies_deeper() -> None:
    path = ("spec", "jobTemplate", "spec", "template")

    assert by_manifest(MANIFEST, path).wrote("app", "resources", "limits", "memory")
