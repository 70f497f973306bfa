"""Laws that hold for every template, every policy and every edit of the author's."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import asking, deployment
from planning.strategies import Edit, edits, policies, templates
from serving import edited, written
from sidecarpolicy.api import quantity
from sidecarpolicy.planning.assess import Assessment, assess

Json = dict[str, Any]

LAW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
THREE = st.tuples(policies("a"), policies("b"), policies("c"))


def look(body: Json, *asked: Json, earlier: tuple[Json, ...] = ()) -> Assessment | None:
    return assess(body, asking(*asked, earlier=earlier, may_convert=True), {})


def settled(body: Json, *asked: Json, earlier: tuple[Json, ...] = ()) -> Json:
    """The workload when nothing more is to be written; one write has to be enough."""
    one = look(body, *asked, earlier=earlier)
    if one is None or one.change is None:
        return body
    return written(body, one.change)


def text(body: Json) -> str:
    return json.dumps(body["spec"], sort_keys=True)


@LAW
@given(templates(), THREE)
def test_applying_twice_changes_nothing(author: Json, three: tuple[Json, ...]) -> None:
    body = settled(deployment(**author), *three)
    again = look(body, *three)

    assert again is None or again.change is None


@LAW
@given(templates(), THREE)
def test_apply_then_undo_is_identity(author: Json, three: tuple[Json, ...]) -> None:
    body = deployment(**author)
    undone = settled(settled(body, *three), earlier=three)

    assert text(undone) == text(body)
    assert undone["metadata"].get("annotations") == body["metadata"].get("annotations")


@LAW
@given(templates(), THREE, edits())
def test_undo_after_the_authors_edits_is_the_edited_twin(author: Json, three: tuple[Json, ...], edit: Edit) -> None:
    twin = deployment(**author)
    undone = settled(edited(settled(twin, *three), edit), earlier=three)

    assert text(undone) == text(edited(twin, edit))


@LAW
@given(templates(), THREE, edits())
def test_one_write_is_enough_after_the_authors_edits_and_the_undo_still_exact(
    author: Json, three: tuple[Json, ...], edit: Edit
) -> None:
    twin = deployment(**author)
    body = settled(edited(settled(twin, *three), edit), *three)
    again = look(body, *three)

    assert again is None or again.change is None
    assert text(settled(body, earlier=three)) == text(edited(twin, edit))


@LAW
@given(templates(), THREE, edits())
def test_an_edit_then_injection_is_injection_then_an_edit(author: Json, three: tuple[Json, ...], edit: Edit) -> None:
    twin = deployment(**author)
    late = settled(edited(twin, edit), *three)
    early = settled(edited(settled(twin, *three), edit), *three)

    assert sorted_lists(late) == sorted_lists(early)


def sorted_lists(body: Json) -> str:
    """The spec as text, lists whose order means nothing sorted, without the marker."""
    spec = json.loads(text(body))["template"]["spec"]
    for one in spec["containers"]:
        for field, key in (("env", "name"), ("volumeMounts", "mountPath")):
            if field in one:
                one[field].sort(key=lambda item: item[key])
    spec.get("volumes", []).sort(key=lambda item: item["name"])
    return json.dumps(spec, sort_keys=True)


@LAW
@given(templates(), THREE)
def test_the_order_of_the_policies_given_does_not_matter(author: Json, three: tuple[Json, ...]) -> None:
    body = deployment(**author)
    results = {text(settled(body, *order)) for order in itertools.permutations(three)}

    assert len(results) == 1


@LAW
@given(templates(), THREE)
def test_removing_one_of_several_equals_never_having_had_it(author: Json, three: tuple[Json, ...]) -> None:
    body = deployment(**author)
    with_all = settled(body, *three)
    after = settled(with_all, *three[1:], earlier=three)
    never = settled(body, *three[1:])

    assert sorted_lists(after) == sorted_lists(never)
    assert text(settled(after, earlier=three)) == text(body)


@LAW
@given(templates(), policies("a"), policies("a"))
def test_a_new_revision_equals_having_had_it_from_the_start(author: Json, old: Json, new: Json) -> None:
    new["metadata"]["namespace"] = old["metadata"].get("namespace", "")
    new["kind"] = old["kind"]
    body = deployment(**author)
    updated = settled(settled(body, old), new, earlier=(old,))

    assert sorted_lists(updated) == sorted_lists(settled(body, new))


@LAW
@given(templates(), THREE)
def test_the_authors_values_never_change(author: Json, three: tuple[Json, ...]) -> None:
    body = deployment(**author)
    after = settled(body, *three)["spec"]["template"]["spec"]
    there = {one["name"]: one for one in (*after["containers"], *after.get("initContainers", ()))}
    before = body["spec"]["template"]["spec"]

    for one in (*before["containers"], *before.get("initContainers", ())):
        assert keeps(there[one["name"]], one), one["name"]
    own = [one["name"] for one in before.get("initContainers", ())]
    assert [one["name"] for one in after.get("initContainers", ()) if one["name"] in own] == own
    assert {key: after[key] for key in before if key not in LISTS} == {
        key: before[key] for key in before if key not in LISTS
    }


LISTS = ("containers", "initContainers", "volumes")


def keeps(after: Any, before: Any) -> bool:
    """Tell whether all of `before` is in `after`, unknown fields as well; ours may stand beside it."""
    match before:
        case dict():
            return isinstance(after, dict) and all(keeps(after.get(key), value) for key, value in before.items())
        case list():
            return isinstance(after, list) and all(any(keeps(other, item) for other in after) for item in before)
        case _:
            return bool(after == before)


@LAW
@given(templates(), THREE, edits())
def test_ours_never_move_relative_to_each_other(author: Json, three: tuple[Json, ...], edit: Edit) -> None:
    plain = [{**one, "spec": {**one["spec"], "convert": []}} for one in three]
    first = settled(deployment(**author), *plain)
    then = settled(edited(first, edit), *plain)
    names = {
        one["name"] for body in plain for key in ("sidecars", "initContainers") for one in body["spec"].get(key, ())
    }

    def ours(body: Json) -> list[str]:
        inits = body["spec"]["template"]["spec"].get("initContainers", ())
        return [one["name"] for one in inits if one["name"] in names]

    kept = [name for name in ours(first) if name in ours(then)]
    assert kept == [name for name in ours(then) if name in ours(first)]


@LAW
@given(templates(), THREE)
def test_requests_never_exceed_limits(author: Json, three: tuple[Json, ...]) -> None:
    after = settled(deployment(**author), *three)["spec"]["template"]["spec"]

    for one in after["containers"]:
        limits, requests = one["resources"].get("limits", {}), one["resources"].get("requests", {})
        for name in limits.keys() & requests.keys():
            assert quantity.parse(requests[name]) <= quantity.parse(limits[name])


@LAW
@given(templates(), THREE)
def test_what_is_given_is_never_changed(author: Json, three: tuple[Json, ...]) -> None:
    asked = asking(*three, may_convert=True)
    body = deployment(**author)
    before = json.dumps(body)
    one = assess(body, asked, {})
    after = written(body, one.change) if one is not None and one.change is not None else body
    there = json.dumps(after)
    assess(after, asked, {})
    assess(after, asking(earlier=three), {})

    assert json.dumps(body) == before
    assert json.dumps(after) == there
    assert asked == asking(*three, may_convert=True)
