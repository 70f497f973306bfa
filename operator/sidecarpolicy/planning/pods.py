"""What one look at a workload's pods says: whether they run what was asked, and who fails if not."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sidecarpolicy.api.policy import Json
from sidecarpolicy.api.reasons import FailureReason
from sidecarpolicy.planning.template.desired import marker_of

GRACE = timedelta(seconds=15)
"""How long a container may be in trouble before it counts as failed: a first pull or start often fails once."""

_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError"})
_CONFIG = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PostStartHookError"})
_CRASH = frozenset({"CrashLoopBackOff"})
_AT_ONCE = frozenset({"ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "CrashLoopBackOff"})
"""Reasons that the kubelet gives only after it has tried more than once."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the pods of one workload should show."""

    selector: str
    """Label selector that lists them."""
    marker: str
    """The revisions that the template names."""
    sidecars: tuple[str, ...]
    """Our native sidecars, in order."""
    inits: tuple[str, ...] = ()
    """Our ordinary init containers."""
    expected: bool = False
    """There has to be a pod of the newest template."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Every pod runs what was asked."""


@dataclass(frozen=True, slots=True)
class Starting:
    """Not yet; nothing wrong so far."""

    message: str


@dataclass(frozen=True, slots=True)
class Failing:
    """A container or a pod is in trouble beyond the grace."""

    reason: FailureReason
    message: str


Look = Sound | Starting | Failing


def asked_of(body: Json, template: Json, ours: Collection[str]) -> Asked:
    """Return what to look for in the pods of a workload whose template has something of ours."""
    inits = [init for init in template["spec"].get("initContainers", ()) if init["name"] in ours]
    return Asked(
        selector=selector_text(body["spec"].get("selector") or {}),
        marker=marker_of(template),
        sidecars=tuple(init["name"] for init in inits if init.get("restartPolicy") == "Always"),
        inits=tuple(init["name"] for init in inits if init.get("restartPolicy") != "Always"),
        expected=_is_expected(body),
    )


def _is_expected(body: Json) -> bool:
    spec = body["spec"]
    if body["kind"] not in ("Deployment", "StatefulSet"):
        # How many pods a DaemonSet or a Job wants is said by its status.
        return False
    partition = ((spec.get("updateStrategy") or {}).get("rollingUpdate") or {}).get("partition") or 0
    return bool(spec.get("replicas", 1) > partition)


def look(pods: Sequence[Json], asked: Asked, now: datetime) -> Look:
    """Say what the pods show of the newest template; pods that end and pods of older templates do not count."""
    current = [pod for pod in pods if _counts(pod) and marker_of(pod) == asked.marker]
    if asked.expected and not current:
        return Starting("no pod of the newest template is there yet")
    troubles = [trouble for pod in current for trouble in _troubles(pod, asked, now)]
    failing = [trouble for trouble in troubles if isinstance(trouble, Failing)]
    if failing:
        return failing[0]
    return troubles[0] if troubles else Sound()


def _counts(pod: Json) -> bool:
    if "deletionTimestamp" in pod["metadata"] or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return False
    # Once the app has ended, the kubelet stops the sidecars: how they end is nobody's trouble.
    own = _own(pod)
    return not own or not all(_has_ended(pod, state) for state in own)


def _own(pod: Json) -> list[Json]:
    return (pod.get("status") or {}).get("containerStatuses") or []


def _has_ended(pod: Json, state: Json) -> bool:
    """Tell whether a container has ended for good, as those of Jobs do, maybe one long before another."""
    terminated = (state.get("state") or {}).get("terminated")
    if not terminated:
        return False
    policy = pod["spec"].get("restartPolicy")
    return bool(policy == "Never" or (policy == "OnFailure" and terminated["exitCode"] == 0))


def _troubles(pod: Json, asked: Asked, now: datetime) -> Iterator[Failing | Starting]:
    """Yield what is not as asked; ours before the workload's own, which may wait for ours."""
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    yield from _unscheduled(pod, status, name)
    yield from _missing(pod, asked, name)
    inits = {state["name"]: state for state in status.get("initContainerStatuses") or ()}
    for ours in (*asked.inits, *asked.sidecars):
        what = f"{'sidecar' if ours in asked.sidecars else 'init container'} {ours} of pod {name}"
        yield from _container(pod, inits.pop(ours, None), what, None, now)
    for state in (*inits.values(), *(one for one in _own(pod) if not _has_ended(pod, one))):
        what = f"the workload's own container {state['name']} of pod {name}"
        yield from _container(pod, state, what, FailureReason.APP_CONTAINER_FAILS, now)


def _unscheduled(pod: Json, status: Json, name: str) -> Iterator[Starting]:
    """Yield why a pod that has no node has none.

    The scheduler writes this condition by the pod's name alone (`PatchPodStatus` in its util package), so what it
    says of a StatefulSet's pod that is gone can come to stand at the one that took its name and has a node: only a
    pod without a node is asked.
    """
    if pod["spec"].get("nodeName"):
        return
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield Starting(f"pod {name} has no node: {condition.get('message', '')}")


def _missing(pod: Json, asked: Asked, name: str) -> Iterator[Failing]:
    inits = {init["name"]: init for init in pod["spec"].get("initContainers") or ()}
    for sidecar in asked.sidecars:
        if sidecar not in inits:
            message = f"pod {name} lacks sidecar {sidecar}, which its template has: another webhook removed it"
            yield Failing(FailureReason.SIDECAR_MISSING, message)
        elif inits[sidecar].get("restartPolicy") != "Always":
            message = (
                f"pod {name} has {sidecar} without restartPolicy: Always, so it never starts:"
                " another webhook, built on an old API, stripped it"
            )
            yield Failing(FailureReason.RESTART_POLICY_STRIPPED, message)
    order = [init for init in inits if init in asked.sidecars]
    if sorted(order) == sorted(asked.sidecars) and order != list(asked.sidecars):
        message = f"pod {name} has the sidecars in another order than its template: another webhook moved them"
        yield Failing(FailureReason.SIDECAR_MISSING, message)


def _container(
    pod: Json, state: Json | None, what: str, blame: FailureReason | None, now: datetime
) -> Iterator[Failing | Starting]:
    if state is None:
        yield Starting(f"{what} has no status yet")
        return
    waiting = (state.get("state") or {}).get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason in _IMAGE | _CONFIG | _CRASH:
        detail = f"{what} waits: {reason}{_detail(state, waiting)}"
        if reason in _AT_ONCE or _age(pod, now) > GRACE:
            yield Failing(blame or _reason_of(reason), detail)
        else:
            yield Starting(detail)
    elif not state.get("ready"):
        yield _not_ready(pod, state, what, blame, now)


def _age(pod: Json, now: datetime) -> timedelta:
    return now - datetime.fromisoformat(pod["metadata"]["creationTimestamp"])


def _not_ready(pod: Json, state: Json, what: str, blame: FailureReason | None, now: datetime) -> Failing | Starting:
    terminated = (state.get("lastState") or {}).get("terminated") or {}
    if terminated.get("reason") == "OOMKilled" and state.get("restartCount", 0) > 1:
        return Failing(blame or FailureReason.CRASH_LOOP, f"{what} was killed for using more memory than its limit")
    if not state.get("started") and _is_late(pod, state, now):
        return Failing(blame or FailureReason.STARTUP_PROBE_FAILING, f"{what} runs, but its startup probe fails")
    return Starting(f"{what} is not ready")


def _is_late(pod: Json, state: Json, now: datetime) -> bool:
    """Tell whether a container's startup probe had all of its time; the kubelet restarts it then, again and again."""
    spec = pod["spec"]
    containers = (*(spec.get("initContainers") or ()), *spec["containers"])
    probe = next((one.get("startupProbe") for one in containers if one["name"] == state["name"]), None)
    started = ((state.get("state") or {}).get("running") or {}).get("startedAt")
    if not probe or not started:
        return False
    tries = probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)
    budget = timedelta(seconds=probe.get("initialDelaySeconds", 0) + tries)
    return bool(state.get("restartCount")) or now - datetime.fromisoformat(started) > budget


def _detail(state: Json, waiting: Json) -> str:
    terminated = (state.get("lastState") or {}).get("terminated") or {}
    if terminated:
        return f" (last exit: {terminated.get('reason', 'Error')}, code {terminated.get('exitCode')})"
    return f" ({waiting['message']})" if waiting.get("message") else ""


def _reason_of(waiting: str) -> FailureReason:
    if waiting in _IMAGE:
        return FailureReason.IMAGE_PULL_FAILS
    return FailureReason.CONFIG_ERROR if waiting in _CONFIG else FailureReason.CRASH_LOOP


def selector_text(selector: Json) -> str:
    """Spell a label selector as a query has it."""
    terms = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for term in selector.get("matchExpressions") or ():
        values = ",".join(term.get("values") or ())
        match term["operator"]:
            case "In":
                terms.append(f"{term['key']} in ({values})")
            case "NotIn":
                terms.append(f"{term['key']} notin ({values})")
            case "Exists":
                terms.append(term["key"])
            case "DoesNotExist":
                terms.append(f"!{term['key']}")
    return ",".join(terms)
