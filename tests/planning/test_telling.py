"""What the owner of a workload is told of a change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import asking, deployment, policy, sidecar
from serving import written
from sidecarpolicy.api import names
from sidecarpolicy.planning.assess import Assessment, assess
from sidecarpolicy.planning.telling import told, told_of_admission

Json = dict[str, Any]

V1 = policy(sidecars=[sidecar()])
V2 = policy(sidecars=[sidecar(image="shipper:2")])
OTHER = policy("other", sidecars=[sidecar("proxy")])
UNSOUND = policy(sidecars=[sidecar(volumeMounts=[{"name": "nowhere", "mountPath": "/logs"}])])


def look(body: Json, *asked: Json, earlier: tuple[Json, ...] = ()) -> Assessment:
    one = assess(body, asking(*asked, earlier=earlier), {})
    assert one is not None
    return one


def injected(*asked: Json) -> Json:
    change = look(deployment(), *asked).change
    assert change is not None
    return written(deployment(), change)


@pytest.mark.parametrize(
    ("before", "reason", "message"),
    [
        pytest.param(
            look(deployment(), V1),
            "SidecarsInjected",
            "template brought to what SidecarPolicy shop/logs asks",
            id="injected",
        ),
        pytest.param(
            look(injected(V1), V2, earlier=(V1,)),
            "SidecarsUpdated",
            "template brought to what SidecarPolicy shop/logs asks",
            id="updated",
        ),
        pytest.param(
            look(injected(V1), earlier=(V1,)),
            "SidecarsRestored",
            "what SidecarPolicy shop/logs added is taken away",
            id="restored",
        ),
        pytest.param(
            look(injected(V1, OTHER), V1, earlier=(OTHER,)),
            "SidecarsRestored",
            "what SidecarPolicy shop/other added is taken away",
            id="one-of-two-is-restored",
        ),
        pytest.param(
            look(injected(V1), UNSOUND, earlier=(V1,)),
            "SidecarsRestored",
            "what SidecarPolicy shop/logs added is taken away",
            id="withheld",
        ),
    ],
)
def test_a_change_is_told_by_what_it_did(before: Assessment, reason: str, message: str) -> None:
    assert told(before) == (reason, message)


OPT_OUT = {names.INJECT_ANNOTATION: "false"}


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        pytest.param(
            None,
            look(injected(V1, OTHER), V1, OTHER),
            ("SidecarsInjected", "created with what SidecarPolicy shop/logs, SidecarPolicy shop/other asks"),
            id="born-with-it",
        ),
        pytest.param(None, look(deployment(), V1), None, id="born-without-it"),
        pytest.param(None, look(injected(V1), V2, earlier=(V1,)), None, id="a-copy-of-an-older-one"),
        pytest.param(None, look(injected(V1), earlier=(V1,)), None, id="a-copy-of-one-that-nobody-selects"),
        pytest.param(
            replace(look(deployment(), V1), uid="of-one-that-is-gone"),
            look(injected(V1), V1),
            ("SidecarsInjected", "created with what SidecarPolicy shop/logs asks"),
            id="born-in-the-place-of-another",
        ),
        pytest.param(
            replace(look(injected(V1), V1), uid="of-one-that-is-gone"),
            look(deployment(annotations=OPT_OUT), V1),
            None,
            id="born-opted-out-in-the-place-of-another",
        ),
        pytest.param(
            look(injected(V1), V1),
            look(deployment(annotations=OPT_OUT), V1),
            ("SidecarsRestored", "opted out: what SidecarPolicy shop/logs added is taken away"),
            id="opted-out",
        ),
        pytest.param(look(injected(V1), V1), look(injected(V1), V1), None, id="as-before"),
        pytest.param(look(injected(V1), V1), look(deployment(), V1), None, id="wiped-by-its-author"),
        pytest.param(look(deployment(), V1), look(injected(V1), V1), None, id="written-by-the-controller"),
    ],
)
def test_what_admission_did_is_told(
    before: Assessment | None, after: Assessment, wanted: tuple[str, str] | None
) -> None:
    assert told_of_admission(before, after) == wanted
