"""What users do to an injected Deployment while no webhook answers, and what is to be seen afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stories.author import (
    BOTH,
    CLIENT,
    SERVER,
    Action,
    Json,
    applying,
    inits,
    manifest,
    nothing,
    null,
    patching,
    pod,
    replacing,
    replacing_by_export,
    replacing_template,
    running,
    unannotated,
    within,
)

ALWAYS = {"timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3}
OWN_HANDLER = {"httpGet": {"path": "/", "port": 8080}}
OWN_PORT = {"tcpSocket": {"port": 9090}}


NONE, ONE, TWO = ({CLIENT: number, SERVER: number} for number in range(3))


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that users do, alone or after others."""

    id: str
    action: Action
    ways: tuple[str, ...] = BOTH
    """How the author applies the manifest."""
    new: Mapping[str, int] = field(default_factory=lambda: ONE)
    """New ReplicaSets at most, by the user and by the operator together."""
    start: Json = field(default_factory=manifest)
    before: tuple[Action, ...] = ()
    shows: Mapping[str, Any] = field(default_factory=dict)
    """What the template shows afterwards other than `OURS`."""
    taken: frozenset[str] = frozenset()
    """What is the author's now, so that the record must not name it."""
    twin: Action | None = None
    """What comes to the same for a workload without sidecars, where that is something else."""


def limits(memory: str) -> Json:
    """The author's own limit."""
    return {"limits": {"memory": memory}}


def patched(**fields: Any) -> Json:
    """A patch of the pod spec."""
    return {"spec": {"template": {"spec": fields}}}


def without_inits(*names: str) -> list[str]:
    """The order with other init containers of the author's than usual."""
    return ["shipper", *names, "agent"]


APPLIES = (
    Case("applied-unchanged", applying(), new=NONE),
    Case("applied-with-another-image", applying(within(image="app:2"))),
    Case("applied-with-a-first-init-container", applying(inits("first")), start=manifest(inits=()), new=TWO,
         shows={"order": without_inits("first")}),
    Case("applied-with-an-init-container-in-front", applying(inits("i0", "migrate", "schema")),
         new={CLIENT: 2, SERVER: 1},
         shows={"order": without_inits("i0", "migrate", "schema")}),
    Case("applied-with-an-init-container-at-the-end", applying(inits("migrate", "schema", "i9")),
         new={CLIENT: 1, SERVER: 2},
         shows={"order": without_inits("migrate", "schema", "i9")}),
    Case("applied-without-volumes", applying(pod(volumes=None)), (SERVER,), shows={"volumes": ["logs"]}),
    Case("applied-with-null-volumes", applying(null("volumes")), (SERVER,), new=NONE, start=manifest(volumes=()),
         shows={"volumes": ["logs"]}),
    Case("applied-without-init-containers", applying(pod(initContainers=None)),
         new={CLIENT: 2, SERVER: 1},
         shows={"order": without_inits()}),
    Case("applied-with-null-init-containers", applying(null("initContainers")), start=manifest(inits=()),
         new={CLIENT: 1, SERVER: 0}, shows={"order": without_inits()}),
    Case("applied-with-an-own-probe-on-another-port", applying(within(livenessProbe=OWN_PORT)),
         # Our period stays in it until the next change, which is no reason to restart, and the record knows of it.
         shows={"livenessProbe": {**OWN_PORT, **ALWAYS, "periodSeconds": 20}}),
    Case("applied-with-a-higher-limit", applying(within(resources=limits("512Mi"))),
         shows={"limits": {"memory": "512Mi"}}, taken=frozenset({"limits.memory"})),
    Case("applied-with-our-very-limit", applying(within(resources=limits("256Mi"))), new=NONE,
         taken=frozenset({"limits.memory"})),
    Case("applied-with-a-renamed-container", applying(within(name="front")), new=TWO),
    Case("applied-without-template-annotations", applying(unannotated), (SERVER,)),
)  # fmt: skip

OTHERS = (
    Case("set-image", running("set", "image", "{}", "app=app:2"), (CLIENT,)),
    Case("rollout-restart", running("rollout", "restart", "{}"), (CLIENT,)),
    Case("scale", running("scale", "{}", "--replicas=2"), (CLIENT,), new=NONE),
    Case("replaced-by-the-manifest", replacing(within(image="app:2")), new=TWO),
    Case("replaced-by-an-export-without-annotations", replacing_by_export, new=NONE),
    Case("rollout-undo-of-an-image", running("rollout", "undo", "{}"), (CLIENT,), new=NONE,
         before=(applying(within(image="app:2")),)),
    Case("rollout-undo-to-before-the-injection", running("rollout", "undo", "{}"), (CLIENT,), new=NONE, twin=nothing),
    Case("rollout-undo-to-an-image-before-the-injection", running("rollout", "undo", "{}", "--to-revision=1"),
         (CLIENT,), new=NONE, before=(applying(within(image="app:2")),)),
    Case("our-image-patched",
         patching("strategic", patched(initContainers=[{"name": "shipper", "image": "shipper:9"}])), (CLIENT,),
         twin=nothing),
    Case("our-sidecar-deleted",
         patching("strategic", patched(initContainers=[{"name": "shipper", "$patch": "delete"}])), (CLIENT,),
         twin=nothing),
    Case("our-limit-patched",
         patching("strategic", patched(containers=[{"name": "app", "resources": limits("300Mi")}])), (CLIENT,),
         shows={"limits": {"memory": "300Mi"}}, taken=frozenset({"limits.memory"})),
    Case("whole-template-patched", replacing_template, (CLIENT,), new=NONE),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Failure:
    """A command that fails while no webhook answers, with what the API server says."""

    id: str
    change: Any
    message: str
    ways: tuple[str, ...] = BOTH
    shows: Mapping[str, Any] = field(default_factory=dict)
    """What the template shows other than `OURS` once the author has replaced instead of applied."""
    taken: frozenset[str] = frozenset()


FAILURES = (
    Failure("without-volumes", pod(volumes=None), 'volumeMounts[0].name: Not found: "logs"', (CLIENT,),
            shows={"volumes": ["logs"]}),
    Failure("with-null-volumes", null("volumes"), 'volumeMounts[0].name: Not found: "logs"', (CLIENT,),
            shows={"volumes": ["logs"]}),
    Failure("with-an-own-probe-of-another-kind", within(livenessProbe=OWN_HANDLER),
            "may not specify more than 1 handler type",
            shows={"livenessProbe": {
                "httpGet": {**OWN_HANDLER["httpGet"], "scheme": "HTTP"}, **ALWAYS, "periodSeconds": 10}},
            taken=frozenset({"livenessProbe"})),
    Failure("with-a-limit-below-our-request", within(resources=limits("64Mi")),
            "must be less than or equal to memory limit",
            shows={"limits": {"memory": "64Mi"}, "requests": {"cpu": "100m", "memory": "64Mi"}},
            taken=frozenset({"limits.memory"})),
)  # fmt: skip
