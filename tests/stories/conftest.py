"""A namespace where policies act, and one beside it where none does."""

import uuid
from collections.abc import Iterator

import pytest

from localcluster import LocalCluster
from running import Operator
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
