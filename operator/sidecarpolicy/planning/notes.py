"""What a workload's owner should know of a contribution that goes in, beside what it could not give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sidecarpolicy.api import quantity
from sidecarpolicy.api.policy import Json
from sidecarpolicy.api.reasons import NoteReason
from sidecarpolicy.planning.policy import Policy
from sidecarpolicy.planning.progress import Progress, Stage
from sidecarpolicy.planning.template.desired import Note

_SHORT_GRACE = 10
"""Seconds; a sidecar gets SIGTERM only when every container of the app has ended, within the pod's one grace period."""


def platform_notes(
    body: Json, template: Json, wanted: Json, policies: Sequence[Policy], progress: Progress
) -> Iterator[Note]:
    """Yield what Kubernetes will make of the wanted template, to each policy that has sidecars in it."""
    there = {init["name"] for init in wanted["spec"].get("initContainers", ())}
    reasons = list(_reasons(body, template, wanted, progress))
    for policy in policies:
        if any(item.name in there for item in policy.content.items):
            for reason, message in reasons:
                yield Note(policy.ref, reason, message)
            yield from _anchors(policy, wanted)


def _reasons(body: Json, template: Json, wanted: Json, progress: Progress) -> Iterator[tuple[NoteReason, str]]:
    spec = wanted["spec"]
    before, after = qos_class(template["spec"]), qos_class(spec)
    if before == "Guaranteed" and after != before:
        yield (
            NoteReason.QOS_CHANGES,
            f"the pods turn from {before} to {after}: give the sidecar limits equal to its requests to keep them",
        )
    grace = spec.get("terminationGracePeriodSeconds", 30)
    if grace < _SHORT_GRACE:
        yield (
            NoteReason.GRACE_PERIOD_SHORT,
            f"terminationGracePeriodSeconds is {grace}, and sidecars stop last: raise it if they have to flush",
        )
    if body["kind"] == "Deployment" and (body["spec"].get("strategy") or {}).get("type") == "Recreate":
        yield (
            NoteReason.FULL_OUTAGE,
            "its strategy is Recreate: all of its pods stop before the new ones start",
        )
    if progress.stage is Stage.PENDING:
        yield NoteReason.PENDING_RESTART, progress.message
    if body["kind"] in ("Job", "CronJob") and spec.get("restartPolicy") == "OnFailure":
        yield (
            NoteReason.RESTARTS_COUNT_AGAINST_BACKOFF_LIMIT,
            "with restartPolicy OnFailure every restart of a sidecar counts towards the Job's backoffLimit",
        )


def _anchors(policy: Policy, wanted: Json) -> Iterator[Note]:
    there = {init["name"] for init in wanted["spec"].get("initContainers", ())}
    for item in policy.content.items:
        missing = [name for name in (*item.before, *item.after) if name not in there]
        if missing:
            message = f"{item.name} is placed by {', '.join(missing)}, which this workload does not have: it is ignored"
            yield Note(policy.ref, NoteReason.ANCHOR_MISSING, message)


def qos_class(spec: Json) -> str:
    """Return the quality-of-service class of a template's pods (pkg/apis/core/v1/helper/qos)."""
    resources = [container.get("resources") or {} for container in (*spec["containers"], *spec.get("initContainers", ()))]
    if not any(one.get("requests") or one.get("limits") for one in resources):
        return "BestEffort"
    return "Guaranteed" if all(_is_guaranteed(one) for one in resources) else "Burstable"


def _is_guaranteed(resources: Json) -> bool:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    return all(
        name in limits and quantity.parse(requests.get(name, limits[name])) == quantity.parse(limits[name])
        for name in ("cpu", "memory")
    )
