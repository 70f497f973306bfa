"""What becomes of reviews: a patch, warnings, a count; never a denial."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from admission.reviews import Json, Meter, encoded, patched, review
from builders import asking, deployment, job, policy, sidecar
from serving import as_served, sent
from sidecarpolicy.admission.mutate import Mutator, NotAReviewError
from sidecarpolicy.api import names

POLICY = policy(sidecars=[sidecar()])


def mutator(meter: Meter, labels: Any = lambda _: {}) -> Mutator:
    return Mutator(lambda: asking(POLICY), labels, meter)


def answer(question: Json) -> tuple[Json, Meter]:
    meter = Meter()
    return mutator(meter).answer(encoded(question)), meter


def fresh(body: Json) -> Json:
    body = copy.deepcopy(body)
    for key in ("uid", "resourceVersion", "generation"):
        del body["metadata"][key]
    return body


def torn(body: Json) -> Json:
    after = copy.deepcopy(body)
    del after["spec"]["template"]["spec"]["initContainers"]
    return after


def injected() -> Json:
    body = deployment()
    return sent(body, as_served(patched(body, answer(review(body))[0])))


def test_the_answer_is_a_review_with_the_patch() -> None:
    said, meter = answer(review(fresh(deployment())))

    assert (said["apiVersion"], said["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert said["response"].keys() == {"uid", "allowed", "patchType", "patch"}
    assert said["response"]["uid"] == "705ab4f5-6393-11e8-b7cc-42010a800002"
    assert said["response"]["allowed"] is True
    assert said["response"]["patchType"] == "JSONPatch"
    body = patched(fresh(deployment()), said)
    assert body["spec"]["template"]["spec"]["initContainers"][0]["name"] == "shipper"
    assert dict(meter.counts) == {("Deployment", "CREATE", "injected"): 1}


def test_a_namespace_is_that_of_the_request() -> None:
    body = fresh(job())
    del body["metadata"]["namespace"], body["metadata"]["name"]
    body["metadata"]["generateName"] = "import-"

    assert answer(review(body))[1].counts == {("Job", "CREATE", "injected"): 1}


def test_what_an_update_tears_is_mended_and_its_sender_told() -> None:
    said, meter = answer(review(torn(injected()), "UPDATE", injected()))

    assert as_served(patched(torn(injected()), said))["spec"] == injected()["spec"]
    assert names.INJECT_ANNOTATION in said["response"]["warnings"][0]
    assert meter.counts == {("Deployment", "UPDATE", "repaired"): 1}


@pytest.mark.parametrize(
    ("question", "counted"),
    [
        pytest.param(
            review(fresh(deployment(annotations={names.INJECT_ANNOTATION: "false"}))),
            ("Deployment", "CREATE", "unchanged"),
            id="nothing-to-do",
        ),
        pytest.param(
            review(torn(injected()), "UPDATE", injected(), options={"fieldManager": names.FIELD_MANAGER}),
            ("Deployment", "UPDATE", "skipped"),
            id="the-operators-own-write",
        ),
        pytest.param(
            review(fresh(deployment()), kind={"group": "", "version": "v1", "kind": "Pod"}),
            ("other", "CREATE", "skipped"),
            id="another-kind",
        ),
        pytest.param(
            review(fresh(deployment()), kind={"group": "example.org", "version": "v1", "kind": "Deployment"}),
            ("Deployment", "CREATE", "skipped"),
            id="a-kind-of-another-group",
        ),
        pytest.param(review(deployment(), "DELETE", object=None), ("Deployment", "other", "skipped"), id="deletion"),
        pytest.param(
            review(deployment(), "UPDATE", deployment(), subResource="status"),
            ("Deployment", "UPDATE", "skipped"),
            id="a-status",
        ),
        pytest.param(review(fresh(deployment()), object={"kind": "Deployment", "metadata": None}),
                     ("Deployment", "CREATE", "unchanged"), id="half-an-object"),
        pytest.param(review(fresh(deployment()), object=7), ("Deployment", "CREATE", "failed"), id="no-object-at-all"),
        pytest.param(review(fresh(deployment()), options=7), ("Deployment", "CREATE", "failed"), id="odd-options"),
        pytest.param(review(torn(injected()), "UPDATE", None), ("Deployment", "UPDATE", "unchanged"), id="no-old-one"),
    ],
)  # fmt: skip
def test_it_goes_through_as_it_is(question: Json, counted: tuple[str, str, str]) -> None:
    said, meter = answer(question)

    assert said["response"] == {"uid": question["request"]["uid"], "allowed": True}
    assert meter.counts == {counted: 1}


def test_whoever_asks_whether_admission_serves_is_told_at_once() -> None:
    question = review(torn(injected()), "UPDATE", injected(), dryRun=True)
    question["request"]["options"]["fieldManager"] = names.PROBE_MANAGER

    assert answer(question)[0]["response"] == {
        "uid": question["request"]["uid"],
        "allowed": True,
        "warnings": [names.PROBE_ANSWER],
    }


def of_all(selector: Json) -> Json:
    """A cluster-wide policy for namespaces."""
    return policy(namespace="", sidecars=[sidecar()], namespaceSelector=selector)


@pytest.mark.parametrize(
    ("asked", "outcome"),
    [
        pytest.param(POLICY, "injected", id="policy-of-that-namespace"),
        pytest.param(of_all({}), "injected", id="policy-of-all"),
        pytest.param(of_all({"matchLabels": {names.NAMESPACE_LABEL: "shop"}}), "injected", id="policy-that-names-it"),
        pytest.param(of_all({"matchLabels": {names.NAMESPACE_LABEL: "x"}}), "unchanged", id="policy-of-another"),
        pytest.param(of_all({"matchLabels": {"team": "a"}}), "failed", id="policy-by-an-unknown-label"),
        pytest.param(
            of_all({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}), "failed", id="by-its-absence"
        ),
    ],
)
def test_a_namespace_that_is_not_known_yet_is_judged_by_its_name_or_let_through(asked: Json, outcome: str) -> None:
    meter = Meter()
    Mutator(lambda: asking(asked), lambda _: None, meter).answer(encoded(review(fresh(deployment()))))

    assert meter.counts == {("Deployment", "CREATE", outcome): 1}


def test_an_update_needs_no_namespace() -> None:
    meter = Meter()
    said = mutator(meter, labels=lambda _: None).answer(encoded(review(torn(injected()), "UPDATE", injected())))

    assert said["response"]["patch"]


def test_our_own_bug_denies_nothing() -> None:
    meter = Meter()

    def broken() -> Any:
        raise KeyError("bug")

    said = Mutator(broken, lambda _: {}, meter).answer(encoded(review(fresh(deployment()))))

    assert said["response"] == {"uid": said["response"]["uid"], "allowed": True}
    assert meter.counts == {("Deployment", "CREATE", "failed"): 1}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(b"\x00garbage", "not JSON", id="garbage"),
        pytest.param(b"[" * 100_000, "not JSON", id="deep"),
        pytest.param(b"[]", "not an AdmissionReview", id="a-list"),
        pytest.param(b"{}", "not an AdmissionReview", id="an-empty-object"),
        pytest.param(
            encoded(review(deployment()) | {"apiVersion": "admission.k8s.io/v1beta1"}),
            "only AdmissionReview of admission.k8s.io/v1",
            id="an-old-version",
        ),
        pytest.param(encoded(review(deployment()) | {"request": None}), "no request", id="no-request"),
        pytest.param(encoded(review(deployment(), uid=None)), "no request with a uid", id="no-uid"),
        pytest.param(encoded(review(deployment(), kind="Deployment")), "of what kind", id="no-kind"),
    ],
)
def test_what_is_no_review_is_refused_with_a_word(body: bytes, said: str) -> None:
    with pytest.raises(NotAReviewError, match=said):
        mutator(Meter()).answer(body)
