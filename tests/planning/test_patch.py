"""The JSON Patch that brings a workload to the template wanted."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonpatch
import pytest

from builders import container, cron_job, deployment, stateful_set
from serving import RefusedError, written
from sidecarpolicy.api import names
from sidecarpolicy.planning import patch
from sidecarpolicy.planning.patch import Change
from sidecarpolicy.planning.workload import KINDS, ref_of, template_of

Json = dict[str, Any]

SIDECAR = {"name": "shipper", "image": "shipper:1", "restartPolicy": "Always"}


def change(body: Json, wanted: Json, record: str | None = "the record") -> Change:
    return patch.change(ref_of(body), body, template_of(body), wanted, record)


def with_sidecar(body: Json) -> Json:
    wanted = copy.deepcopy(template_of(body))
    wanted["spec"]["initContainers"] = [SIDECAR, *wanted["spec"].get("initContainers", [])]
    return wanted


def ops(made: Change) -> list[Json]:
    parsed: list[Json] = json.loads(made.body)
    return [op for op in parsed if op["op"] != "test"]


@pytest.mark.parametrize("make", [deployment, stateful_set, cron_job])
@pytest.mark.parametrize("annotations", [None, {"a/b~c": "d"}], ids=["without-annotations", "with-annotations"])
def test_the_patch_gives_the_wanted_body(make: Any, annotations: Json | None) -> None:
    body = make(annotations=annotations)
    wanted = with_sidecar(body)
    after = written(body, change(body, wanted))

    assert template_of(after)["spec"]["initContainers"][0]["name"] == "shipper"
    assert after["metadata"]["annotations"] == {**(annotations or {}), names.RECORD_ANNOTATION: "the record"}


def test_a_patch_says_only_what_changes() -> None:
    body = deployment()
    wanted = copy.deepcopy(template_of(body))
    wanted["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "1"}}

    assert ops(change(body, wanted, None)) == [
        {"op": "add", "path": "/spec/template/spec/containers/0/resources/limits", "value": {"cpu": "1"}}
    ]


@pytest.mark.parametrize(
    ("current", "wanted"),
    [
        pytest.param({"a": 1}, {"a": 2}, id="a-value"),
        pytest.param({"a": 1}, {}, id="a-removed-key"),
        pytest.param({}, {"a/b": {"~": 1}}, id="escaped-keys"),
        pytest.param({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "d": 3}}, id="keys-below"),
        pytest.param({"l": [{"name": "x", "v": 1}]}, {"l": [{"name": "x", "v": 2}]}, id="an-item-by-name"),
        pytest.param({"l": [{"name": "x"}]}, {"l": [{"name": "y"}, {"name": "x"}]}, id="another-item"),
        pytest.param({"l": [{"name": "x"}, {"name": "y"}]}, {"l": [{"name": "y"}, {"name": "x"}]}, id="another-order"),
        pytest.param({"l": ["a"]}, {"l": ["a", "b"]}, id="texts"),
        pytest.param({"l": []}, {"l": [{"name": "a"}]}, id="from-empty"),
        pytest.param({"a": {"b": 1}}, {"a": [1]}, id="another-kind-of-value"),
        pytest.param({"a": None}, {"a": {}}, id="a-null"),
    ],
)
def test_a_difference_applied_is_what_is_wanted(current: Json, wanted: Json) -> None:
    steps = list(patch.difference(current, wanted, ""))

    assert jsonpatch.apply_patch(current, steps) == wanted


def test_no_difference_is_no_step() -> None:
    assert not list(patch.difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}, ""))


def _generation(body: Json) -> None:
    body["metadata"]["generation"] += 1


def _labels(body: Json) -> None:
    body["metadata"]["labels"] = {"new": "label"}


def _opt_out(body: Json) -> None:
    body["metadata"]["annotations"] = {**body["metadata"].get("annotations", {}), names.INJECT_ANNOTATION: "false"}


def _recreated(body: Json) -> None:
    body["metadata"]["uid"] = "another"


def _first_annotation(body: Json) -> None:
    body["metadata"].setdefault("annotations", {})["other"] = "x"


@pytest.mark.parametrize(
    ("body", "foreign"),
    [
        pytest.param(deployment(), _generation, id="the-spec-was-written"),
        pytest.param(deployment(), _labels, id="a-first-label"),
        pytest.param(deployment(labels={"a": "b"}), _labels, id="another-label"),
        pytest.param(stateful_set(), _opt_out, id="the-owner-opted-out"),
        pytest.param(stateful_set(annotations={"a": "b"}), _opt_out, id="the-owner-opted-out-beside-annotations"),
        pytest.param(deployment(), _recreated, id="another-object-of-that-name"),
        pytest.param(stateful_set(), _first_annotation, id="the-first-annotation-of-another"),
    ],
)
def test_a_guard_stops_the_patch_after_a_foreign_write(body: Json, foreign: Any) -> None:
    made = change(body, with_sidecar(body))
    after = copy.deepcopy(body)
    foreign(after)

    with pytest.raises(RefusedError):
        written(after, made)


def test_another_annotation_beside_the_ones_there_is_kept() -> None:
    body = stateful_set(annotations={"a": "b"})
    made = change(body, with_sidecar(body))
    _first_annotation(body)

    assert written(body, made)["metadata"]["annotations"]["other"] == "x"


def test_a_record_that_is_as_wanted_is_not_written() -> None:
    body = deployment(annotations={names.RECORD_ANNOTATION: "the record"})

    assert not [op for op in ops(change(body, with_sidecar(body))) if "metadata/annotations" in op["path"]]


def test_a_record_of_nothing_is_removed() -> None:
    body = deployment(annotations={names.RECORD_ANNOTATION: "the record"})
    made = change(body, template_of(body), None)

    assert [op["op"] for op in ops(made)] == ["remove"]
    assert not made.restarts
    assert not made.fills


def test_writing_into_the_authors_containers_is_said() -> None:
    body = deployment()
    filled = copy.deepcopy(template_of(body))
    filled["spec"]["containers"][0]["env"] = [{"name": "A", "value": "1"}]

    assert change(body, filled).fills
    assert not change(body, with_sidecar(body)).fills
    assert change(body, filled).restarts


def test_moving_a_container_is_said() -> None:
    body = deployment(containers=[container("app"), container("envoy")])
    wanted = copy.deepcopy(template_of(body))
    wanted["spec"]["initContainers"] = [{**wanted["spec"]["containers"].pop(), "restartPolicy": "Always"}]

    assert change(body, wanted).moves
    assert not change(body, with_sidecar(body)).moves


def test_every_kind_has_its_template() -> None:
    assert KINDS["CronJob"].template == ("spec", "jobTemplate", "spec", "template")
