"""AdmissionReviews as the API server sends them, and what their answers come to."""

from __future__ import annotations

import base64
import json
from collections import Counter
from typing import Any

import jsonpatch

from sidecarpolicy.planning.workload import KINDS

Json = dict[str, Any]


def review(body: Json, operation: str = "CREATE", old: Json | None = None, **request: Any) -> Json:
    """A review of a workload."""
    facts = KINDS[body["kind"]]
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": facts.group, "version": "v1", "kind": body["kind"]},
            "resource": {"group": facts.group, "version": "v1", "resource": facts.plural},
            "namespace": "shop",
            "operation": operation,
            "userInfo": {"username": "jane"},
            "object": body,
            "oldObject": old,
            "dryRun": False,
            "options": {"kind": f"{operation.title()}Options", "apiVersion": "meta.k8s.io/v1"},
            **request,
        },
    }


def encoded(sent: Json) -> bytes:
    """The review as it goes over the wire."""
    return json.dumps(sent).encode()


def patched(body: Json, answer: Json) -> Json:
    """The object after the answer's patch."""
    response = answer["response"]
    if "patch" not in response:
        return body
    result: Json = jsonpatch.apply_patch(body, json.loads(base64.b64decode(response["patch"])))
    return result


class Meter:
    """Counts and times, to be looked at."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.times: list[float] = []

    def count(self, kind: str, operation: str, outcome: str) -> None:
        self.counts[kind, operation, outcome] += 1

    def took(self, seconds: float) -> None:
        self.times.append(seconds)
