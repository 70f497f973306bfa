"""A namespace where policies act, and one beside it where none does."""

import uuid
from collections.abc import Iterator

import pytest
from localcluster import LocalCluster
from running import Operator
from world import World

# Before they are imported: their asserts say what they compared.
pytest.register_assert_rewrite("stories.stage")

from stories.author import Author, Json  # noqa: E402 - see above
from stories.stage import MakeStage, Stage  # noqa: E402 - see above


@pytest.fixture
def make_stage(cluster: LocalCluster, operator: Operator, namespace: str) -> Iterator[MakeStage]:  # noqa: ARG001 - it has to run
    """Make a stage for an author who applies a manifest in one way."""
    beside = f"twin-{uuid.uuid4().hex[:10]}"
    cluster.create_namespace(beside)
    worlds = [World(cluster, name) for name in (namespace, beside)]

    def make(way: str, manifest: Json) -> Stage:
        author, other = (Author(world, way, manifest) for world in worlds)
        return Stage(author, other)

    yield make
    for world in worlds:
        world.close()
    cluster.kubectl("delete", "namespace", beside, "--wait=false")
