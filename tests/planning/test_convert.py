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


def author(manifest: Json | None = None, *, applied: Json | None = None, at: str = "", ours: str = "") -> Author:
    """Somebody who applied at one time, while we wrote at another."""
    body: Json = {
        "metadata": {},
        "spec": {"template": {"spec": {"containers": [{"name": "app"}]}}},
    }
    if manifest:
        text = json.dumps({"spec": {"template": {"spec": manifest}}})
        body["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": text}
    if applied:
        fields = {"f:spec": {"f:template": {"f:spec": applied}}}
        entry = {"manager": "kubectl", "operation": "Apply", "time": at, "fieldsV1": fields}
        body["metadata"]["managedFields"] = [entry]
        if ours:
            body["metadata"]["managedFields"].append({"manager": "sidecarpolicy", "operation": "Update", "time": ours})
    return Author(body, PATH)


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


NOON, LATER = "2026-11-21T12:00:00Z", "2026-11-21T12:00:01Z"
ENVOY: Json = {'k:{"name":"envoy"}': {"f:image": {}}}
APP: Json = {'k:{"name":"app"}': {"f:image": {}}}


@pytest.mark.parametrize(
    ("by", "comes_back"),
    [
        pytest.param(author(), True, id="without-evidence"),
        pytest.param(author({"containers": [{"name": "app"}, {"name": "envoy"}]}), True, id="still-applied"),
        pytest.param(author({"containers": [{"name": "app"}]}), False, id="no-longer-applied"),
        pytest.param(author(applied={"f:containers": {**APP, **ENVOY}}), True, id="still-owned-server-side"),
        pytest.param(author(applied={"f:containers": APP}), False, id="no-longer-owned-server-side"),
        pytest.param(author(applied={"f:containers": APP}, at=NOON, ours=LATER), True, id="we-took-it-out-since"),
        pytest.param(author(applied={"f:containers": APP}, at=NOON, ours=NOON), True, id="perhaps-we-took-it-out"),
        pytest.param(author(applied={"f:containers": APP}, at=LATER, ours=NOON), False, id="applied-again-without-it"),
        pytest.param(
            author(applied={"f:containers": {'k:{"name":"app"}': {"f:env": {}}}}),
            True,
            id="who-applies-a-part-says-nothing",
        ),
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
