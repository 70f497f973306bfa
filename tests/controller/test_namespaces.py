"""What is known of namespaces, and when their workloads have to be looked at again."""

from __future__ import annotations

from typing import Any

import pytest

from sidecarpolicy.controller.namespaces import Namespaces

Json = dict[str, Any]


def namespace(uid: str = "first", **labels: str) -> Json:
    return {"metadata": {"name": "shop", "uid": uid, "labels": labels}}


@pytest.mark.parametrize(
    ("before", "after", "again"),
    [
        pytest.param(None, namespace(team="a"), False, id="a-new-one"),
        pytest.param(namespace(team="a"), namespace(team="a"), False, id="the-same-labels"),
        pytest.param(namespace(team="a"), namespace(team="b"), True, id="another-label"),
        pytest.param(namespace(team="a"), namespace("second"), True, id="made-anew-without-a-label"),
    ],
)
def test_workloads_are_looked_at_again_when_labels_change(before: Json | None, after: Json, again: bool) -> None:
    known = Namespaces()
    if before is not None:
        known.put(before)

    assert known.put(after) is again
    assert known.labels("shop") == after["metadata"]["labels"]


def test_a_namespace_that_is_not_known_has_unknown_labels_and_is_awaited_once() -> None:
    known = Namespaces()
    assert known.labels("shop") is None

    known.put(namespace())
    assert known.labels("shop") == {}
    assert [known.is_awaited("shop"), known.is_awaited("shop")] == [True, False]


def test_the_labels_of_one_that_is_gone_are_not_those_of_its_successor() -> None:
    known = Namespaces()
    known.put(namespace(team="a"))
    known.drop(namespace())

    assert known.labels("shop") is None


def test_an_end_that_is_heard_of_late_spares_the_successor() -> None:
    known = Namespaces()
    known.put(namespace("second", team="a"))
    known.drop(namespace("first"))

    assert known.labels("shop") == {"team": "a"}
