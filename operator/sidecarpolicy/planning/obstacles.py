"""Why Kubernetes, or a workload's owner, forbids its change."""

from __future__ import annotations

from sidecarpolicy.api import names
from sidecarpolicy.api.policy import Json
from sidecarpolicy.api.reasons import BlockReason
from sidecarpolicy.planning.progress import condition_of
from sidecarpolicy.planning.standing import Standing, State
from sidecarpolicy.planning.workload import ref_of

_JOB_RESOURCES = (1, 36)
"""The first API server that lets the resources of a suspended Job be changed (KEP-5440)."""


def owned_by(body: Json, owner: Json) -> State:
    """Say that somebody else writes the workload."""
    message = (
        f"{ref_of(body)} belongs to {owner['kind']} {owner['name']}, which would undo every change:"
        f" add the sidecar to the {owner['kind']}, or do not select the workload"
    )
    return State(Standing.BLOCKED, BlockReason.OWNED_BY_CONTROLLER, message)


def of_cron_job(body: Json) -> State:
    """Say that a Job which a CronJob has made stays as it was made."""
    advice = (
        "Let it finish: the next one is born with what the policy adds if the admission webhook answers then,"
        " or if the policy selects the CronJob as well"
    )
    return _immutable(body, advice)


def obstacle(body: Json, template: Json, wanted: Json, server: tuple[int, int]) -> State | None:
    """Say why a workload's template cannot be changed now."""
    ref = ref_of(body)
    if ref.kind == "Job" and not (is_on_hold(body) and server >= _JOB_RESOURCES and _only_resources(template, wanted)):
        # True of what a policy adds and of what it takes away, whether or not admission will answer by then.
        advice = (
            "Let it finish, or delete and create it again:"
            " the admission webhook gives a Job what policies ask while it is created"
        )
        return _immutable(body, advice)
    if ref.kind == "Deployment" and body["spec"].get("paused"):
        message = f"{ref} is paused by its owner: it is changed once `kubectl rollout resume` was run"
        return State(Standing.BLOCKED, BlockReason.WAITING_FOR_RESUME, message)
    return None


def _immutable(body: Json, advice: str) -> State:
    message = f"{ref_of(body)} keeps its template: Kubernetes forbids the change. {advice}"
    return State(Standing.BLOCKED, BlockReason.TEMPLATE_IMMUTABLE, message)


def is_on_hold(job: Json) -> bool:
    """Tell whether a Job is suspended and runs no pod (pkg/registry/batch/job/strategy.go)."""
    status = job.get("status") or {}
    stopped = "startTime" not in status or condition_of(job, "Suspended") == "True"
    return bool(job["spec"].get("suspend")) and stopped and not status.get("active")


def _only_resources(template: Json, wanted: Json) -> bool:
    return _without_resources(template) == _without_resources(wanted)


def _without_resources(template: Json) -> Json:
    spec = dict(template["spec"])
    for section in ("containers", "initContainers"):
        spec[section] = [{**container, "resources": None} for container in spec.get(section, ())]
    metadata = dict(template.get("metadata") or {})
    annotations = dict(metadata.pop("annotations", None) or {})
    annotations.pop(names.REVISION_ANNOTATION, None)
    return {**template, "metadata": {**metadata, "annotations": annotations}, "spec": spec}
