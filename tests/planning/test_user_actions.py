"""What users do to an injected workload while no webhook answers, as kubectl was seen to leave the template.

Each action is played on an injected workload and on a twin that never was: one more look repairs what is ours with as
few restarts as can be, and undo gives the twin.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from builders import asking, container, deployment, sidecar, stateful_set
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
from serving import sent, written
from sidecarpolicy.api import names
from sidecarpolicy.planning.assess import Assessment, assess
from sidecarpolicy.planning.workload import template_of

Json = dict[str, Any]


def look(body: Json, *asked: Json) -> Assessment | None:
    return assess(body, asking(*asked, earlier=(POLICY,)), {})


def converged(body: Json, *asked: Json) -> tuple[Json, int]:
    """Return the workload when nothing more is to be written, and how many restarts that took."""
    restarts = 0
    for _ in range(3):
        one = look(body, *asked)
        if one is None or one.change is None:
            return body, restarts
        restarts += one.change.restarts
        body = written(body, one.change)
    raise AssertionError("it never ends")


def played(body: Json, edit: Edit, manager: str = "kubectl-client-side-apply") -> Json:
    after = copy.deepcopy(body)
    edit(template_of(after))
    return sent(body, after, manager=manager)


@pytest.mark.parametrize("kind", [deployment, stateful_set])
@pytest.mark.parametrize(
    ("edit", "restarts", "order"),
    [
        pytest.param(unchanged, 0, OURS_IN_ORDER, id="apply-unchanged"),
        pytest.param(set_image, 0, OURS_IN_ORDER, id="another-image"),
        pytest.param(restart, 0, OURS_IN_ORDER, id="rollout-restart"),
        pytest.param(
            insert(0, "i0"), 1, ["shipper", "i0", "migrate", "schema", "agent"], id="an-init-container-in-front"
        ),
        pytest.param(insert("schema", "i9"), 0, ["shipper", "migrate", "schema", "i9", "agent"], id="one-at-the-end"),
        pytest.param(limit("512Mi"), 0, OURS_IN_ORDER, id="an-own-limit"),
        pytest.param(other_port, 0, OURS_IN_ORDER, id="an-own-probe-with-the-same-handler"),
        pytest.param(rename, 1, OURS_IN_ORDER, id="renaming-the-container"),
        pytest.param(no_annotations, 0, OURS_IN_ORDER, id="removing-the-templates-annotations"),
        pytest.param(evil_image, 1, OURS_IN_ORDER, id="editing-our-sidecar"),
        pytest.param(whole, 1, OURS_IN_ORDER, id="replacing-the-whole-template"),
    ],
)
def test_ours_is_there_after_what_users_do(kind: Any, edit: Edit, restarts: int, order: list[str]) -> None:
    twin = make(kind)
    injected, _ = converged(twin, POLICY)
    body, taken = converged(played(injected, edit), POLICY)

    assert taken == restarts
    assert inits(template_of(body)) == order
    assert "logs" in [volume["name"] for volume in template_of(body)["spec"]["volumes"]]
    undone, _ = converged(body)
    wanted = played(twin, edit)
    if edit is other_port:
        # The twin has no more of the probe than what its author wrote; the API server fills in the rest.
        app(template_of(wanted))["livenessProbe"] = {**app(template_of(wanted))["livenessProbe"], "periodSeconds": 10}
    assert undone["spec"] == wanted["spec"]
    assert names.RECORD_ANNOTATION not in (undone["metadata"].get("annotations") or {})


def test_a_wiped_list_of_init_containers_is_ours_again() -> None:
    injected, _ = converged(make(), POLICY)
    body, restarts = converged(played(injected, wipe_inits), POLICY)

    assert restarts == 1
    assert inits(template_of(body)) == ["shipper", "agent"]
    assert converged(body)[0]["spec"] == played(make(), wipe_inits)["spec"]


def test_a_first_ever_init_container_finds_ours_in_place() -> None:
    twin: Json = deployment()
    injected, _ = converged(twin, POLICY)
    body, restarts = converged(played(injected, insert(0, "first")), POLICY)

    assert restarts == 1
    assert inits(template_of(body)) == ["shipper", "first", "agent"]
    assert converged(body)[0]["spec"] == played(twin, insert(0, "first"))["spec"]


def test_deleting_our_sidecar_brings_it_back() -> None:
    injected, _ = converged(make(), POLICY)
    body, restarts = converged(played(injected, delete_ours), POLICY)

    assert restarts == 1
    assert inits(template_of(body)) == OURS_IN_ORDER


def test_replacing_by_the_manifest_is_injected_again() -> None:
    twin = make()
    injected, _ = converged(twin, POLICY)
    replaced = sent(injected, {**twin, "metadata": {**injected["metadata"], "annotations": {}}})
    body, restarts = converged(replaced, POLICY)

    assert restarts == 1
    assert body["spec"] == injected["spec"]


def test_an_undo_to_before_the_injection_is_injected_again() -> None:
    twin = make()
    injected, _ = converged(twin, POLICY)
    metadata = {**injected["metadata"], "annotations": {}}
    body, restarts = converged(sent(injected, {**injected, "metadata": metadata, "spec": twin["spec"]}), POLICY)

    assert restarts == 1
    assert body["spec"] == injected["spec"]


def test_an_undo_to_an_older_revision_of_the_policy_rolls_forward_and_undo_stays_exact() -> None:
    newer = {**POLICY, "spec": {**POLICY["spec"], "sidecars": [sidecar("shipper", image="shipper:2")]}}
    twin = make(stateful_set)
    old, _ = converged(twin, POLICY)
    new, _ = converged(old, newer)
    back = sent(new, {**new, "spec": old["spec"]}, manager="kubectl-rollout")
    forward, restarts = converged(back, newer)

    assert restarts == 1
    assert forward["spec"] == new["spec"]
    assert assess(back, asking(earlier=(POLICY, newer)), {}) is not None
    change = getattr(assess(back, asking(earlier=(POLICY, newer)), {}), "change", None)
    assert change is not None
    assert written(back, change)["spec"] == twin["spec"]


def test_the_very_limit_of_ours_applied_by_the_author_survives_undo() -> None:
    twin = make()
    injected, _ = converged(twin, POLICY)
    applied = copy.deepcopy(injected)
    manifest = {"spec": {"template": {"spec": {"containers": [container(resources={"limits": {"memory": "256Mi"}})]}}}}
    applied["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = json.dumps(manifest)
    undone, _ = converged(sent(injected, applied))

    assert undone["spec"] == played(twin, limit("256Mi"))["spec"]


def test_a_lower_limit_of_the_author_takes_our_request_with_it() -> None:
    twin = make()
    injected, _ = converged(twin, POLICY)

    def lower(template: Json) -> None:
        app(template)["resources"] = {"limits": {"memory": "64Mi"}, "requests": {"memory": "128Mi"}}

    body, _ = converged(played(injected, lower), POLICY)

    assert app(template_of(body))["resources"] == {"limits": {"memory": "64Mi"}, "requests": {"memory": "64Mi"}}
    assert converged(body)[0]["spec"] == played(twin, limit("64Mi"))["spec"]


def test_an_own_probe_with_another_handler_leaves_nothing_of_ours() -> None:
    twin = make()
    injected, _ = converged(twin, POLICY)

    def own(template: Json) -> None:
        app(template)["livenessProbe"] = {"exec": {"command": ["x"]}}

    body, restarts = converged(played(injected, own), POLICY)

    assert restarts == 0
    assert converged(body)[0]["spec"] == played(twin, own)["spec"]
