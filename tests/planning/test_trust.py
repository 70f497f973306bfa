"""Whether the record on a workload belongs to the template beside it, and what to make of it if not."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from builders import asking, container, cron_job, deployment, history, policy, read, sidecar, stateful_set
from serving import edited, sent, written
from sidecarpolicy.api import names
from sidecarpolicy.planning import record
from sidecarpolicy.planning.assess import assess
from sidecarpolicy.planning.record import NOTHING, Record
from sidecarpolicy.planning.trust import trusted

Json = dict[str, Any]

FILL = {"names": ["*"], "resources": {"requests": {"memory": "128Mi"}, "limits": {"memory": "256Mi"}}}
V1 = policy(sidecars=[sidecar(image="shipper:1")], containers=[FILL])
V2 = policy(sidecars=[sidecar(image="shipper:2")], containers=[FILL])
FILLS = policy(containers=[FILL])
(R1,), (R2,) = ([one.revision for one in read(body)] for body in (V1, V2))


def injected(body: Json, *asked: Json, earlier: tuple[Json, ...] = ()) -> Json:
    one = assess(body, asking(*asked, earlier=earlier), {})
    assert one is not None
    return written(body, one.change) if one.change else body


def kept(body: Json) -> Record:
    found = record.parse((body["metadata"].get("annotations") or {}).get(names.RECORD_ANNOTATION))
    assert found is not None
    return found


def judge(template: Json, kept: Record | None, *known: Json) -> Record:
    return trusted(template, kept, history(*known), "shop")


def test_a_record_of_the_templates_revision_is_trusted() -> None:
    body = injected(deployment(), V1)

    assert judge(body["spec"]["template"], kept(body), V1) is not NOTHING
    assert judge(body["spec"]["template"], kept(body)) == kept(body)


def test_a_lost_record_is_rebuilt_from_what_the_revision_asked() -> None:
    body = injected(deployment(), V1)

    assert judge(body["spec"]["template"], None, V1) == kept(body)


def test_after_an_undo_of_a_stateful_set_the_record_is_that_of_the_old_template() -> None:
    old = injected(stateful_set(), V1)
    new = injected(old, V2, earlier=(V1,))

    assert kept(new).marker == R2
    assert judge(old["spec"]["template"], kept(new), V1, V2) == kept(old)


def test_a_stale_record_on_a_template_without_ours_is_dropped() -> None:
    body = stateful_set()

    assert judge(body["spec"]["template"], kept(injected(body, V1)), V1) == NOTHING


def test_a_wiped_marker_leaves_the_record_trusted_where_our_sidecar_is_there() -> None:
    body = injected(deployment(), V1)
    template = copy.deepcopy(body["spec"]["template"])
    del template["metadata"]["annotations"]

    assert judge(template, kept(body), V1) == kept(body)


def test_a_record_without_marker_is_judged_every_time() -> None:
    body = injected(deployment(), V1)
    markerless = Record("", kept(body).parts)

    assert judge(deployment()["spec"]["template"], markerless, V1) == NOTHING


def test_without_any_trace_nothing_is_ours() -> None:
    assert judge(deployment()["spec"]["template"], None, V1) == NOTHING


def test_a_marker_that_nobody_knows_is_nothing() -> None:
    body = injected(deployment(), V1)

    assert judge(body["spec"]["template"], None) == NOTHING


def test_of_what_a_revision_asked_only_what_is_there_is_ours() -> None:
    body = injected(deployment(), V1)
    template = copy.deepcopy(body["spec"]["template"])
    template["spec"]["containers"][0]["resources"]["limits"]["memory"] = "512Mi"
    rebuilt = judge(template, None, V1)

    assert rebuilt.parts["logs"].fills == {"app": {"resources": {"requests": {"memory": "128Mi"}}}}


def test_a_revision_of_another_namespace_is_nobodys() -> None:
    body = injected(deployment(), V1)

    assert trusted(body["spec"]["template"], None, history(policy(namespace="other", **V1["spec"])), "shop") == NOTHING


@pytest.mark.parametrize("make", [deployment, stateful_set, cron_job])
def test_a_lost_record_is_repaired_without_a_restart(make: Any) -> None:
    body = injected(make(), V1)
    lost = copy.deepcopy(body)
    del lost["metadata"]["annotations"]
    one = assess(sent(body, lost), asking(V1), {})

    assert one is not None
    assert one.change is not None
    assert not one.change.restarts
    assert kept(written(sent(body, lost), one.change)) == kept(body)


def test_a_broken_record_is_repaired_without_a_restart() -> None:
    body = injected(deployment(), V1)
    broken = copy.deepcopy(body)
    broken["metadata"]["annotations"][names.RECORD_ANNOTATION] = "{"
    repaired = injected(sent(body, broken), V1)

    assert kept(repaired) == kept(body)
    assert repaired["spec"] == body["spec"]


def test_a_wiped_marker_causes_no_restart() -> None:
    body = edited(injected(deployment(), V1), lambda template: template["metadata"].pop("annotations"))
    one = assess(body, asking(V1), {})

    assert one is not None
    assert one.change is None or not one.change.restarts
    repaired = injected(body, V1)
    again = assess(repaired, asking(V1), {})
    assert again is not None
    assert again.change is None


def test_a_wiped_marker_leaves_undo_exact() -> None:
    twin = deployment()
    body = edited(injected(twin, V1), lambda template: template["metadata"].pop("annotations"))

    assert injected(body, earlier=(V1,))["spec"] == twin["spec"]


def test_a_template_replaced_as_a_whole_is_the_authors() -> None:
    twin = deployment()
    body = injected(twin, FILLS, policy("s", sidecars=[sidecar()]))

    def replace(template: Json) -> None:
        template.clear()
        own = container(resources={"limits": {"memory": "256Mi"}})
        template.update({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [own]}})

    replaced = edited(body, replace)
    undone = injected(replaced, earlier=(FILLS, policy("s", sidecars=[sidecar()])))

    assert undone["spec"] == replaced["spec"]
    assert names.RECORD_ANNOTATION not in (undone["metadata"].get("annotations") or {})


def test_after_an_undo_of_a_stateful_set_the_authors_limit_survives_ours() -> None:
    twin = stateful_set()
    body = injected(twin, V1)
    record_annotation = body["metadata"]["annotations"]
    back = sent(body, {**body, "spec": twin["spec"]}, manager="kubectl-rollout")
    assert back["metadata"]["annotations"] == record_annotation

    def limit(template: Json) -> None:
        template["spec"]["containers"][0]["resources"] = {"limits": {"memory": "256Mi"}}

    own = edited(back, limit)
    undone = injected(own, earlier=(V1,))

    assert undone["spec"] == own["spec"]
