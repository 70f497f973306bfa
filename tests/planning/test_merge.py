"""How a value of ours meets the one that is there."""

from __future__ import annotations

from typing import Any

import pytest

from sidecarpolicy.planning.template.merge import covers, merged, merged_volume, same_order

A, B = {"name": "A", "value": "1"}, {"name": "B", "value": "2"}


@pytest.mark.parametrize(
    ("current", "ours", "previous", "wanted"),
    [
        pytest.param({"image": "x:1"}, {"image": "x:2"}, {"image": "x:1"}, {"image": "x:2"}, id="ours-wins"),
        pytest.param({"a": 1, "theirs": 2}, {"a": 1}, {"a": 1}, {"a": 1, "theirs": 2}, id="fields-of-others-stay"),
        pytest.param({"a": 1, "b": 2}, {"a": 1}, {"a": 1, "b": 2}, {"a": 1}, id="what-ours-said-before-goes"),
        pytest.param({}, {"a": False, "b": 0}, {}, {"a": False, "b": 0}, id="a-zero-that-is-stored-is-written"),
        pytest.param({"s": {"x": 1}}, {"s": {"y": 2}}, {}, {"s": {"x": 1, "y": 2}}, id="maps-meet-key-by-key"),
        pytest.param({"args": ["a"]}, {"args": ["a", "b"]}, {}, {"args": ["a", "b"]}, id="a-longer-list-replaces"),
        pytest.param({"args": ["a", "x"]}, {"args": ["a", "b"]}, {}, {"args": ["a", "b"]}, id="an-atomic-list-is-ours"),
        pytest.param({"env": [B, A]}, {"env": [A]}, {"env": [A]}, {"env": [B, A]}, id="items-of-others-stay-in-place"),
        pytest.param({"env": [A, B]}, {"env": [A]}, {"env": [A, B]}, {"env": [A]}, id="items-we-no-longer-want-go"),
        pytest.param({"env": [B, A]}, {"env": [A, B]}, {}, {"env": [A, B]}, id="ours-in-our-order"),
        pytest.param(
            {"env": [{"name": "A", "value": "x"}]},
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]},
            {},
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]},
            id="a-value-gives-way-to-a-source",
        ),
        pytest.param(
            {"startupProbe": {"exec": {"command": ["x"]}, "periodSeconds": 10}},
            {"startupProbe": {"tcpSocket": {"port": 1}}},
            {},
            {"startupProbe": {"tcpSocket": {"port": 1}, "periodSeconds": 10}},
            id="one-handler-only",
        ),
        pytest.param(
            {"ports": [{"containerPort": 53, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}]},
            {"ports": [{"containerPort": 53, "protocol": "UDP", "name": "dns"}]},
            {},
            {
                "ports": [
                    {"containerPort": 53, "protocol": "TCP"},
                    {"containerPort": 53, "protocol": "UDP", "name": "dns"},
                ]
            },
            id="ports-are-told-by-number-and-protocol",
        ),
        pytest.param(
            {"ports": [{"containerPort": 80, "protocol": "TCP"}]},
            {"ports": [{"containerPort": 80}]},
            {},
            {"ports": [{"containerPort": 80, "protocol": "TCP"}]},
            id="tcp-is-the-default",
        ),
        pytest.param(
            {"items": [{"key": "a", "mode": 256}]},
            {"items": [{"key": "a"}]},
            {"items": [{"key": "a", "mode": 256}]},
            {"items": [{"key": "a"}]},
            id="a-field-of-an-atomic-item-goes-when-ours-drops-it",
        ),
    ],
)
def test_ours_meets_what_is_there(current: Any, ours: Any, previous: Any, wanted: Any) -> None:
    assert merged(current, ours, previous) == wanted


@pytest.mark.parametrize(
    ("current", "ours", "covered"),
    [
        pytest.param({"a": 1, "b": 2}, {"a": 1}, True, id="more-than-ours"),
        pytest.param({"a": 1}, {"a": 1, "b": 2}, False, id="less-than-ours"),
        pytest.param({"a": 2}, {"a": 1}, False, id="another-value"),
        pytest.param({"env": [B, A]}, {"env": [A]}, True, id="an-item-among-others"),
        pytest.param({"env": [B, A]}, {"env": [A, B]}, False, id="the-order-of-variables-counts"),
    ],
)
def test_a_value_covers_ours_if_it_says_all_of_it(current: Any, ours: Any, covered: bool) -> None:
    assert covers(current, ours) is covered


def test_a_volume_of_another_source_is_replaced() -> None:
    current = {"name": "v", "emptyDir": {}}
    ours = {"name": "v", "configMap": {"name": "x"}}

    assert merged_volume(current, ours, {"name": "v", "emptyDir": {}}) == ours


def test_a_volume_keeps_what_the_api_server_filled_in() -> None:
    current = {"name": "v", "configMap": {"name": "x", "defaultMode": 420}}

    assert merged_volume(current, {"name": "v", "configMap": {"name": "x"}}, None) == current


def test_the_same_items_keep_the_order_they_have() -> None:
    assert same_order([B, A], [A, B], "name") == [B, A]
    assert same_order([B], [A, B], "name") == [A, B]
