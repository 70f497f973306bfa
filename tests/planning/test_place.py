"""Where our init containers and sidecars stand among the author's own."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from sidecarpolicy.planning.policy import Item
from sidecarpolicy.planning.template.place import Cycle, Placed, place


def one(name: str, owner: str = "p", **where: Any) -> Placed:
    item = Item(
        name=name,
        container={},
        position=where.get("position"),
        before=tuple(where.get("before", ())),
        after=tuple(where.get("after", ())),
    )
    return Placed(owner, item)


@pytest.mark.parametrize(
    ("author", "ours", "wanted"),
    [
        pytest.param("", [one("s")], "s", id="alone"),
        pytest.param("a b", [one("s")], "s a b", id="first-is-the-default"),
        pytest.param("a b", [one("s", position="First")], "s a b", id="first-stands-before-the-authors"),
        pytest.param("a b", [one("s", position="Last")], "a b s", id="last-stands-behind-the-authors"),
        pytest.param("a b c", [one("s", before=["b"])], "a s b c", id="directly-before-its-anchor"),
        pytest.param("a b c", [one("s", after=["b"])], "a b s c", id="directly-behind-its-anchor"),
        pytest.param("a b c", [one("s", before=["c", "b"])], "a s b c", id="before-all-of-its-anchors"),
        pytest.param("a b c", [one("s", after=["a", "b"])], "a b s c", id="behind-all-of-its-anchors"),
        pytest.param("a b c", [one("s", after=["a"], before=["c"])], "a s b c", id="between-its-anchors"),
        pytest.param("a", [one("s", before=["gone"])], "s a", id="a-missing-anchor-before-is-ignored"),
        pytest.param("a", [one("s", after=["gone"])], "s a", id="a-missing-anchor-after-is-ignored"),
        pytest.param("a b", [one("s", after=["gone", "a"])], "a s b", id="the-anchor-that-is-there-counts"),
        pytest.param("a", [one("s"), one("t")], "s t a", id="several-first-stand-as-listed"),
        pytest.param(
            "a", [one("s", position="Last"), one("t", position="Last")], "a s t", id="several-last-stand-as-listed"
        ),
        pytest.param("a", [one("s", after=["t"]), one("t")], "t s a", id="anchored-to-one-of-ours"),
        pytest.param("a", [one("s"), one("t", before=["s"])], "t s a", id="before-one-of-ours-that-is-first"),
        pytest.param("a", [one("s", position="Last"), one("t", after=["s"])], "a s t", id="after-one-that-is-last"),
        pytest.param(
            "a b",
            [one("t", before=["s"]), one("s", before=["b"])],
            "t a s b",
            id="before-one-that-hangs-before-an-anchor",
        ),
        pytest.param(
            "schema-check",
            [one("vault-agent", before=["schema-check"]), one("envoy", after=["vault-agent", "schema-check"])],
            "vault-agent schema-check envoy",
            id="vault-agent-then-the-apps-check-then-envoy",
        ),
        pytest.param(
            "m1 m2",
            [one("late", after=["m2"], before=["x"]), one("early", after=["m1"], before=["m2"])],
            "m1 early m2 late",
            id="an-anchor-that-two-share-orders-them",
        ),
        pytest.param("a b", [one("s", after=["b"]), one("t", before=["a"])], "t a b s", id="later-wishes-listed-first"),
        pytest.param(
            "",
            [one("s", after=["x"], before=["y"]), one("t", after=["y"], before=["x"])],
            "s t",
            id="a-cycle-through-anchors-that-are-missing-is-none",
        ),
    ],
)
def test_ours_stand_where_they_are_wanted(author: str, ours: list[Placed], wanted: str) -> None:
    assert place(author.split(), ours) == wanted.split()


@pytest.mark.parametrize(
    ("author", "ours", "owners"),
    [
        pytest.param(
            "", [one("s", "p", before=["t"]), one("t", "q", before=["s"])], ("p", "q"), id="each-before-the-other"
        ),
        pytest.param(
            "", [one("s", "p", after=["t"]), one("t", "q", after=["s"])], ("p", "q"), id="each-after-the-other"
        ),
        pytest.param("a b", [one("s", "p", after=["b"], before=["a"])], ("p",), id="against-the-authors-order"),
        pytest.param(
            "a",
            [one("s", "p", position="First"), one("t", "q", after=["a"], before=["s"])],
            ("p", "q"),
            id="before-what-is-first",
        ),
        pytest.param(
            "",
            [one("s", "p", after=["u"]), one("t", "q", after=["s"]), one("u", "r", after=["t"]), one("v", "x")],
            ("p", "q", "r"),
            id="three-in-a-ring-and-one-beside",
        ),
        pytest.param(
            "a b",
            [one("s", "p", after=["b"]), one("t", "q", after=["s"], before=["a"])],
            ("p", "q"),
            id="through-an-anchor",
        ),
    ],
)
def test_wishes_that_cannot_be_met_name_their_policies(
    author: str, ours: list[Placed], owners: tuple[str, ...]
) -> None:
    placed = place(author.split(), ours)

    assert isinstance(placed, Cycle)
    assert set(placed.owners) == set(owners)


OURS = [
    one("first"),
    one("last", position="Last"),
    one("before-b", before=["b"]),
    one("after-a", after=["a"]),
    one("between", after=["a"], before=["c"]),
    one("with-first", after=["first"]),
]


def test_ours_keep_their_order_whatever_the_author_has() -> None:
    authors = [order for size in range(4) for order in itertools.permutations("abc", size)]
    orders = set()
    for author in authors:
        placed = place(author, OURS)
        if not isinstance(placed, Cycle):
            orders.add(tuple(name for name in placed if name not in author))

            assert [name for name in placed if name in author] == list(author)

    assert orders == {("first", "before-b", "between", "after-a", "with-first", "last")}


def test_the_order_of_policies_decides_at_one_place() -> None:
    assert place(["a"], [one("z", "p"), one("b", "q")]) == ["z", "b", "a"]
