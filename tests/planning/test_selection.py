"""Which policies act on a workload, and in what order."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from builders import policy, read
from sidecarpolicy.api.policy import LabelSelector
from sidecarpolicy.planning.selection import acts_on, chooses, in_order, matches
from sidecarpolicy.planning.workload import Ref

WEB = Ref("Deployment", "shop", "web")


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        pytest.param({}, {}, True, id="an-empty-selector-selects-all"),
        pytest.param({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True, id="the-label-is-there"),
        pytest.param({"matchLabels": {"a": "1"}}, {"a": "2"}, False, id="the-label-has-another-value"),
        pytest.param({"matchLabels": {"a": "1", "b": "2"}}, {"a": "1"}, False, id="every-label-is-needed"),
        pytest.param(("In", ["1", "2"]), {"a": "2"}, True, id="in-one-of-the-values"),
        pytest.param(("In", ["1", "2"]), {}, False, id="in-needs-the-label"),
        pytest.param(("NotIn", ["1"]), {"a": "2"}, True, id="not-in-takes-another-value"),
        pytest.param(("NotIn", ["1"]), {}, True, id="not-in-takes-a-missing-label"),
        pytest.param(("NotIn", ["1"]), {"a": "1"}, False, id="not-in-refuses-the-value"),
        pytest.param(("Exists", []), {"a": ""}, True, id="exists-takes-an-empty-value"),
        pytest.param(("Exists", []), {}, False, id="exists-needs-the-label"),
        pytest.param(("DoesNotExist", []), {}, True, id="does-not-exist-takes-a-missing-label"),
        pytest.param(("DoesNotExist", []), {"a": "1"}, False, id="does-not-exist-refuses-the-label"),
    ],
)
def test_a_selector_selects_as_kubernetes_does(selector: Any, labels: dict[str, str], selected: bool) -> None:
    if isinstance(selector, tuple):
        operator, values = selector
        selector = {"matchExpressions": [{"key": "a", "operator": operator, "values": values}]}

    assert matches(LabelSelector.model_validate(selector), labels) is selected


@pytest.mark.parametrize(
    ("body", "namespace_labels", "acts"),
    [
        pytest.param(policy(), {}, True, id="a-policy-acts-in-its-own-namespace"),
        pytest.param(policy(namespace="other"), {}, False, id="a-policy-acts-in-no-other-namespace"),
        pytest.param(policy(kinds=["Job"]), {}, False, id="only-on-its-kinds"),
        pytest.param(policy(selector={"matchLabels": {"x": "y"}}), {}, False, id="only-on-what-it-selects"),
        pytest.param(policy(namespace=""), {}, True, id="a-cluster-policy-acts-everywhere"),
        pytest.param(
            policy(namespace="", namespaceSelector={"matchLabels": {"team": "a"}}),
            {"team": "a"},
            True,
            id="by-namespace",
        ),
        pytest.param(
            policy(namespace="", namespaceSelector={"matchLabels": {"team": "a"}}),
            {"team": "b"},
            False,
            id="not-in-a-namespace-that-is-not-selected",
        ),
    ],
)
def test_a_policy_acts_on_what_it_selects(body: Any, namespace_labels: dict[str, str], acts: bool) -> None:
    assert acts_on(read(body)[0], WEB, {}, namespace_labels) is acts


def test_priority_then_cluster_then_name_decide_whatever_the_order_given() -> None:
    policies = read(
        policy("late", priority=-1),
        policy("b"),
        policy("a"),
        policy("z", namespace=""),
        policy("urgent", priority=10),
    )
    wanted = ["urgent", "z", "a", "b", "late"]

    for order in itertools.permutations(policies):
        assert [one.ref.name for one in in_order(order)] == wanted


@pytest.mark.parametrize(
    ("globs", "name", "chosen"),
    [
        pytest.param(["*"], "app", True, id="a-star-chooses-all"),
        pytest.param(["app"], "app", True, id="a-name-chooses-itself"),
        pytest.param(["app"], "app-2", False, id="a-name-chooses-nothing-else"),
        pytest.param(["web-*"], "web-1", True, id="a-glob-chooses-by-its-beginning"),
        pytest.param(["a?p"], "app", True, id="a-question-mark-is-one-letter"),
        pytest.param(["x", "app"], "app", True, id="one-of-several-is-enough"),
        pytest.param([], "app", False, id="none-chooses-nothing"),
    ],
)
def test_globs_choose_containers(globs: list[str], name: str, chosen: bool) -> None:
    assert chooses(globs, name) is chosen
