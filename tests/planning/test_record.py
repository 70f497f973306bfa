"""The record: what every policy added to one workload."""

from __future__ import annotations

import pytest

from sidecarpolicy.planning.record import NOTHING, Part, Record, dump, parse

PART = Part(
    revision="r1",
    init_containers=("a", "b"),
    volumes=("v",),
    converted={"envoy": ("app",)},
    fills={"app": {"env": [{"name": "E", "value": "1"}], "resources": {"limits": {"cpu": "1"}}}},
)


def test_a_record_reads_as_it_was_written() -> None:
    record = Record("r1.r2", {"logs": PART, "cluster/mesh": Part("r2", volumes=("w",))})

    assert parse(dump(record)) == record


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param("{", id="cut-off"),
        pytest.param("[]", id="a-list"),
        pytest.param('"text"', id="a-text"),
        pytest.param("{}", id="without-a-revision"),
        pytest.param('{"revision":"r","policies":[]}', id="policies-as-a-list"),
        pytest.param('{"revision":"r","policies":{"a":{}}}', id="a-part-without-a-revision"),
        pytest.param('{"revision":"r","policies":{"a":null}}', id="a-part-that-is-null"),
        pytest.param('{"revision":"r","policies":{"a":{"revision":"x","containers":5}}}', id="fills-that-are-none"),
        pytest.param(
            '{"revision":"r","policies":{"a":{"revision":"x","containers":{"app":5}}}}', id="one-fill-that-is-none"
        ),
        pytest.param('{"revision":"r","policies":{"a":{"revision":"x","volumes":"v"}}}', id="volumes-as-a-text"),
        pytest.param(
            '{"revision":"r","policies":{"a":{"revision":"x","volumes":[1]}}}', id="a-volume-that-is-a-number"
        ),
        pytest.param('{"revision":"r","policies":{"a":{"revision":1}}}', id="a-revision-that-is-a-number"),
        pytest.param(
            '{"revision":"r","policies":{"a":{"revision":"x","containers":{"app":{"env":[{}]}}}}}',
            id="a-nameless-variable",
        ),
        pytest.param(
            '{"revision":"r","policies":{"a":{"revision":"x","containers":{"app":{"resources":{"limits":{"cpu":"x"}}}}}}}',
            id="an-amount-that-is-none",
        ),
        pytest.param(
            '{"revision":"r","policies":{"a":{"revision":"x","containers":{"app":{"readinessProbe":[]}}}}}',
            id="a-probe-as-a-list",
        ),
    ],
)
def test_a_record_that_somebody_broke_is_none(text: str | None) -> None:
    assert parse(text) is None


def test_the_same_work_of_another_revision_is_the_same_work() -> None:
    other = Part("r9", PART.init_containers, PART.volumes, PART.converted, PART.fills)

    assert PART.same_work(other)
    assert not PART.same_work(Part("r1", ("a",)))
    assert not PART.same_work(None)


def test_parts_can_be_left_to_the_author() -> None:
    record = Record("r1", {"a": PART, "b": PART})

    assert record.without(frozenset({"a"})).parts.keys() == {"b"}


def test_nothing_is_empty() -> None:
    assert not NOTHING.parts
    assert Part("r").is_empty
    assert not PART.is_empty
