"""An injected workload and its twin that no policy selects, and what of ours is in the injected one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from localcluster.waiting import until
from world import World

from sidecarpolicy.api import names
from stories.author import NAME, Action, Author, Done, Json, template_in

POLICY = "log-shipper"
_REVISION = "deployment.kubernetes.io/revision"
_RESTARTED = "kubectl.kubernetes.io/restartedAt"
_USER = "system:serviceaccount:sidecarpolicy-system:sidecarpolicy"
_SMALL = {"requests": {"cpu": "50m", "memory": "64Mi"}}
_RESOURCES = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}
_PROBE = {"tcpSocket": {"port": 8080}, "periodSeconds": 20}
_DEFAULTS = {"timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3}

OURS: Mapping[str, Any] = {
    "order": ["shipper", "migrate", "schema", "agent"],
    "images": {"shipper": "shipper:1", "agent": "agent:1"},
    "volumes": ["cache", "logs"],
    "mounts": ["/var/log/app"],
    "requests": _RESOURCES["requests"],
    "limits": _RESOURCES["limits"],
    "livenessProbe": {**_PROBE, **_DEFAULTS},
}
"""What the injected template of `author.manifest()` shows."""

RECORDED = frozenset(
    {
        "initContainers shipper",
        "initContainers agent",
        "volumes logs",
        "volumeMounts /var/log/app",
        "requests.cpu",
        "requests.memory",
        "limits.memory",
        "livenessProbe",
    }
)
"""What the record of it names."""


def policy(**fields: Any) -> Json:
    """A policy that adds one of everything."""
    mount = {"name": "logs", "mountPath": "/logs"}
    spec = {
        "selector": {"matchLabels": {"logs": "shipped"}},
        "kinds": ["Deployment", "StatefulSet", "DaemonSet", "CronJob"],
        "sidecars": [
            {"name": "shipper", "image": "shipper:1", "resources": _SMALL, "volumeMounts": [mount]},
            {"name": "agent", "image": "agent:1", "resources": _SMALL, "position": "Last"},
        ],
        "volumes": [{"name": "logs", "emptyDir": {}}],
        "containers": [
            {
                "names": ["*"],
                "volumeMounts": [{"name": "logs", "mountPath": "/var/log/app"}],
                "resources": _RESOURCES,
                "livenessProbe": _PROBE,
            }
        ],
        **fields,
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.POLICY_KIND,
        "metadata": {"name": POLICY},
        "spec": spec,
    }


@dataclass(slots=True)
class Stage:
    """One workload that carries the policy, and the same one where there is no policy."""

    author: Author
    other: Author
    looks: int = 10

    @property
    def world(self) -> World:
        """Where the injected one lives."""
        return self.author.world

    @property
    def kind(self) -> str:
        """The kind of both."""
        return str(self.author.body["kind"])

    def set(self, **fields: Any) -> None:
        """Create the workload, then the policy, and wait until it is injected; create the twin."""
        for author in (self.author, self.other):
            check(author.applies())
        until(lambda: _is_observed(self.body) and _is_observed(self.twin))
        self.world.create(policy(**fields))
        self.rest()

    def rest(self) -> Json:
        """Wait until the operator has looked at everything anew and wants nothing, and return the workload."""
        self.look()
        self.world.until_policy(POLICY, lambda body: _condition(body, "Ready") == "True")
        return until(self._at_rest)

    def look(self) -> None:
        """Have the operator look at everything anew, by a change of the policy that asks nothing of templates."""
        self.looks += 1
        self.world.patch(names.POLICY_KIND, POLICY, {"spec": {"rollout": {"progressDeadline": f"{self.looks}m"}}})

    def _at_rest(self) -> Json | None:
        body = self.body
        return body if _is_observed(body) and not claims(body) else None

    @property
    def body(self) -> Json:
        """The injected workload as it is now."""
        return self.world.get(self.kind, NAME)

    @property
    def twin(self) -> Json:
        """The twin as it is now."""
        return self.other.world.get(self.kind, NAME)

    def generations(self) -> set[str]:
        """The ReplicaSets of the injected workload, or the ControllerRevisions of other kinds."""
        if self.kind == "CronJob":
            return set()
        kind = "ReplicaSet" if self.kind == "Deployment" else "ControllerRevision"
        return {item["metadata"]["name"] for item in self.world.list(kind, f"app={NAME}")}

    def mark(self) -> int:
        """The place where the audit log ends now."""
        return self.world.cluster.audit_log.mark()

    def writes(self, since: int) -> list[Any]:
        """What the operator has written to workloads here since."""
        found = self.world.cluster.audit_log.writes(since, namespace=self.world.namespace, user=_USER, name=NAME)
        return [write for write in found if not write.dry_run]

    def delete_policy(self) -> None:
        """Delete the policy, and wait until it has gone and the workload is at rest."""
        self.world.kubectl("delete", names.POLICY_PLURAL, POLICY, "--timeout=60s")
        until(lambda: _is_observed(self.body) and _is_observed(self.twin))


MakeStage = Callable[[str, Json], Stage]


def do(stage: Stage, action: Action, twin: Action | None = None) -> Json:
    """Have both authors do something, and wait until the operator is at rest."""
    check(action(stage.author))
    check((twin or action)(stage.other))
    return stage.rest()


def is_ours(body: Json, shows: Mapping[str, Any], taken: frozenset[str]) -> None:
    """What is shown is there, what the author took is not in the record, and the record is of this template."""
    assert shown(body) == {**OURS, **shows}
    assert recorded(body) == RECORDED - taken
    assert record(body)["revision"] == marker(body) != ""


def a_second_look_writes_nothing(stage: Stage) -> None:
    """The operator looks again and leaves everything as it is."""
    mark, before = stage.mark(), stage.body["metadata"]["generation"]

    after = stage.rest()

    assert stage.writes(mark) == []
    assert after["metadata"]["generation"] == before


def leaves_no_trace(stage: Stage) -> None:
    """Without the policy the template is its twin's, and so is the ReplicaSet."""
    stage.delete_policy()
    body, twin = stage.body, stage.twin

    # The two were restarted one after the other.
    restarted = {_restarted(one) for one in (body, twin)}
    assert _without_restart(template_in(body)) == _without_restart(template_in(twin))
    assert names.RECORD_ANNOTATION not in body["metadata"].get("annotations", {})
    if stage.kind == "Deployment" and len(restarted) == 1:
        assert hash_of(stage.world, body) == hash_of(stage.other.world, twin)


def hash_of(world: World, deployment: Json) -> str:
    """The pod-template-hash of a Deployment's newest ReplicaSet."""
    newest = deployment["metadata"]["annotations"][_REVISION]
    found = [one for one in world.list("ReplicaSet") if one["metadata"]["annotations"][_REVISION] == newest]
    return str(found[0]["metadata"]["labels"]["pod-template-hash"])


def _restarted(body: Json) -> str | None:
    annotations: Json = template_in(body)["metadata"].get("annotations", {})
    return annotations.get(_RESTARTED)


def _without_restart(template: Json) -> Json:
    metadata = template["metadata"]
    annotations = {key: value for key, value in metadata.get("annotations", {}).items() if key != _RESTARTED}
    return {**template, "metadata": {**metadata, "annotations": annotations}}


def check(done: Done) -> None:
    """Fail with kubectl's words where a command that has to succeed did not."""
    assert done.returncode == 0, done.stderr


def shown(body: Json) -> Json:
    """What the template shows of all that the policy is about."""
    template = template_in(body)
    spec = template["spec"]
    inits, app = spec.get("initContainers", []), spec["containers"][0]
    return {
        "order": [one["name"] for one in inits],
        "images": {one["name"]: one["image"] for one in inits if one.get("restartPolicy") == "Always"},
        "volumes": sorted(one["name"] for one in spec.get("volumes", [])),
        "mounts": [one["mountPath"] for one in app.get("volumeMounts", [])],
        **{side: app.get("resources", {}).get(side) for side in ("requests", "limits")},
        "livenessProbe": app.get("livenessProbe"),
    }


def recorded(body: Json) -> set[str]:
    """What the record names, whichever container of the app it is about."""
    part = record(body)["policies"][POLICY]
    found = {f"{name} {item}" for name in ("initContainers", "volumes") for item in part.get(name, [])}
    for filled in part.get("containers", {}).values():
        found |= {f"volumeMounts {mount['mountPath']}" for mount in filled.get("volumeMounts", [])}
        found |= {f"{side}.{name}" for side, amounts in filled.get("resources", {}).items() for name in amounts}
        found |= {name for name in filled if name.endswith("Probe")}
    return found


def record(body: Json) -> Json:
    """The record, as it stands in the annotation."""
    content: Json = json.loads(body["metadata"]["annotations"][names.RECORD_ANNOTATION])
    return content


def marker(body: Json) -> str:
    """The revision that the template names."""
    return str(template_in(body)["metadata"].get("annotations", {}).get(names.REVISION_ANNOTATION, ""))


def claims(body: Json) -> set[str]:
    """The fields of the author's container that a server-side apply of the author's would conflict about."""
    found: set[str] = set()
    for entry in body["metadata"]["managedFields"]:
        if entry["manager"] == names.FIELD_MANAGER:
            spec = _plain(entry["fieldsV1"]).get("spec", {})
            template = spec.get("jobTemplate", {}).get("spec", spec).get("template", {})
            for container in template.get("spec", {}).get("containers", {}).values():
                found |= container.keys() - {"volumeMounts", "env", "."}
    return found


def _plain(fields: Any) -> Any:
    return {key.removeprefix("f:"): _plain(value) for key, value in fields.items()}


def _is_observed(body: Json) -> bool:
    if body["kind"] == "CronJob":
        return True
    return bool(body.get("status", {}).get("observedGeneration", 0) >= body["metadata"]["generation"])


def _condition(body: Json, kind: str) -> str:
    conditions = body.get("status", {}).get("conditions", [])
    return next((str(one["status"]) for one in conditions if one["type"] == kind), "")
