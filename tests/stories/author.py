"""A workload's author: one manifest, and what people do to it with kubectl."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from subprocess import CompletedProcess
from typing import Any

from world import World

Json = dict[str, Any]
Done = CompletedProcess[str]
Change = Callable[[Json], None]

CLIENT, SERVER = "client-side", "server-side"
BOTH = (CLIENT, SERVER)


def manifest(
    kind: str = "Deployment",
    *,
    inits: tuple[str, ...] = ("migrate", "schema"),
    volumes: tuple[str, ...] = ("cache",),
    legacy: tuple[str, ...] = (),
) -> Json:
    """A workload as its author writes it; without pods, which would tell nothing here."""
    pod: Json = {
        "containers": [
            {
                "name": "app",
                "image": "app:1",
                "ports": [{"name": "http", "containerPort": 8080}, {"name": "admin", "containerPort": 9090}],
            },
            *({"name": name, "image": f"{name}:1"} for name in legacy),
        ],
    }
    if volumes:
        pod["volumes"] = [{"name": name, "emptyDir": {}} for name in volumes]
    if inits:
        pod["initContainers"] = [{"name": name, "image": f"{name}:1"} for name in inits]
    template: Json = {"metadata": {"annotations": {"team": "shop"}}, "spec": pod}
    spec: Json = {"template": template}
    match kind:
        case "CronJob":
            pod["restartPolicy"] = "OnFailure"
            spec = {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": template}}}
        case "DaemonSet":
            pod["nodeSelector"] = {"nowhere": "at-all"}
        case _:
            spec["replicas"] = 0
    group = "batch/v1" if kind == "CronJob" else "apps/v1"
    return {"apiVersion": group, "kind": kind, "metadata": {"labels": {"logs": "shipped"}}, "spec": spec}


def named(body: Json, name: str) -> Json:
    """The manifest under a name, its pods labelled by it."""
    body = copy.deepcopy(body)
    body["metadata"]["name"] = name
    template_in(body)["metadata"]["labels"] = {"app": name}
    if body["kind"] != "CronJob":
        body["spec"]["selector"] = {"matchLabels": {"app": name}}
    return body


def template_in(body: Json) -> Json:
    """The pod template of a workload or its manifest."""
    spec = body["spec"]
    template: Json = spec["jobTemplate"]["spec"]["template"] if "jobTemplate" in spec else spec["template"]
    return template


class Together:
    """Manifests that authors send together, who do not ask what becomes of each: one kubectl for all of a kind."""

    def __init__(self) -> None:
        self._bodies: dict[tuple[str, ...], list[Json]] = {}

    def add(self, body: Json, command: tuple[str, ...]) -> Done:
        """Have a manifest sent with the others."""
        self._bodies.setdefault(command, []).append(body)
        return CompletedProcess(command, 0, "", "")

    def send(self, world: World) -> None:
        """Send what there is, and fail with kubectl's words where it has to."""
        for command, bodies in self._bodies.items():
            everything = {"apiVersion": "v1", "kind": "List", "items": bodies}
            world.kubectl(*command, "--filename=-", stdin=json.dumps(everything))
        self._bodies.clear()


@dataclass(slots=True)
class Author:
    """Somebody who keeps a manifest and applies it in one way."""

    world: World
    way: str
    body: Json
    together: Together | None = None
    """With whom manifests are sent."""

    @property
    def kind(self) -> str:
        """The kind of the workload."""
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.body["metadata"]["name"])

    @property
    def workload(self) -> Json:
        """The workload as it is now."""
        return self.world.get(self.kind, self.name)

    @property
    def target(self) -> str:
        """The workload as kubectl names it."""
        return f"{self.kind.lower()}/{self.name}"

    def applies(self, *changes: Change) -> Done:
        """Change the manifest and apply it."""
        self._edit(changes)
        return self.sends(self.body, "apply", *self._how)

    def replaces(self, *changes: Change) -> Done:
        """Change the manifest and put it in the place of what is there."""
        self._edit(changes)
        return self.sends(self.body, "replace", *(["--save-config"] if self.way == CLIENT else []))

    def previews(self) -> Json:
        """What the API server would make of the manifest."""
        body: Json = json.loads(self.sends(self.body, "apply", *self._how, "--dry-run=server", "--output=json").stdout)
        return body

    def compares(self) -> str:
        """What an apply would change, as kubectl shows it."""
        return self.sends(self.body, "diff", *self._how).stdout

    @property
    def _how(self) -> tuple[str, ...]:
        return ("--server-side",) if self.way == SERVER else ()

    def _edit(self, changes: tuple[Change, ...]) -> None:
        self.body = copy.deepcopy(self.body)
        for change in changes:
            change(self.body)

    def sends(self, body: Json, *command: str) -> Done:
        """Give kubectl a manifest, at once or with those of others."""
        if self.together:
            return self.together.add(body, command)
        return self.runs(*command, "--filename=-", stdin=json.dumps(body))

    def runs(self, *arguments: str, stdin: str | None = None) -> Done:
        """Run kubectl in the author's namespace, whatever comes of it."""
        return self.world.cluster.run_kubectl(
            *arguments, f"--namespace={self.world.namespace}", stdin=stdin, check=False
        )

    def patches(self, kind: str, patch: Any) -> Done:
        """Patch the workload."""
        return self.runs("patch", self.target, f"--type={kind}", f"--patch={json.dumps(patch)}")

    def exports(self) -> Json:
        """The workload as a tool exports it that keeps no annotations."""
        body = self.workload
        body["metadata"] = {key: body["metadata"][key] for key in ("name", "namespace", "labels")}
        body.pop("status", None)
        return body


Action = Callable[[Author], Done]


def applying(*changes: Change) -> Action:
    """Apply the manifest with these changes."""
    return lambda author: author.applies(*changes)


def replacing(*changes: Change) -> Action:
    """Replace by the manifest with these changes."""
    return lambda author: author.replaces(*changes)


def running(*arguments: str) -> Action:
    """Run kubectl, `{}` standing for the workload."""
    return lambda author: author.runs(*(argument.replace("{}", author.target) for argument in arguments))


def patching(kind: str, patch: Any) -> Action:
    """Patch the workload."""
    return lambda author: author.patches(kind, patch)


def patching_pod(**fields: Any) -> Action:
    """Merge into the pod spec as `kubectl edit` would."""

    def act(author: Author) -> Done:
        spec: Json = {"template": {"spec": fields}}
        patch = {"jobTemplate": {"spec": spec}} if author.kind == "CronJob" else spec
        return author.patches("strategic", {"spec": patch})

    return act


def replacing_by_export(author: Author) -> Done:
    """Replace the workload by an export of itself without annotations."""
    return author.sends(author.exports(), "replace")


def replacing_template(author: Author) -> Done:
    """Replace the whole template by the author's, in one JSON Patch."""
    path = "/spec/jobTemplate/spec/template" if author.kind == "CronJob" else "/spec/template"
    return author.patches("json", [{"op": "replace", "path": path, "value": template_in(author.body)}])


def nothing(author: Author) -> Done:
    """Do nothing at all."""
    return CompletedProcess([author.target], 0, "", "")


def within(**fields: Any) -> Change:
    """Set fields of the author's container; one that is None is taken out."""

    def change(body: Json) -> None:
        _put(template_in(body)["spec"]["containers"][0], fields)

    return change


def pod(**fields: Any) -> Change:
    """Set fields of the pod spec; one that is None is taken out."""
    return lambda body: _put(template_in(body)["spec"], fields)


def null(name: str) -> Change:
    """Set a field of the pod spec to an explicit null."""
    return lambda body: template_in(body)["spec"].update({name: None})


def unannotated(body: Json) -> None:
    """Take the template's annotations out."""
    del template_in(body)["metadata"]["annotations"]


def inits(*names: str) -> Change:
    """Set the author's init containers."""
    return pod(initContainers=[{"name": name, "image": f"{name}:1"} for name in names])


def _put(target: Json, fields: Json) -> None:
    for name, value in fields.items():
        target.pop(name, None)
        if value is not None:
            target[name] = value
