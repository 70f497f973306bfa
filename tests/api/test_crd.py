"""The CRDs are current, agree with the models and are small enough to be applied."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from sidecarpolicy.api import crd, policy, status

ROOT = Path(__file__).parents[2]
LARGEST_ANNOTATION = 262144
"""Bytes: client-side apply keeps the whole manifest in one."""

POLICY = crd.policy_crd()
CLUSTER_POLICY = crd.cluster_policy_crd()
BOTH = [pytest.param(POLICY, id="namespaced"), pytest.param(CLUSTER_POLICY, id="cluster-wide")]

Json = dict[str, Any]


def at(definition: Json, path: str) -> Json:
    """The schema of a field, by a path such as spec.sidecars[].name."""
    schema: Json = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for step in path.split("."):
        schema = schema["properties"][step.removesuffix("[]")]
        schema = schema["items"] if step.endswith("[]") else schema
    return schema


def every_schema(schema: Json) -> Iterator[Json]:
    yield schema
    for child in schema.get("properties", {}).values():
        yield from every_schema(child)
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from every_schema(schema[key])


def test_the_committed_files_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    ended = crd.main(["--check", str(ROOT)])

    assert (ended, capsys.readouterr().out) == (0, "")


def test_a_file_that_is_not_current_is_told_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert crd.main(["--check", str(tmp_path)]) == 1
    assert capsys.readouterr().out.count("is not current: run `tox run -e crds`") == 3
    assert list(tmp_path.iterdir()) == []

    assert crd.main([str(tmp_path)]) == 0
    assert crd.main(["--check", str(tmp_path)]) == 0


@pytest.mark.parametrize("definition", BOTH)
def test_client_side_apply_can_keep_it(definition: Json) -> None:
    assert len(json.dumps(definition, separators=(",", ":"))) < LARGEST_ANNOTATION / 2


MODELS: list[tuple[str, type[BaseModel]]] = [
    ("spec", policy.PolicySpec),
    ("spec.selector", policy.LabelSelector),
    ("spec.selector.matchExpressions[]", policy.Requirement),
    ("spec.convert[]", policy.Converted),
    ("spec.containers[]", policy.Fill),
    ("spec.rollout", policy.Rollout),
    ("status", status.Status),
    ("status.conditions[]", status.Condition),
    ("status.blocks[]", status.Entry),
]


@pytest.mark.parametrize(("path", "model"), MODELS)
def test_schema_and_model_have_the_same_fields(path: str, model: type[BaseModel]) -> None:
    schema = at(POLICY, path)
    required = {name for name, field in model.model_fields.items() if field.is_required()}

    assert schema["properties"].keys() == model.model_fields.keys()
    assert set(schema.get("required", ())) == required


@pytest.mark.parametrize(("path", "model"), MODELS)
def test_schema_and_model_have_the_same_defaults(path: str, model: type[BaseModel]) -> None:
    schema = at(POLICY, path)["properties"]
    shown = {name: field["default"] for name, field in schema.items() if "default" in field}

    defaults = {name: field.default for name, field in model.model_fields.items() if not field.is_required()}
    # Nothing is the default of what is not shown; of an object the defaults within it are.
    wanted = {name: to_jsonable_python(value) for name, value in defaults.items() if value not in (None, [], {})}
    assert shown == {name: {} if isinstance(value, dict) else value for name, value in wanted.items()}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        pytest.param("spec.kinds", "Default: Deployment, StatefulSet, Job.", id="a-list"),
        pytest.param("spec.mode", "Default: Enforce.", id="a-word"),
        pytest.param("spec.priority", "Default: 0.", id="a-number"),
        pytest.param("spec.paused", "Default: false.", id="a-truth"),
    ],
)
def test_a_default_is_explained(path: str, said: str) -> None:
    assert at(POLICY, path)["description"].endswith(f". {said}")


def test_a_list_is_explained_once() -> None:
    schemas = list(every_schema(POLICY["spec"]["versions"][0]["schema"]["openAPIV3Schema"]))

    lists = [schema for schema in schemas if "items" in schema and "description" in schema]
    assert lists
    assert [schema for schema in lists if "description" in schema["items"]] == []


def test_the_cluster_wide_kind_has_one_field_more() -> None:
    ours, theirs = (at(one, "spec")["properties"].keys() for one in (CLUSTER_POLICY, POLICY))

    assert ours - theirs == {"namespaceSelector"}


@pytest.mark.parametrize("path", ["spec.sidecars[]", "spec.initContainers[]"])
def test_a_container_has_its_place_and_every_field_of_kubernetes(path: str) -> None:
    fields = at(POLICY, path)["properties"].keys()

    assert fields >= policy.Placed.model_fields.keys()
    assert fields >= {"image", "command", "args", "env", "envFrom", "ports", "securityContext", "volumeDevices"}


@pytest.mark.parametrize("definition", BOTH)
def test_every_schema_is_structural(definition: Json) -> None:
    schemas = list(every_schema(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]))

    strange = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "title", "x-core"}
    assert [schema for schema in schemas if strange & schema.keys()] == []
    assert [schema for schema in schemas if "type" not in schema and not schema["x-kubernetes-int-or-string"]] == []
