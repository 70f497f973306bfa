"""A namespace where policies act, and one beside it where none does."""

import uuid
from collections.abc import Iterator
from functools import partial

import pytest

import running
from localcluster import LocalCluster
from localcluster.waiting import until
from running import Operator
from sidecarpolicy.api import names
from world import World

# Before they are imported: their asserts say what they compared.
pytest.register_assert_rewrite("stories.stage", "stories.ours")

from stories.stage import Stage  # noqa: E402 - see above


@pytest.fixture
def stage(cluster: LocalCluster, operator: Operator, namespace: str) -> Iterator[Stage]:
    """Where the policy acts, and beside it."""
    beside = f"twin-{uuid.uuid4().hex[:10]}"
    cluster.create_namespace(beside)
    worlds = [World(cluster, name) for name in (namespace, beside)]
    yield Stage(worlds[0], worlds[1])
    for world in worlds:
        world.close()
    cluster.kubectl("delete", "namespace", beside, "--wait=false")


@pytest.fixture
def admitted(stage: Stage) -> Stage:
    """The same where the API server asks the operator about every workload."""
    cluster = stage.world.cluster
    for namespace in (stage.world.namespace, stage.beside.namespace):
        labels = (f"{key}={value}" for key, value in running.ADMITTED.items())
        cluster.kubectl("label", "namespace", namespace, *labels)
        # It takes the API server a moment to hear of the label.
        until(partial(is_asked_about, cluster, namespace))
    return stage


def is_asked_about(cluster: LocalCluster, namespace: str) -> bool:
    """Tell whether the operator hears of workloads in a namespace."""
    probe = ("create", "deployment", "probe", "--image=probe", "--dry-run=server")
    flags = (f"--field-manager={names.PROBE_MANAGER}", f"--namespace={namespace}")
    return names.PROBE_ANSWER in cluster.run_kubectl(*probe, *flags).stderr
