"""One AdmissionReview in, one out; a request is never denied, and what we cannot judge goes through as it is."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import structlog

from sidecarpolicy.api import names
from sidecarpolicy.api.policy import Json
from sidecarpolicy.planning.admit import UNTOUCHED, Admitted, admit
from sidecarpolicy.planning.asking import Asking
from sidecarpolicy.planning.patch import Op
from sidecarpolicy.planning.selection import Labels, asks_only
from sidecarpolicy.planning.workload import KINDS

log = structlog.get_logger()

_API_VERSION = "admission.k8s.io/v1"
_OPERATIONS = ("CREATE", "UPDATE")
OTHER = "other"
"""What is counted for kinds and operations that are not ours: whoever calls must not make up new counters."""


class Outcome(StrEnum):
    """What became of one request."""

    INJECTED = "injected"
    """A workload is born with what policies ask."""
    REPAIRED = "repaired"
    """What an update would have torn was mended."""
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    """It is none of our business: another kind, or the operator's own write."""
    FAILED = "failed"
    """We could not judge it and let it through; the controller has to do the work."""
    REFUSED = "refused"
    """It was no review."""


class Meter(Protocol):
    """Where requests are counted and timed."""

    def count(self, kind: str, operation: str, outcome: str) -> None:
        """Count an admission request that was answered."""

    def took(self, seconds: float) -> None:
        """Take in how long an admission request took."""


class NotAReviewError(Exception):
    """What was sent is no AdmissionReview that we can answer; says why."""


@dataclass(frozen=True, slots=True)
class Mutator:
    """Answers reviews by what is asked of workloads at that moment."""

    asking: Callable[[], Asking]
    labels: Callable[[str], Labels | None]
    """A namespace's labels; None while the namespace is not known."""
    meter: Meter

    def answer(self, body: bytes) -> Json:
        """Return the answer to a review; raises NotAReviewError."""
        request = _request(body)
        kind, operation = request["kind"]["kind"], request.get("operation")
        outcome, admitted = self._judged(request)
        self.meter.count(kind if kind in KINDS else OTHER, operation if operation in _OPERATIONS else OTHER, outcome)
        return _review(request["uid"], admitted)

    def _judged(self, request: Json) -> tuple[Outcome, Admitted]:
        try:
            manager = (request.get("options") or {}).get("fieldManager")
            if manager == names.PROBE_MANAGER and request.get("dryRun"):
                return Outcome.SKIPPED, Admitted(warnings=(names.PROBE_ANSWER,))
            if manager == names.FIELD_MANAGER or not _is_workload(request):
                return Outcome.SKIPPED, UNTOUCHED
            return self._admitted(request)
        except Exception:
            # Our own bug must not keep anybody from working.
            log.exception("admission failed", kind=request["kind"]["kind"], namespace=request.get("namespace"))
            return Outcome.FAILED, UNTOUCHED

    def _admitted(self, request: Json) -> tuple[Outcome, Admitted]:
        operation, namespace, asking = request["operation"], request["namespace"], self.asking()
        # Whom a policy selects is asked at birth only.
        labels = self._labels(namespace, asking) if operation == "CREATE" else {}
        if labels is None:
            log.warning("namespace not known yet, so let through", namespace=namespace)
            return Outcome.FAILED, UNTOUCHED
        body, old = _placed(request["object"], namespace), request.get("oldObject")
        admitted = admit(operation, body, old, asking, labels)
        if not admitted.patch:
            return Outcome.UNCHANGED, admitted
        return Outcome.INJECTED if operation == "CREATE" else Outcome.REPAIRED, admitted

    def _labels(self, namespace: str, asking: Asking) -> Labels | None:
        """Return a namespace's labels; of one so new that nobody has told us, the label that every namespace has."""
        labels = self.labels(namespace)
        selectors = [policy.namespace_selector for policy in asking.policies if policy.namespace_selector is not None]
        if labels is None and all(asks_only(selector, names.NAMESPACE_LABEL) for selector in selectors):
            return {names.NAMESPACE_LABEL: namespace}
        return labels


def _request(body: bytes) -> Json:
    """Return the request of a review."""
    try:
        review = json.loads(body)
    except (ValueError, RecursionError):
        raise NotAReviewError("the body is not JSON") from None
    if not isinstance(review, dict) or review.get("kind") != "AdmissionReview":
        raise NotAReviewError("the body is not an AdmissionReview")
    if review.get("apiVersion") != _API_VERSION:
        raise NotAReviewError(f"only AdmissionReview of {_API_VERSION} is answered")
    request = review.get("request")
    if not isinstance(request, dict) or not isinstance(request.get("uid"), str):
        raise NotAReviewError("the AdmissionReview has no request with a uid")
    if not isinstance(request.get("kind"), dict) or not isinstance(request["kind"].get("kind"), str):
        raise NotAReviewError("the request does not say of what kind its object is")
    return request


def _is_workload(request: Json) -> bool:
    kind = KINDS.get(request["kind"]["kind"])
    return (
        kind is not None
        and request["kind"].get("group") == kind.group
        and not request.get("subResource")
        and request.get("operation") in _OPERATIONS
    )


def _placed(body: Json, namespace: str) -> Json:
    """Return the object with the namespace that it is created in."""
    return {**body, "metadata": {**(body.get("metadata") or {}), "namespace": namespace}}


def _review(uid: str, admitted: Admitted) -> Json:
    response: Json = {"uid": uid, "allowed": True}
    if admitted.patch:
        response |= {"patchType": "JSONPatch", "patch": _encoded(admitted.patch)}
    if admitted.warnings:
        response["warnings"] = list(admitted.warnings)
    return {"apiVersion": _API_VERSION, "kind": "AdmissionReview", "response": response}


def _encoded(patch: tuple[Op, ...]) -> str:
    return base64.b64encode(json.dumps(patch, separators=(",", ":")).encode()).decode()
