"""What users do to an injected workload while admission serves: all is mended in their own request.

Each action is given as the object that the API server asks us about. None makes a rollout that the author's own change
would not make, the controller finds nothing to write afterwards, and undo gives the twin that never was injected.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonpatch
import pytest
from hypothesis import assume, given

from builders import asking, container, cron_job, daemon_set, deployment, policy, sidecar, stateful_set
from planning.kubectl import (
    OURS_IN_ORDER,
    POLICY,
    Edit,
    app,
    delete_ours,
    evil_image,
    inits,
    insert,
    limit,
    make,
    no_annotations,
    other_port,
    rename,
    restart,
    set_image,
    unchanged,
    whole,
    wipe_inits,
)
from planning.strategies import edits, templates
from planning.test_laws import LAW, THREE
from serving import as_served, sent, written
from sidecarpolicy.api import names
from sidecarpolicy.planning.admit import admit
from sidecarpolicy.planning.asking import Asking
from sidecarpolicy.planning.assess import assess
from sidecarpolicy.planning.workload import template_of

Json = dict[str, Any]

KINDS = [deployment, stateful_set, daemon_set, cron_job]
SIDECARS = [{**one, "image": f"{one['name']}:2"} for one in POLICY["spec"]["sidecars"]]
NEWER = {**POLICY, "spec": {**POLICY["spec"], "sidecars": SIDECARS}}
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def settled(body: Json, *asked: Json, earlier: tuple[Json, ...] = ()) -> Json:
    """The workload after the one write of the controller, if it wants any."""
    one = assess(body, asking(*asked, earlier=earlier, may_convert=True), {})
    return written(body, one.change) if one is not None and one.change is not None else body


def through(before: Json, after: Json, asked: Asking) -> tuple[Json, tuple[str, ...]]:
    """What the API server stores of an update, and the warnings."""
    after = as_served(after)
    admitted = admit("UPDATE", after, before, asked, {})
    body = sent(before, jsonpatch.apply_patch(after, list(admitted.patch)))
    again = admit("UPDATE", body, before, asked, {})
    assert again.patch == ()
    return body, admitted.warnings


def played(body: Json, edit: Edit) -> Json:
    after = copy.deepcopy(body)
    edit(template_of(after))
    return after


def no_volumes(template: Json) -> None:
    template["spec"].pop("volumes", None)


def at_the_end(template: Json) -> None:
    template["spec"]["initContainers"].append(container("i9"))


def null_volumes(template: Json) -> None:
    template["spec"]["volumes"] = None


def null_inits(template: Json) -> None:
    template["spec"]["initContainers"] = None


def own_handler(template: Json) -> None:
    """Another handler, merged into what is there."""
    app(template).setdefault("livenessProbe", {})["httpGet"] = {"path": "/", "port": 8080}


def low_limit(template: Json) -> None:
    app(template)["resources"].setdefault("limits", {})["memory"] = "64Mi"


def everything_of_ours(template: Json) -> None:
    delete_ours(template)
    no_volumes(template)
    no_annotations(template)


ACTIONS = [
    pytest.param(unchanged, 0, OURS_IN_ORDER, False, id="apply-unchanged"),
    pytest.param(set_image, 1, OURS_IN_ORDER, False, id="another-image"),
    pytest.param(restart, 1, OURS_IN_ORDER, False, id="rollout-restart"),
    pytest.param(insert(0, "i0"), 1, ["shipper", "i0", "migrate", "schema", "agent"], False, id="one-in-front"),
    pytest.param(insert("schema", "i9"), 1, ["shipper", "migrate", "schema", "i9", "agent"], False, id="one-behind"),
    pytest.param(at_the_end, 1, ["shipper", "migrate", "schema", "i9", "agent"], False, id="one-at-the-end"),
    pytest.param(no_volumes, 1, OURS_IN_ORDER, False, id="removing-all-volumes"),
    pytest.param(null_volumes, 1, OURS_IN_ORDER, False, id="null-volumes"),
    pytest.param(wipe_inits, 1, ["shipper", "agent"], False, id="removing-all-init-containers"),
    pytest.param(null_inits, 1, ["shipper", "agent"], False, id="null-init-containers"),
    pytest.param(own_handler, 1, OURS_IN_ORDER, False, id="an-own-probe-of-another-kind"),
    pytest.param(other_port, 1, OURS_IN_ORDER, False, id="an-own-probe-on-another-port"),
    pytest.param(limit("512Mi"), 1, OURS_IN_ORDER, False, id="a-higher-limit"),
    pytest.param(low_limit, 1, OURS_IN_ORDER, False, id="a-limit-below-our-request"),
    pytest.param(limit("300Mi"), 1, OURS_IN_ORDER, False, id="our-limit-patched"),
    pytest.param(rename, 1, OURS_IN_ORDER, False, id="renaming-the-container"),
    pytest.param(no_annotations, 0, OURS_IN_ORDER, False, id="removing-the-templates-annotations"),
    pytest.param(evil_image, 0, OURS_IN_ORDER, True, id="editing-our-sidecar"),
    pytest.param(delete_ours, 0, OURS_IN_ORDER, True, id="deleting-our-sidecar"),
    pytest.param(whole, 0, OURS_IN_ORDER, True, id="replacing-the-whole-template"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("asked", [POLICY, NEWER], ids=["up-to-date", "waiting-for-its-turn"])
@pytest.mark.parametrize(("edit", "restarts", "order", "warned"), ACTIONS)
def test_ours_is_whole_after_what_users_do(
    kind: Any, asked: Json, edit: Edit, restarts: int, order: list[str], warned: bool
) -> None:
    twin = make(kind)
    before = settled(twin, POLICY)
    body, warnings = through(before, played(before, edit), asking(asked, earlier=(POLICY,)))

    assert inits(template_of(body)) == order
    assert (template_of(body) != template_of(before)) == bool(restarts)
    assert bool(warnings) is warned
    assert all(names.INJECT_ANNOTATION in warning and len(warning) <= 256 for warning in warnings)
    assert settled(body, POLICY) == body
    wanted = as_served(played(twin, edit))
    if edit in (other_port, own_handler):
        # The API server gives a probe its defaults; the twin's were not ours.
        probe = template_of(wanted)["spec"]["containers"][0]["livenessProbe"]
        probe["periodSeconds"] = 10
    if edit is whole or edit is delete_ours:
        wanted = twin
    assert settled(body, earlier=(POLICY, NEWER))["spec"] == wanted["spec"]


def test_a_first_ever_init_container_finds_ours_in_place() -> None:
    twin: Json = deployment()
    before = settled(twin, POLICY)
    body, _ = through(before, played(before, insert(0, "first")), asking(POLICY))

    assert inits(template_of(body)) == ["shipper", "first", "agent"]


@pytest.mark.parametrize("kind", KINDS)
def test_our_very_limit_applied_by_the_author_is_theirs_from_then_on(kind: Any) -> None:
    twin = make(kind)
    before = settled(twin, POLICY)
    after = copy.deepcopy(before)
    manifest = copy.deepcopy(after)
    template_of(manifest)["spec"] = {"containers": [container(resources={"limits": {"memory": "256Mi"}})]}
    after["metadata"].setdefault("annotations", {})[LAST_APPLIED] = json.dumps({"spec": manifest["spec"]})
    body, _ = through(before, after, asking(POLICY))

    assert template_of(body) == template_of(before)
    assert settled(body, POLICY) == body
    undone = settled(body, earlier=(POLICY,))
    assert app(template_of(undone))["resources"] == {"limits": {"memory": "256Mi"}}


@pytest.mark.parametrize("kind", KINDS)
def test_replacing_by_the_manifest_changes_nothing(kind: Any) -> None:
    twin = make(kind)
    before = settled(twin, POLICY)
    replaced = {**copy.deepcopy(twin), "metadata": {**before["metadata"], "annotations": None}}
    body, (warning,) = through(before, replaced, asking(NEWER, earlier=(POLICY,)))

    assert body["spec"] == before["spec"]
    assert "SidecarPolicy shop/logs" in warning
    assert body["metadata"]["annotations"] == before["metadata"]["annotations"]


@pytest.mark.parametrize("kind", KINDS)
def test_replacing_by_an_export_without_annotations_keeps_the_record(kind: Any) -> None:
    before = settled(make(kind), POLICY)
    export = copy.deepcopy(before)
    export["metadata"] = {key: before["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion")}
    export["metadata"]["generation"] = 1
    body, warnings = through(before, export, asking(NEWER, earlier=(POLICY,)))

    assert body["spec"] == before["spec"]
    assert body["metadata"]["annotations"] == before["metadata"]["annotations"]
    assert warnings == ()


def rolled_back(kind: Any, before: Json, old: Json) -> Json:
    """`rollout undo`: the old template, and on a Deployment the annotations of that time."""
    annotations = old["metadata"].get("annotations") if kind is deployment else before["metadata"].get("annotations")
    return {**copy.deepcopy(old), "metadata": {**before["metadata"], "annotations": annotations}}


@pytest.mark.parametrize("kind", [deployment, stateful_set, daemon_set])
def test_an_undo_to_before_the_injection_changes_nothing_and_says_so(kind: Any) -> None:
    twin = make(kind)
    before = settled(twin, POLICY)
    body, warnings = through(before, rolled_back(kind, before, twin), asking(POLICY))

    assert body["spec"] == before["spec"]
    assert len(warnings) == 1
    assert settled(body, POLICY) == body


@pytest.mark.parametrize("kind", [deployment, stateful_set, daemon_set])
def test_an_undo_to_another_image_before_the_injection_gives_that_image_with_ours(kind: Any) -> None:
    twin = make(kind)
    before = settled(sent(twin, played(twin, set_image)), POLICY)
    body, warnings = through(before, rolled_back(kind, before, twin), asking(POLICY))

    assert app(template_of(body))["image"] == "app:1"
    assert inits(template_of(body)) == OURS_IN_ORDER
    assert warnings == ()


@pytest.mark.parametrize("history", [(POLICY, NEWER), (NEWER,)], ids=["known", "forgotten"])
@pytest.mark.parametrize("kind", [deployment, stateful_set, daemon_set])
def test_an_undo_to_an_older_revision_of_the_policy_changes_nothing(kind: Any, history: tuple[Json, ...]) -> None:
    twin = make(kind)
    old = settled(twin, POLICY)
    before = settled(old, NEWER, earlier=(POLICY,))
    body, warnings = through(before, rolled_back(kind, before, old), asking(NEWER, earlier=history))

    assert body["spec"] == before["spec"]
    assert len(warnings) == 1
    assert settled(body, NEWER, earlier=(POLICY,)) == body


@pytest.mark.parametrize("kind", [deployment, stateful_set])
def test_an_undo_of_the_restoring_changes_nothing(kind: Any) -> None:
    injected = settled(make(kind), POLICY)
    restored = settled(injected, earlier=(POLICY,))
    body, _ = through(restored, rolled_back(kind, restored, injected), asking(earlier=(POLICY,)))

    assert body["spec"] == restored["spec"]


CONVERTING = policy(convert=[{"name": "envoy"}], sidecars=[sidecar()])


def with_envoy(kind: Any, image: str = "envoy:1") -> Json:
    body: Json = kind(containers=[container(), container("envoy", image=image), container("last")])
    return body


def brought_back(before: Json, image: str = "envoy:1", app_image: str = "app:1") -> Json:
    """An apply, of either side, of the manifest that still lists the container: merged by name into each list."""
    after = copy.deepcopy(before)
    containers = template_of(after)["spec"]["containers"]
    containers[0]["image"] = app_image
    containers.insert(1, container("envoy", image=image))
    return after


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("image", "app_image", "restarts"),
    [("envoy:1", "app:1", False), ("envoy:2", "app:1", True), ("envoy:1", "app:2", True)],
)
def test_what_is_converted_takes_what_its_manifest_says_and_stays_converted(
    kind: Any, image: str, app_image: str, restarts: bool
) -> None:
    twin = with_envoy(kind)
    before = settled(twin, CONVERTING)
    body, warnings = through(before, brought_back(before, image, app_image), asking(CONVERTING))
    spec = template_of(body)["spec"]

    assert [one["name"] for one in spec["containers"]] == ["app", "last"]
    assert {one["name"]: one["image"] for one in spec["initContainers"]} == {"envoy": image, "shipper": "shipper:1"}
    assert (template_of(body) != template_of(before)) is restarts
    assert warnings == ()
    assert settled(body, CONVERTING) == body
    undone = template_of(settled(body, earlier=(CONVERTING,)))["spec"]
    assert [one["image"] for one in undone["containers"]] == [app_image, image, "last:1"]


@pytest.mark.parametrize("kind", KINDS)
def test_replacing_by_the_manifest_with_a_converted_container_changes_nothing(kind: Any) -> None:
    twin = with_envoy(kind)
    before = settled(twin, CONVERTING)
    replaced = {**copy.deepcopy(twin), "metadata": {**before["metadata"], "annotations": None}}

    assert through(before, replaced, asking(CONVERTING))[0]["spec"] == before["spec"]


def applied(body: Json, manifest: Json) -> Json:
    """The workload with what was last applied client-side."""
    after = copy.deepcopy(body)
    after["metadata"].setdefault("annotations", {})[LAST_APPLIED] = json.dumps({"spec": manifest["spec"]})
    return after


@pytest.mark.parametrize("kind", KINDS)
def test_a_converted_container_that_its_author_removes_is_gone(kind: Any) -> None:
    twin = with_envoy(kind)
    before = settled(applied(twin, twin), CONVERTING)
    without: Json = kind(containers=[container(), container("last")])
    body, _ = through(before, applied(before, without), asking(CONVERTING))

    assert inits(template_of(body)) == ["shipper"]
    assert settled(body, CONVERTING) == body
    assert settled(body, earlier=(CONVERTING,))["spec"] == without["spec"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_converted_container_that_its_author_moves_is_theirs(kind: Any) -> None:
    twin = with_envoy(kind)
    before = settled(applied(twin, twin), CONVERTING)
    moved: Json = kind(containers=[container(), container("last")], init=[container("envoy", restartPolicy="Always")])
    body, _ = through(before, applied(before, moved), asking(CONVERTING))

    assert sorted(inits(template_of(body))) == ["envoy", "shipper"]
    assert settled(body, CONVERTING) == body
    assert settled(body, earlier=(CONVERTING,))["spec"] == moved["spec"]


@LAW
@given(templates(), THREE)
def test_what_is_born_is_what_the_controller_wants_and_admitted_once(author: Json, three: tuple[Json, ...]) -> None:
    asked = asking(*three, may_convert=True)
    body = deployment(**author)
    made = as_served(jsonpatch.apply_patch(body, list(admit("CREATE", body, None, asked, {}).patch)))

    assert made["spec"] == settled(body, *three)["spec"]
    assert settled(made, *three) == made
    assert admit("CREATE", made, None, asked, {}).patch == ()


def contributing(body: Json) -> set[str]:
    """The policies that its record names."""
    text = body["metadata"].get("annotations", {}).get(names.RECORD_ANNOTATION)
    return set(json.loads(text)["policies"]) if text else set()


@LAW
@given(templates(), THREE, edits())
def test_after_any_edit_the_controller_has_nothing_to_do_and_undo_is_exact(
    author: Json, three: tuple[Json, ...], edit: Edit
) -> None:
    twin = deployment(**author)
    before = settled(twin, *three)
    # What was withheld for a conflict that the edit ends waits for its turn in the rollout.
    assume(contributing(settled(played(twin, edit), *three)) <= contributing(before))
    body, _ = through(before, played(before, edit), asking(*three))

    assert {**settled(body, *three), "metadata": None} == {**body, "metadata": None}
    assert settled(body, earlier=three)["spec"] == as_served(played(twin, edit))["spec"]
