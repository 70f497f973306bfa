"""A namespace where policies act, and one beside it where none does."""

from collections.abc import Iterator

import pytest

import running
from localcluster import LocalCluster
from running import Operator

# Before they are imported: their asserts say what they compared.
pytest.register_assert_rewrite("stories.stage", "stories.ours")

from stories.stage import Stage, place  # noqa: E402 - see above


@pytest.fixture
def stage(cluster: LocalCluster, operator: Operator) -> Iterator[Stage]:
    """Where the policy acts, and beside it."""
    with place(cluster) as world, place(cluster) as beside:
        yield Stage(world, beside)


@pytest.fixture
def admitted(cluster: LocalCluster, operator: Operator) -> Iterator[Stage]:
    """The same where the API server asks the operator about every workload."""
    with place(cluster, running.ADMITTED) as world, place(cluster, running.ADMITTED) as beside:
        yield Stage(world, beside)
