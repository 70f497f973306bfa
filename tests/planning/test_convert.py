"""Containers of the app that become native sidecars, and the way back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from builders import container
from sidecarpolicy.planning.authorship import Author
from sidecarpolicy.planning.template import convert

Json = dict[str, Any]

SPEC = {"containers": [container("app"), container("envoy"), container("web")]}
PATH = ("spec", "template")


def author(manifest: Json | None = None, *entries: Json) -> Author:
    """Somebody of whom a manifest is known that was applied client-side, or who owns what in managedFields."""
    body: Json = {
        "metadata": {"managedFields": list(entries)},
        "spec": {"template": {"spec": {"containers": [{"name": "app"}]}}},
    }
    if manifest:
        text = json.dumps({"spec": {"template": {"spec": manifest}}})
        body["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": text}
    return Author(body, PATH)


def entry(section: str, *owned: Json, manager: str = "kubectl", operation: str = "Apply") -> Json:
    fields = {"f:spec": {"f:template": {"f:spec": {section: {key: of[key] for of in owned for key in of}}}}}
    return {"manager": manager, "operation": operation, "fieldsV1": fields}


def applied(*owned: Json, by: str = "kubectl") -> Json:
    return entry("f:containers", *owned, manager=by)


def updated(*owned: Json) -> Json:
    return entry("f:containers", *owned, manager="kubectl-replace", operation="Update")


def ours(*owned: Json) -> Json:
    return entry("f:initContainers", *owned, manager="sidecarpolicy", operation="Update")


def converted() -> tuple[Json, dict[str, tuple[str, ...]]]:
    spec, taken, before = convert.take(SPEC, ["envoy"])
    return {**spec, "initContainers": list(taken.values())}, before


def test_a_container_becomes_a_sidecar_and_comes_back_in_its_place() -> None:
    spec, before = converted()

    assert spec["initContainers"] == [{**container("envoy"), "restartPolicy": "Always"}]
    assert [one["name"] for one in spec["containers"]] == ["app", "web"]
    assert convert.restore(spec, before, author()) == SPEC


def test_several_come_back_in_their_order() -> None:
    spec, taken, before = convert.take(SPEC, ["app", "web"])
    back = convert.restore({**spec, "initContainers": list(taken.values())}, before, author())

    assert back == SPEC


def test_the_authors_edits_of_a_converted_container_come_back_with_it() -> None:
    spec, before = converted()
    spec["initContainers"][0]["image"] = "envoy:2"

    assert convert.restore(spec, before, author())["containers"][1] == {**container("envoy"), "image": "envoy:2"}


ENVOY: Json = {'k:{"name":"envoy"}': {"f:image": {}}}
AWAITED: Json = {'k:{"name":"envoy"}': {"f:image": {}, "f:terminationMessagePath": {}}}
APP: Json = {'k:{"name":"app"}': {"f:image": {}}}
PART: Json = {'k:{"name":"app"}': {"f:env": {}}}


@pytest.mark.parametrize(
    ("by", "comes_back"),
    [
        pytest.param(author(), True, id="without-evidence"),
        pytest.param(author({"containers": [{"name": "app"}, {"name": "envoy"}]}), True, id="still-applied"),
        pytest.param(author({"containers": [{"name": "app"}]}), False, id="no-longer-applied"),
        pytest.param(author(None, applied(APP, ENVOY)), True, id="still-owned-server-side"),
        pytest.param(author(None, applied(APP)), False, id="no-longer-owned-server-side"),
        pytest.param(author(None, applied(APP), ours(AWAITED)), True, id="we-took-it-out-and-gave-no-claim-back"),
        pytest.param(author(None, applied(APP), ours(ENVOY)), False, id="the-claim-that-we-gave-back-is-gone"),
        pytest.param(author(None, applied(APP, ENVOY), ours(AWAITED)), True, id="applied-again-with-it"),
        pytest.param(author(None, applied(APP), updated(ENVOY)), True, id="somebody-else-brought-it-back"),
        pytest.param(author(None, applied(APP), applied(APP, ENVOY, by="ci")), True, id="another-still-applies-it"),
        pytest.param(author(None, applied(APP), applied(APP, by="ci")), False, id="nobody-applies-it-any-more"),
        pytest.param(author(None, applied(PART)), True, id="who-applies-a-part-says-nothing"),
        pytest.param(author(None, applied(APP), applied(PART, by="ci")), False, id="nor-speaks-against-the-whole"),
    ],
)
def test_a_container_that_its_author_removed_does_not_come_back(by: Author, comes_back: bool) -> None:
    spec, before = converted()
    back = convert.restore(spec, before, by)

    assert ("envoy" in [one["name"] for one in back["containers"]]) is comes_back
    assert "initContainers" not in back


def test_a_container_that_its_author_moved_himself_stays_a_sidecar() -> None:
    spec, before = converted()
    by = author({"containers": [{"name": "app"}], "initContainers": [{"name": "envoy"}]})

    assert convert.restore(spec, before, by) == spec
