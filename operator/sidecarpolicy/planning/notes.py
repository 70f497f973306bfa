"""What a workload's owner should know of a contribution that goes in, beside what it could not give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sidecarpolicy.api import names, quantity
from sidecarpolicy.api.policy import Json
from sidecarpolicy.api.reasons import NoteReason
from sidecarpolicy.planning.policy import Policy
from sidecarpolicy.planning.progress import Progress, Stage
from sidecarpolicy.planning.template.desired import Desired, Note
from sidecarpolicy.planning.workload import reach

_SHORT_GRACE = 10
"""Seconds; a sidecar gets SIGTERM only when every container of the app has ended, within the pod's one grace period."""

_Reason = tuple[NoteReason, str]


def platform_notes(body: Json, wanted: Desired, policies: Sequence[Policy], progress: Progress) -> Iterator[Note]:
    """Yield what Kubernetes will make of the wanted template, to each policy that contributes to it."""
    of_pods, of_sidecars = list(_of_pods(body, wanted, progress)), list(_of_sidecars(body, wanted.template["spec"]))
    for policy in policies:
        part = wanted.record.parts.get(policy.ref.key)
        if part is None:
            continue
        for reason, message in (*of_pods, *(of_sidecars if part.init_containers or part.converted else ())):
            yield Note(policy.ref, reason, message)
        yield from _anchors(policy, wanted.template["spec"])


def author_notes(body: Json, selecting: Sequence[Policy], kept_away: Sequence[Policy]) -> Iterator[Note]:
    """Yield what the author of a workload said of policies, to each that selects it."""
    said = (body["metadata"].get("annotations") or {}).get(names.INJECT_ANNOTATION)
    for policy in kept_away:
        yield Note(policy.ref, NoteReason.OPTED_OUT, f'its annotation {names.INJECT_ANNOTATION}: "false" keeps it away')
    if said not in (None, "true", "false"):
        message = f'its annotation {names.INJECT_ANNOTATION}: "{said}" means nothing: only "false" keeps policies away'
        yield from (Note(policy.ref, NoteReason.INJECT_VALUE_IGNORED, message) for policy in selecting)


def _of_pods(body: Json, wanted: Desired, progress: Progress) -> Iterator[_Reason]:
    before, after = qos_class(wanted.author["spec"]), qos_class(wanted.template["spec"])
    if before == "Guaranteed" and after != before:
        yield (
            NoteReason.QOS_CHANGES,
            f"the pods turn from {before} to {after}: give limits equal to the requests of cpu and memory to keep them",
        )
    if body["kind"] == "Deployment" and (body["spec"].get("strategy") or {}).get("type") == "Recreate":
        yield (
            NoteReason.FULL_OUTAGE,
            "its strategy is Recreate: all of its pods stop before the new ones start",
        )
    if progress.stage is Stage.PENDING:
        yield NoteReason.PENDING_RESTART, progress.message


def _of_sidecars(body: Json, spec: Json) -> Iterator[_Reason]:
    grace = spec.get("terminationGracePeriodSeconds", 30)
    if grace < _SHORT_GRACE:
        yield (
            NoteReason.GRACE_PERIOD_SHORT,
            f"terminationGracePeriodSeconds is {grace}, and sidecars stop last: raise it if they have to flush",
        )
    if body["kind"] in ("Job", "CronJob") and spec.get("restartPolicy") == "OnFailure":
        yield (
            NoteReason.RESTARTS_COUNT_AGAINST_BACKOFF_LIMIT,
            "with restartPolicy OnFailure every restart of a sidecar counts towards the Job's backoffLimit",
        )
    if _counts_every_exit_code(body):
        yield (
            NoteReason.POD_FAILURE_POLICY_MATCHES_SIDECAR,
            "a rule of its podFailurePolicy matches exit codes of any container, also those of a sidecar that is"
            " stopped (137, 143): give the rule's onExitCodes the containerName of the app",
        )


def _counts_every_exit_code(body: Json) -> bool:
    """Tell whether a Job judges pods by exit codes whosever they are (job/pod_failure_policy.go)."""
    spec = body["spec"] if body["kind"] == "Job" else reach(body, ("spec", "jobTemplate", "spec")) or {}
    rules = (spec.get("podFailurePolicy") or {}).get("rules") or ()
    codes = [rule["onExitCodes"] for rule in rules if rule.get("onExitCodes")]
    return any(not one.get("containerName") for one in codes)


def _anchors(policy: Policy, spec: Json) -> Iterator[Note]:
    there = {init["name"] for init in spec.get("initContainers", ())}
    for item in (*policy.content.items, *policy.content.convert):
        missing = [name for name in (*item.before, *item.after) if name not in there]
        if missing and item.name in there:
            message = f"{item.name} is placed by {', '.join(missing)}, which this workload does not have: it is ignored"
            yield Note(policy.ref, NoteReason.ANCHOR_MISSING, message)


def qos_class(spec: Json) -> str:
    """Return the quality-of-service class of a template's pods (pkg/apis/core/v1/helper/qos)."""
    whole = spec.get("resources") or {}
    if whole.get("requests") or whole.get("limits"):
        # Resources of the pod as a whole decide alone (GetPodQOS).
        return "Guaranteed" if _is_guaranteed(whole) else "Burstable"
    resources = [one.get("resources") or {} for one in (*spec["containers"], *spec.get("initContainers", ()))]
    if not any(one.get("requests") or one.get("limits") for one in resources):
        return "BestEffort"
    return "Guaranteed" if all(_is_guaranteed(one) for one in resources) else "Burstable"


def _is_guaranteed(resources: Json) -> bool:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    return all(
        name in limits and quantity.parse(requests.get(name, limits[name])) == quantity.parse(limits[name])
        for name in ("cpu", "memory")
    )
