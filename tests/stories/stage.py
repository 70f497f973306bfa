"""Injected workloads and their twins that no policy selects, and what authors and the operator do to them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from localcluster import LocalCluster
from localcluster.audit import Write
from localcluster.waiting import until
from sidecarpolicy.api import names
from stories.author import Action, Author, Done, Json, named, template_in
from stories.ours import NOTHING, POLICY, claims, marker, policy, shows_ours
from stories.view import View
from world import World

_RESOURCES_OF_WORKLOADS = ("deployments", "statefulsets", "daemonsets", "cronjobs")
_REVISION = "deployment.kubernetes.io/revision"
_RESTARTED = "kubectl.kubernetes.io/restartedAt"
_USER = "system:serviceaccount:sidecarpolicy-system:sidecarpolicy"


@dataclass(frozen=True, slots=True)
class Pair:
    """A workload that carries the policy, and the same one where there is no policy."""

    author: Author
    other: Author

    @property
    def body(self) -> Json:
        """The injected one as it is now."""
        return self.author.workload

    @property
    def twin(self) -> Json:
        """The other as it is now."""
        return self.other.workload

    def generations(self) -> set[str]:
        """The ReplicaSets of the injected one, or the ControllerRevisions of other kinds."""
        if self.author.kind == "CronJob":
            return set()
        kind = "ReplicaSet" if self.author.kind == "Deployment" else "ControllerRevision"
        return {item["metadata"]["name"] for item in self.author.world.list(kind, f"app={self.author.name}")}


@dataclass(slots=True)
class Stage:
    """A namespace where the policy acts, and one where it does not."""

    world: World
    beside: World
    pairs: tuple[Pair, ...] = ()
    looks: int = 10

    def set(self, ways: Sequence[str], *manifests: Json, **fields: Any) -> tuple[Pair, ...]:
        """Create a pair for each manifest and way to apply it, then the policy; return them when they are injected."""
        self.pairs = tuple(self._pair(way, manifest) for manifest in manifests for way in ways)
        self.do(Author.applies)
        self.settle()
        self.world.create(policy(**fields))
        self.wait()
        return self.pairs

    def bear(self, ways: Sequence[str], *manifests: Json, **fields: Any) -> tuple[Pair, ...]:
        """Create the policy, then a pair for each manifest and way, which admission injects."""
        self.world.create(policy(**fields))
        self.world.until_ready(POLICY)
        self.pairs = tuple(self._pair(way, manifest) for manifest in manifests for way in ways)
        self.do(Author.applies)
        self.settle()
        return self.pairs

    def _pair(self, way: str, manifest: Json) -> Pair:
        body = named(manifest, f"{manifest['kind'].lower()}-{way}")
        return Pair(Author(self.world, way, body), Author(self.beside, way, body))

    def do(self, action: Action, twin: Action | None = None) -> None:
        """Have all authors do something, or what comes to the same where nothing is injected."""
        for pair in self.pairs:
            check(action(pair.author))
            check((twin or action)(pair.other))

    def wait(self) -> None:
        """Wait until the policy is Ready as it now is, and the workloads are at rest."""
        self.world.until_ready(POLICY)
        self.settle()

    def settle(self) -> None:
        """Wait until all workloads are at rest."""
        until(self._is_at_rest)

    def _is_at_rest(self) -> bool:
        """Their own controllers have seen all workloads, and we claim nothing of the authors'."""
        here, beside = self.view(), self.view_beside()
        bodies = [here.of(pair.author) for pair in self.pairs]
        twins = [beside.of(pair.other) for pair in self.pairs]
        return all(map(_is_observed, [*bodies, *twins])) and not any(map(claims, bodies))

    def view(self) -> View:
        """The injected workloads as they are now."""
        return View(self.world, self._kinds)

    def view_beside(self) -> View:
        """The others as they are now."""
        return View(self.beside, self._kinds)

    @property
    def _kinds(self) -> frozenset[str]:
        return frozenset(pair.author.kind for pair in self.pairs)

    def rest(self) -> None:
        """Have the operator look at everything anew, and wait until it wants nothing any more."""
        # The policy changes and asks the same of templates: Ready is said of what is there from now on.
        self.looks += 1
        self.change(rollout={"progressDeadline": f"{self.looks}m"})
        self.wait()

    def change(self, **fields: Any) -> None:
        """Change the policy's spec."""
        self.world.patch(names.POLICY_KIND, POLICY, {"spec": fields})

    def rest_after(self, action: Action, twin: Action | None = None) -> None:
        """Have all authors do something, and wait until the operator has done its part."""
        self.do(action, twin)
        self.rest()

    def rest_with(self, image: str) -> None:
        """Have the policy ask for another image of its first sidecar, and wait until it is everywhere."""
        sidecars = policy()["spec"]["sidecars"]
        sidecars[0]["image"] = image
        self.change(sidecars=sidecars)
        self.wait()

    def look_with_another_policy(self) -> None:
        """Have the operator look at the workloads where nothing is asked of them any more."""
        nobody = [{"names": ["nobody"], "env": [{"name": "nothing", "value": "at all"}]}]
        body = policy(sidecars=[], volumes=[], containers=nobody)
        self.world.create({**body, "metadata": {"name": "another"}})
        self.world.until_ready("another")

    def writes(self, since: int) -> list[Write]:
        """What the operator has written to workloads here since."""
        found = self.world.cluster.audit_log.writes(since, namespace=self.world.namespace, user=_USER)
        return [write for write in found if write.resource in _RESOURCES_OF_WORKLOADS and not write.dry_run]

    def delete_policy(self) -> None:
        """Delete the policy, and wait until it has gone and the workloads are at rest."""
        self.world.kubectl("delete", names.POLICY_PLURAL, POLICY, "--timeout=60s")
        self.settle()


@contextmanager
def place(cluster: LocalCluster, labels: Mapping[str, str] = NOTHING) -> Iterator[World]:
    """A namespace whose end is not waited for; where its labels say so, admission serves in it."""
    name = f"story-{uuid.uuid4().hex[:10]}"
    cluster.create_namespace(name, labels)
    if labels:
        # It takes the API server a moment to hear of it.
        until(partial(_is_admitted, cluster, name))
    world = World(cluster, name)
    yield world
    world.close()
    cluster.delete_namespace(name)


def _is_admitted(cluster: LocalCluster, namespace: str) -> bool:
    probe = ("create", "deployment", "probe", "--image=probe", "--dry-run=server")
    flags = (f"--field-manager={names.PROBE_MANAGER}", f"--namespace={namespace}")
    return names.PROBE_ANSWER in cluster.run_kubectl(*probe, *flags).stderr


def check(done: Done) -> None:
    """Fail with kubectl's words where a command that has to succeed did not."""
    assert done.returncode == 0, done.stderr


@contextmanager
def about(pair: Pair) -> Iterator[None]:
    """Name the pair that a failure is about."""
    try:
        yield
    except AssertionError as error:
        error.add_note(f"{pair.author.target} in {pair.author.world.namespace}")
        raise


def are_ours(stage: Stage, shows: Mapping[str, Any] = NOTHING, taken: frozenset[str] = frozenset()) -> None:
    """Every injected template is marked and shows what it should; see `shows_ours`."""
    for pair in stage.pairs:
        with about(pair):
            assert marker(pair.body)
            shows_ours(pair.body, shows, taken)


def a_second_look_writes_nothing(stage: Stage) -> None:
    """The operator looks again and leaves everything as it is."""
    mark = stage.world.cluster.audit_log.mark()

    stage.rest()

    assert stage.writes(mark) == []


def leaves_no_trace(stage: Stage) -> None:
    """Without the policy every template is its twin's, and so is the ReplicaSet."""
    stage.delete_policy()

    for pair in stage.pairs:
        with about(pair):
            is_as_its_twin(pair, pair.body, pair.twin)


def is_as_its_twin(pair: Pair, body: Json, twin: Json) -> None:
    """The template is the twin's, and so is the ReplicaSet; the record is gone."""
    assert _without_restart(template_in(body)) == _without_restart(template_in(twin))
    assert names.RECORD_ANNOTATION not in body["metadata"].get("annotations", {})
    # Two that were restarted differ by the time when each was.
    if pair.author.kind == "Deployment" and template_in(body) == template_in(twin):
        assert hash_of(pair.author.world, body) == hash_of(pair.other.world, twin)


def hash_of(world: World, deployment: Json) -> str:
    """The pod-template-hash of a Deployment's newest ReplicaSet."""
    newest, labels = deployment["metadata"]["annotations"][_REVISION], deployment["spec"]["selector"]["matchLabels"]
    found = world.list("ReplicaSet", f"app={labels['app']}")
    current = next(one for one in found if one["metadata"]["annotations"][_REVISION] == newest)
    return str(current["metadata"]["labels"]["pod-template-hash"])


def _without_restart(template: Json) -> Json:
    metadata = template["metadata"]
    # Not stored when it is empty.
    annotations = {key: value for key, value in metadata.get("annotations", {}).items() if key != _RESTARTED}
    return {**template, "metadata": {**metadata, "annotations": annotations}}


def _is_observed(body: Json) -> bool:
    if body["kind"] == "CronJob":
        return True
    return bool(body.get("status", {}).get("observedGeneration", 0) >= body["metadata"]["generation"])
