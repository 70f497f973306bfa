"""What admission makes of workloads that somebody creates or changes."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import jsonpatch
import pytest

from builders import asking, container, cron_job, daemon_set, deployment, job, policy, read, sidecar, stateful_set
from serving import as_served, edited, sent, written
from sidecarpolicy.api import names
from sidecarpolicy.planning.admit import UNTOUCHED, Admitted, admit
from sidecarpolicy.planning.asking import Asking
from sidecarpolicy.planning.assess import assess
from sidecarpolicy.planning.policy import PolicyRef
from sidecarpolicy.planning.workload import template_of

Json = dict[str, Any]

FILL = {"names": ["*"], "resources": {"requests": {"memory": "128Mi"}, "limits": {"memory": "256Mi"}}}
V1 = policy(sidecars=[sidecar(image="shipper:1")], containers=[FILL])
V2 = policy(sidecars=[sidecar(image="shipper:2")], containers=[FILL])
OPT_OUT = {names.INJECT_ANNOTATION: "false"}
OF_A_CRON_JOB = {"ownerReferences": [{"kind": "CronJob", "name": "report", "uid": "u", "controller": True}]}


def fresh(body: Json) -> Json:
    """The workload as it is before the API server has created it."""
    metadata = {key: value for key, value in body["metadata"].items() if key not in SERVERS}
    return {key: value for key, value in {**body, "metadata": metadata}.items() if key != "status"}


SERVERS = ("uid", "resourceVersion", "generation", "managedFields")


def patched(body: Json, admitted: Admitted) -> Json:
    result: Json = jsonpatch.apply_patch(body, list(admitted.patch))
    return result


def born(body: Json, asked: Asking, labels: Json | None = None) -> Json:
    return patched(fresh(body), admit("CREATE", fresh(body), None, asked, labels or {}))


def changed(before: Json, after: Json, asked: Asking) -> Json:
    """The workload after an update that admission saw."""
    return sent(before, patched(after, admit("UPDATE", after, before, asked, {})))


def injected(body: Json, *asked: Json, earlier: tuple[Json, ...] = ()) -> Json:
    one = assess(body, asking(*asked, earlier=earlier, may_convert=True), {})
    assert one is not None
    return written(body, one.change) if one.change else body


def inits(body: Json) -> list[str]:
    return [init["image"] for init in template_of(body)["spec"].get("initContainers") or ()]


def annotated(body: Json, **annotations: str) -> Json:
    after = copy.deepcopy(body)
    after["metadata"].setdefault("annotations", {}).update(annotations)
    return after


def idle(body: Json, **spec: Any) -> Json:
    return {**body, "spec": {**body["spec"], **spec}}


@pytest.mark.parametrize("make", [deployment, stateful_set, daemon_set, cron_job, job])
def test_a_workload_is_born_as_the_controller_would_write_it(make: Any) -> None:
    body = born(make(), asking(V1))

    assert inits(body) == ["shipper:1"]
    if make is not job:
        assert as_served(body)["spec"] == injected(make(), V1)["spec"]
    created = {**as_served(body), "metadata": {**make()["metadata"], **body["metadata"]}}
    one = assess(created, asking(V1), {})
    assert one is not None
    assert one.change is None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(job(spec={"suspend": True}), id="a-suspended-job"),
        pytest.param(deployment(spec={"paused": True}), id="a-paused-deployment"),
        pytest.param(job(metadata={"name": "", "generateName": "import-"}), id="a-job-without-a-name-yet"),
    ],
)
def test_nothing_stands_against_a_change_at_birth(body: Json) -> None:
    assert inits(born(body, asking(V1))) == ["shipper:1"]


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        pytest.param(deployment(), asking(), id="no-policy"),
        pytest.param(deployment(), asking(policy(selector={"matchLabels": {"x": "y"}})), id="not-selected"),
        pytest.param(deployment(), asking(idle(V1, paused=True)), id="paused"),
        pytest.param(deployment(), asking(idle(V1, mode="Audit")), id="audit"),
        pytest.param(deployment(), asking(policy(deleting=True, **V1["spec"])), id="being-deleted"),
        pytest.param(deployment(namespace="kube-system"), asking(policy(namespace="")), id="a-system-namespace"),
        pytest.param(deployment(annotations=OPT_OUT), asking(V1), id="the-author-keeps-us-away"),
        pytest.param(
            job(metadata={"ownerReferences": [{"kind": "Workflow", "name": "w", "uid": "u", "controller": True}]}),
            asking(V1),
            id="another-controllers",
        ),
        pytest.param(job(metadata=OF_A_CRON_JOB), asking(idle(V1, kinds=["CronJob"])), id="a-job-nobody-selects"),
        pytest.param(
            deployment(),
            replace(asking(V1), policies=tuple(replace(one, accepted=False) for one in read(V1))),
            id="not-accepted",
        ),
    ],
)
def test_a_workload_is_born_untouched(body: Json, asked: Asking) -> None:
    assert admit("CREATE", fresh(body), None, asked, {}) == UNTOUCHED


def test_a_cluster_policy_goes_by_the_labels_of_the_namespace() -> None:
    asked = asking(policy(namespace="", sidecars=[sidecar()], namespaceSelector={"matchLabels": {"team": "a"}}))

    assert inits(born(deployment(), asked)) == []
    assert inits(born(deployment(), asked, {"team": "a"})) == ["shipper:1"]


def test_what_is_to_be_converted_is_born_converted() -> None:
    asked = asking(policy(convert=[{"name": "envoy"}]))
    body = born(deployment(containers=[container(), container("envoy")]), asked)

    assert [one["name"] for one in template_of(body)["spec"]["containers"]] == ["app"]
    assert [one["name"] for one in template_of(body)["spec"]["initContainers"]] == ["envoy"]


def test_an_export_of_an_injected_workload_is_not_injected_twice() -> None:
    body = injected(deployment(), V1)

    assert admit("CREATE", fresh(body), None, asking(V1), {}) == UNTOUCHED
    assert inits(born(body, asking(V2, earlier=(V1,)))) == ["shipper:2"]
    assert as_served(born(body, asking(earlier=(V1,))))["spec"] == deployment()["spec"]


def of_cron_job(owner: Json) -> Json:
    """The Job that a CronJob makes: its template and no record."""
    template = template_of(owner)
    return {**job(metadata=OF_A_CRON_JOB), "spec": {"template": copy.deepcopy(template)}}


def test_a_job_of_a_cron_job_gets_what_selects_it() -> None:
    assert inits(born(of_cron_job(cron_job()), asking(idle(V1, kinds=["Job"])))) == ["shipper:1"]


@pytest.mark.parametrize("kinds", [["CronJob"], ["CronJob", "Job"]])
@pytest.mark.parametrize("newest", [V1, V2, idle(V2, paused=True)])
def test_a_job_whose_cron_job_carries_ours_is_not_injected_twice(kinds: list[str], newest: Json) -> None:
    made = of_cron_job(injected(cron_job(), V1))

    assert admit("CREATE", fresh(made), None, asking(idle(newest, kinds=kinds), earlier=(V1,)), {}) == UNTOUCHED


def test_such_a_job_gets_what_only_jobs_get() -> None:
    other = policy("other", kinds=["Job"], sidecars=[sidecar("other")])
    made = of_cron_job(injected(cron_job(), V1))
    asked = asking(idle(V2, kinds=["CronJob"]), other, earlier=(V1,))
    body = born(made, asked)

    assert sorted(inits(body)) == ["other:1", "shipper:1"]
    assert admit("CREATE", body, None, asked, {}) == UNTOUCHED


@pytest.mark.parametrize(
    ("spec", "pod", "said"),
    [
        pytest.param({}, {"restartPolicy": "OnFailure"}, "backoffLimit", id="restarts-count"),
        pytest.param(
            {"podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}}]}},
            {"restartPolicy": "Never"},
            "containerName",
            id="exit-codes-of-sidecars-count",
        ),
    ],
)
def test_the_author_of_a_job_is_told_what_a_sidecar_does_to_it(spec: Json, pod: Json, said: str) -> None:
    (warning,) = admit("CREATE", fresh(job(spec=spec, **pod)), None, asking(V1), {}).warnings

    assert said in warning
    assert len(warning) <= 256


def test_a_workload_keeps_its_revision_whatever_the_policy_asks_now() -> None:
    before = injected(deployment(), V1)
    after = edited(before, lambda template: template["spec"]["containers"][0].update(image="app:2"))

    for asked in (asking(V2, earlier=(V1,)), asking(idle(V2, paused=True), earlier=(V1,))):
        assert admit("UPDATE", after, before, asked, {}) == UNTOUCHED


def test_a_policy_that_is_not_there_yet_waits_for_its_turn() -> None:
    before = deployment()
    after = edited(before, lambda template: template["spec"]["containers"][0].update(image="app:2"))

    assert admit("UPDATE", after, before, asking(V1), {}) == UNTOUCHED


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(asking(V2, earlier=(V1,)), id="edited"),
        pytest.param(asking(idle(V2, paused=True), earlier=(V1,)), id="paused"),
        pytest.param(asking(idle(V2, mode="Audit"), earlier=(V1,)), id="audit"),
        pytest.param(asking(policy(deleting=True, **V1["spec"])), id="being-deleted"),
        pytest.param(asking(idle(V1, selector={"matchLabels": {"x": "y"}})), id="no-longer-selecting"),
        pytest.param(
            asking(earlier=(V1,), unreadable=frozenset({PolicyRef("shop", "logs")})), id="that-cannot-be-read"
        ),
        pytest.param(
            replace(asking(V2, earlier=(V1,)), policies=tuple(replace(one, accepted=False) for one in read(V2))),
            id="not-accepted",
        ),
    ],
)
@pytest.mark.parametrize("make", [deployment, stateful_set, daemon_set, cron_job])
def test_what_a_command_tears_is_mended_whatever_became_of_the_policy(make: Any, asked: Asking) -> None:
    before = injected(make(), V1)
    after = edited(before, lambda template: template["spec"].pop("initContainers"))

    assert changed(before, after, asked)["spec"] == before["spec"]


def test_at_a_revision_that_nobody_knows_what_is_there_stays() -> None:
    before = injected(deployment(), V1)
    after = edited(before, lambda template: template["spec"]["containers"][0].update(image="app:2"))

    assert admit("UPDATE", after, before, asking(idle(V2, paused=True)), {}) == UNTOUCHED


def test_opting_out_undoes_in_the_same_request() -> None:
    before = injected(deployment(), V1)
    body = changed(before, annotated(before, **OPT_OUT), asking(V2, earlier=(V1,)))

    assert body["spec"] == deployment()["spec"]
    assert names.RECORD_ANNOTATION not in body["metadata"]["annotations"]


def test_what_a_policy_leaves_for_good_is_the_authors() -> None:
    before = injected(deployment(), idle(V1, deletion="Keep"))
    after = edited(before, lambda template: template["spec"].pop("initContainers"))

    asked = asking(policy(deleting=True, deletion="Keep", **V1["spec"]))
    assert inits(changed(before, after, asked)) == []


def test_a_change_of_nothing_restarts_nothing_although_ours_was_torn_before() -> None:
    torn = edited(injected(deployment(), V1), lambda template: template["spec"].pop("initContainers"))
    scaled = copy.deepcopy(torn)
    scaled["spec"]["replicas"] = 5

    assert changed(torn, scaled, asking(V1))["spec"]["template"] == torn["spec"]["template"]


def test_what_was_torn_before_is_mended_with_the_next_change() -> None:
    torn = edited(injected(deployment(), V1), lambda template: template["spec"].pop("initContainers"))
    after = edited(torn, lambda template: template["spec"]["containers"][0].update(image="app:2"))

    assert inits(changed(torn, after, asking(V1))) == ["shipper:1"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({}, {"deletionTimestamp": "2026-11-21T09:00:00Z"}, id="it-goes"),
        pytest.param({}, OF_A_CRON_JOB, id="a-controller-takes-it"),
        pytest.param(OF_A_CRON_JOB, {}, id="a-controller-lets-it-go"),
    ],
)
def test_an_update_is_none_of_our_business(before: Json, after: Json) -> None:
    there = injected(deployment(), V1)
    torn = edited(there, lambda template: template["spec"].pop("initContainers"))
    there, torn = ({**one, "metadata": one["metadata"] | more} for one, more in ((there, before), (torn, after)))

    assert admit("UPDATE", torn, there, asking(V1), {}) == UNTOUCHED


def test_a_job_that_exists_keeps_its_template() -> None:
    body = {**job(), "spec": injected(deployment(), V1)["spec"]}

    assert admit("UPDATE", edited(body, lambda one: one["spec"].pop("initContainers")), body, asking(V1), {}) == (
        UNTOUCHED
    )


NULLS: Json = {
    "initContainers": None,
    "volumes": None,
    "nodeSelector": None,
    "containers": [
        {
            "name": "app",
            "image": "app:1",
            "env": None,
            "ports": None,
            "resources": None,
            "volumeMounts": None,
            "livenessProbe": None,
        }
    ],
}
FULL = policy(
    sidecars=[sidecar(volumeMounts=[{"name": "logs", "mountPath": "/logs"}])],
    volumes=[{"name": "logs", "emptyDir": {}}],
    containers=[
        {
            **FILL,
            "env": [{"name": "A", "value": "1"}],
            "volumeMounts": [{"name": "logs", "mountPath": "/var/log"}],
            "livenessProbe": {"tcpSocket": {"port": 80}},
        }
    ],
)


@pytest.mark.parametrize("metadata", [None, {"annotations": None, "labels": None, "creationTimestamp": None}])
def test_nulls_count_as_nothing(metadata: Json | None) -> None:
    body = fresh(deployment())
    body["metadata"] |= {"labels": None, "annotations": None, "ownerReferences": None, "finalizers": None}
    body["spec"]["template"] = {"metadata": metadata, "spec": copy.deepcopy(NULLS)}
    asked = asking(FULL)
    after = patched(body, admit("CREATE", body, None, asked, {}))
    plain: Json = as_served(after)["spec"]["template"]

    twin = fresh(deployment())
    twin["spec"]["template"] = {"metadata": {}, "spec": {"containers": [container()]}}
    assert plain["spec"] == as_served(born(twin, asked))["spec"]["template"]["spec"]
    assert admit("CREATE", after, None, asked, {}) == UNTOUCHED


@pytest.mark.parametrize("containers", [None, []])
def test_a_template_without_containers_is_for_the_api_server_to_refuse(containers: Any) -> None:
    body = fresh(deployment())
    body["spec"]["template"]["spec"]["containers"] = containers

    assert admit("CREATE", body, None, asking(V1), {}) == UNTOUCHED


@pytest.mark.parametrize("body", [{}, {"kind": "Deployment"}, {**fresh(deployment()), "spec": None}])
def test_half_an_object_is_let_through(body: Json) -> None:
    assert admit("CREATE", body, None, asking(V1), {}) == UNTOUCHED


def test_a_patch_holds_nothing_but_what_differs() -> None:
    before = injected(deployment(), V1)
    after = copy.deepcopy(before)
    after["spec"]["template"]["spec"]["initContainers"][0]["image"] = "evil:1"

    (op,) = admit("UPDATE", after, before, asking(V1), {}).patch
    assert op == {"op": "replace", "path": "/spec/template/spec/initContainers/0/image", "value": "shipper:1"}


def test_a_lost_record_is_written_again_and_nothing_else() -> None:
    before = injected(deployment(), V1)
    after = copy.deepcopy(before)
    del after["metadata"]["annotations"]

    (op,) = admit("UPDATE", after, before, asking(V2, earlier=(V1,)), {}).patch
    text = before["metadata"]["annotations"][names.RECORD_ANNOTATION]
    assert op == {"op": "add", "path": "/metadata/annotations", "value": {names.RECORD_ANNOTATION: text}}
    assert json.loads(text)["policies"]["logs"]["revision"] == read(V1)[0].revision
