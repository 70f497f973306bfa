"""What users do to injected workloads, and what is to be seen afterwards, with admission and without."""

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
    nothing,
    null,
    patching_pod,
    pod,
    replacing,
    replacing_by_export,
    replacing_template,
    running,
    unannotated,
    within,
)

DEPLOYMENT = ("Deployment",)
SETS = ("StatefulSet", "DaemonSet")
EVERY_KIND = (*DEPLOYMENT, *SETS, "CronJob")

ALWAYS = {"timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3}
OWN_HANDLER = {"httpGet": {"path": "/", "port": 8080}}
OWN_PORT = {"tcpSocket": {"port": 9090}}

NONE, ONE, TWO = ({CLIENT: number, SERVER: number} for number in range(3))


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that users do, alone or after another."""

    id: str
    action: Action
    ways: tuple[str, ...] = BOTH
    """How the author applies the manifest."""
    off: Mapping[str, int] = field(default_factory=lambda: ONE)
    """New ReplicaSets at most, by the user and by the operator together, where admission does not serve."""
    on: int = 1
    """New ReplicaSets exactly, all of them by the user, where it does."""
    fails: Mapping[str, str] = field(default_factory=dict)
    """What the API server says where the command fails without admission."""
    warned: tuple[str, ...] = ()
    """In which ways the command has no effect where admission serves, as kubectl says."""
    kinds: tuple[str, ...] = DEPLOYMENT
    start: Mapping[str, Any] = field(default_factory=dict)
    """How the manifest begins other than usual."""
    before: Action = nothing
    needs_earlier: bool = False
    """It goes back to the time before the injection, so there has to be one."""
    shows: Mapping[str, Any] = field(default_factory=dict)
    """What the template shows afterwards other than `OURS`."""
    taken: frozenset[str] = frozenset()
    """What is the author's now, so that the record must not name it."""
    at_once: tuple[Mapping[str, Any], frozenset[str]] | None = None
    """What it shows, and what is the author's, where admission serves, if that is something else."""
    records: int = 0
    """Writes of the operator where admission serves: of the record alone, where the API server asked nobody."""
    twin: Action | None = None
    """What comes to the same for a workload without sidecars, where that is something else."""


def limits(memory: str) -> Json:
    """The author's own limit."""
    return {"limits": {"memory": memory}}


def without_inits(*names: str) -> list[str]:
    """The order with other init containers of the author's than usual."""
    return ["shipper", *names, "agent"]


NO_INITS = {"inits": ()}
NO_VOLUMES = {"volumes": ()}
NO_LOGS = 'volumeMounts[0].name: Not found: "logs"'
TWO_HANDLERS = "may not specify more than 1 handler type"
OVER_LIMIT = "must be less than or equal to memory limit"
LIMIT, PROBE = frozenset({"limits.memory"}), frozenset({"livenessProbe"})

APPLIES = (
    Case("applied-unchanged", applying(), off=NONE, on=0, kinds=EVERY_KIND),
    Case("applied-with-another-image", applying(within(image="app:2")), kinds=EVERY_KIND),
    Case("applied-with-a-first-init-container", applying(inits("first")), start=NO_INITS, off=TWO,
         shows={"order": without_inits("first")}),
    Case("applied-with-an-init-container-in-front", applying(inits("i0", "migrate", "schema")),
         off={CLIENT: 2, SERVER: 1}, shows={"order": without_inits("i0", "migrate", "schema")}),
    Case("applied-with-an-init-container-at-the-end", applying(inits("migrate", "schema", "i9")),
         off={CLIENT: 1, SERVER: 2}, shows={"order": without_inits("migrate", "schema", "i9")}),
    Case("applied-without-volumes", applying(pod(volumes=None)), fails={CLIENT: NO_LOGS},
         shows={"volumes": ["logs"]}),
    Case("applied-with-null-volumes", applying(null("volumes")), fails={CLIENT: NO_LOGS}, kinds=EVERY_KIND,
         shows={"volumes": ["logs"]}),
    Case("applied-with-null-volumes-instead-of-none", applying(null("volumes")), start=NO_VOLUMES,
         off=NONE, on=0, fails={CLIENT: NO_LOGS}, warned=(CLIENT,), shows={"volumes": ["logs"]}),
    Case("applied-without-init-containers", applying(pod(initContainers=None)), kinds=EVERY_KIND,
         off={CLIENT: 2, SERVER: 1}, shows={"order": without_inits()}),
    Case("applied-with-null-init-containers", applying(null("initContainers")), start=NO_INITS,
         off={CLIENT: 1, SERVER: 0}, on=0, warned=(CLIENT,), shows={"order": without_inits()}),
    Case("applied-with-an-own-probe-of-another-kind", applying(within(livenessProbe=OWN_HANDLER)),
         fails={CLIENT: TWO_HANDLERS, SERVER: TWO_HANDLERS}, kinds=EVERY_KIND, taken=PROBE,
         shows={"livenessProbe": {
             "httpGet": {**OWN_HANDLER["httpGet"], "scheme": "HTTP"}, **ALWAYS, "periodSeconds": 10}}),
    Case("applied-with-an-own-probe-on-another-port", applying(within(livenessProbe=OWN_PORT)),
         # Our period stays in it until the next change, which is no reason to restart, and the record knows of it.
         shows={"livenessProbe": {**OWN_PORT, **ALWAYS, "periodSeconds": 20}},
         at_once=({"livenessProbe": {**OWN_PORT, **ALWAYS, "periodSeconds": 10}}, PROBE)),
    Case("applied-with-a-higher-limit", applying(within(resources=limits("512Mi"))),
         shows={"limits": {"memory": "512Mi"}}, taken=LIMIT),
    Case("applied-with-a-limit-below-our-request", applying(within(resources=limits("64Mi"))),
         fails={CLIENT: OVER_LIMIT, SERVER: OVER_LIMIT}, kinds=EVERY_KIND, taken=LIMIT,
         shows={"limits": {"memory": "64Mi"}, "requests": {"cpu": "100m", "memory": "64Mi"}}),
    Case("applied-with-our-very-limit", applying(within(resources=limits("256Mi"))), off=NONE, on=0,
         kinds=EVERY_KIND, taken=LIMIT, records=1),
    Case("applied-with-a-renamed-container", applying(within(name="front")), off=TWO),
    # By client-side apply the marker is lost where admission does not serve, until the next revision.
    Case("applied-without-template-annotations", applying(unannotated), off={SERVER: 1}),
)  # fmt: skip

OTHERS = (
    Case("set-image", running("set", "image", "{}", "app=app:2"), (CLIENT,), kinds=EVERY_KIND),
    Case("rollout-restart", running("rollout", "restart", "{}"), (CLIENT,), kinds=(*DEPLOYMENT, *SETS)),
    Case("scale", running("scale", "{}", "--replicas=2"), (CLIENT,), off=NONE, on=0,
         kinds=("Deployment", "StatefulSet")),
    Case("replaced-by-the-manifest", replacing(), off=NONE, on=0, warned=BOTH, kinds=EVERY_KIND),
    Case("replaced-by-another-image", replacing(within(image="app:2")), off=TWO),
    Case("replaced-by-an-export-without-annotations", replacing_by_export, off=NONE, on=0, kinds=EVERY_KIND),
    Case("rollout-undo-of-an-image", running("rollout", "undo", "{}"), (CLIENT,), off=NONE, on=0,
         kinds=(*DEPLOYMENT, *SETS), before=applying(within(image="app:2"))),
    Case("rollout-undo-to-before-the-injection", running("rollout", "undo", "{}"), (CLIENT,), off=NONE, on=0,
         warned=(CLIENT,), kinds=(*DEPLOYMENT, *SETS), needs_earlier=True, twin=nothing),
    Case("rollout-undo-to-an-image-before-the-injection", running("rollout", "undo", "{}", "--to-revision=1"),
         (CLIENT,), off=NONE, on=0, kinds=(*DEPLOYMENT, *SETS), needs_earlier=True,
         before=applying(within(image="app:2"))),
    Case("our-image-patched", patching_pod(initContainers=[{"name": "shipper", "image": "shipper:9"}]), (CLIENT,),
         on=0, warned=(CLIENT,), kinds=EVERY_KIND, twin=nothing),
    Case("our-sidecar-deleted", patching_pod(initContainers=[{"name": "shipper", "$patch": "delete"}]), (CLIENT,),
         on=0, warned=(CLIENT,), kinds=EVERY_KIND, twin=nothing),
    Case("our-limit-patched", patching_pod(containers=[{"name": "app", "resources": limits("300Mi")}]), (CLIENT,),
         kinds=EVERY_KIND, shows={"limits": {"memory": "300Mi"}}, taken=LIMIT),
    Case("whole-template-patched", replacing_template, (CLIENT,), off=NONE, on=0, warned=(CLIENT,), kinds=EVERY_KIND),
)  # fmt: skip

CASES = (*APPLIES, *OTHERS)
