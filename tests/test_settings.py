"""Where a setting comes from."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sidecarpolicy.settings import Settings, variable


def test_defaults_serve() -> None:
    settings = Settings.read({})

    assert (settings.namespace, settings.writers, settings.log_format) == ("sidecarpolicy-system", 8, "auto")


def test_a_flag_wins_over_the_environment() -> None:
    settings = Settings.read({"SIDECARPOLICY_WRITERS": "4", "SIDECARPOLICY_LOG_LEVEL": "debug"}, writers=2, watch=None)

    assert (settings.writers, settings.log_level, settings.watch) == (2, "debug", "auto")


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_has_a_variable_and_a_sentence(field: str) -> None:
    assert variable(field) == f"SIDECARPOLICY_{field.upper()}"
    assert (Settings.model_fields[field].description or "").endswith(".")


def test_an_empty_variable_says_nothing() -> None:
    assert Settings.read({"SIDECARPOLICY_WRITERS": ""}).writers == 8


def test_a_pod_knows_its_namespace() -> None:
    assert Settings.read({"POD_NAMESPACE": "platform"}).namespace == "platform"
    assert Settings.read({"POD_NAMESPACE": "platform"}, namespace="other").namespace == "other"


def test_the_help_says_where_our_namespace_is_read() -> None:
    assert "$POD_NAMESPACE" in (Settings.model_fields["namespace"].description or "")


def test_no_policy_acts_in_the_systems_namespaces_our_own_and_those_named() -> None:
    settings = Settings.read({"SIDECARPOLICY_EXCLUDE_NAMESPACES": "vault, istio-system"}, namespace="ours")

    assert settings.excluded == {"kube-system", "kube-public", "kube-node-lease", "ours", "vault", "istio-system"}


@pytest.mark.parametrize(
    ("watch", "version", "streams"),
    [
        pytest.param("auto", (1, 33), False, id="older-api-servers-are-asked-in-pages"),
        pytest.param("auto", (1, 34), True, id="newer-ones-stream"),
        pytest.param("chunked", (1, 36), False, id="pages-if-asked-for"),
        pytest.param("streaming", (1, 31), True, id="streams-if-asked-for"),
    ],
)
def test_how_the_first_look_is_taken(watch: str, version: tuple[int, int], streams: bool) -> None:
    assert Settings.read({}, watch=watch).is_streaming(version) is streams


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("writers", "0", id="no-writer"),
        pytest.param("writers", "many", id="no-number"),
        pytest.param("health_port", "70000", id="no-port"),
        pytest.param("log_format", "xml", id="no-format"),
        pytest.param("watch", "poll", id="no-way-to-watch"),
    ],
)
def test_nonsense_is_refused_by_name(field: str, value: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.read({variable(field): value})

    assert [error["loc"] for error in caught.value.errors()] == [(field,)]
