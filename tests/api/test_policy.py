"""A policy as it is read: defaults, places, times and what is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from sidecarpolicy.api.policy import ClusterPolicySpec, LabelSelector, Placed, PolicySpec, Rollout, parse_duration


def read(**fields: Any) -> PolicySpec:
    return PolicySpec.model_validate({"selector": {}, **fields})


def test_what_is_not_said_has_its_default() -> None:
    spec = read()

    assert spec.kinds == ["Deployment", "StatefulSet", "Job"]
    assert (spec.priority, spec.mode, spec.paused, spec.deletion) == (0, "Enforce", False, "Restore")
    assert spec.rollout == Rollout(maxConcurrent=10, progressDeadline="10m")
    assert [spec.sidecars, spec.initContainers, spec.convert, spec.volumes, spec.containers] == [[]] * 5


def test_a_cluster_wide_policy_acts_in_every_namespace_by_default() -> None:
    assert ClusterPolicySpec.model_validate({"selector": {}}).namespaceSelector == LabelSelector()


def test_fields_of_containers_stay_as_written_whatever_they_are() -> None:
    container = {"name": "shipper", "image": "x", "env": [{"name": "A"}], "aFieldOfTomorrow": {"deep": [1]}}
    spec = read(sidecars=[{**container, "before": ["migrate"]}])

    assert spec.sidecars[0].container == container
    assert spec.sidecars[0].before == ["migrate"]


def test_a_place_is_no_part_of_the_container() -> None:
    placed = Placed.model_validate({"name": "shipper", "position": "Last", "before": [], "after": ["a"]})

    assert placed.container == {"name": "shipper"}


@pytest.mark.parametrize(
    ("text", "time"),
    [
        pytest.param("30s", timedelta(seconds=30), id="seconds"),
        pytest.param("1h30m", timedelta(minutes=90), id="hours-and-minutes"),
        pytest.param("1500ms", timedelta(seconds=1.5), id="thousandths"),
        pytest.param("0h5m", timedelta(minutes=5), id="a-part-may-be-nothing"),
    ],
)
def test_a_time_is_read(text: str, time: timedelta) -> None:
    assert parse_duration(text) == time


@pytest.mark.parametrize(
    "text", ["", "10", "m", "1d", "5 minutes", "-5m", "1.5h", "0s", "99999999999h", "10mx", "x10m"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="give a time such as 30s, 10m or 1h30m"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("fields", "where", "message"),
    [
        pytest.param({"selector": None}, ("selector",), "valid dictionary", id="no-selector"),
        pytest.param({"kinds": ["Pod"]}, ("kinds", 0), "Input should be 'Deployment'", id="unknown-kind"),
        pytest.param({"kinds": []}, ("kinds",), "at least 1 item", id="no-kinds"),
        pytest.param({"rolout": {}}, ("rolout",), "Extra inputs", id="unknown-field"),
        pytest.param(
            {"convert": [{"name": "a", "image": "x"}]}, ("convert", 0, "image"), "Extra", id="converted-image"
        ),
        pytest.param({"sidecars": [{"name": "A_B"}]}, ("sidecars", 0, "name"), "match pattern", id="no-dns-label"),
        pytest.param(
            {"rollout": {"progressDeadline": "soon"}}, ("rollout", "progressDeadline"), "give a time such as", id="time"
        ),
        pytest.param(
            {"sidecars": [{"name": "a", "resources": {"limits": {"cpu": "1x"}}}]},
            ("sidecars", 0),
            "resources.limits.cpu: '1x' is not a quantity",
            id="sidecar-quantity",
        ),
        pytest.param(
            {"containers": [{"names": ["*"], "resources": {"requests": {"cpu": True}}}]},
            ("containers", 0, "resources"),
            "requests.cpu: True is not a quantity",
            id="filled-quantity",
        ),
        pytest.param(
            {"volumes": [{"name": "a", "emptyDir": {"sizeLimit": "1 Gi"}}]},
            ("volumes", 0),
            "emptyDir.sizeLimit: '1 Gi' is not a quantity",
            id="size-limit",
        ),
        pytest.param(
            {"volumes": [{"name": "a", "ephemeral": {"spec": [{"requests": {"storage": "x"}}]}}]},
            ("volumes", 0),
            "ephemeral.spec[0].requests.storage: 'x' is not a quantity",
            id="quantity-deep-within",
        ),
    ],
)
def test_a_bad_policy_is_refused_where_it_is_bad(fields: Any, where: tuple[str | int, ...], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        read(**fields)

    (error,) = refused.value.errors()
    assert error["loc"] == where
    assert message in error["msg"]


@pytest.mark.parametrize("wanted", [0, "0%", "101%", "25", "%", -1])
def test_what_may_be_in_flux_is_a_number_or_a_percentage(wanted: object) -> None:
    with pytest.raises(ValidationError):
        read(rollout={"maxConcurrent": wanted})
