"""The definitions of our kinds are deleted under a running operator: it ends instead of living on deaf."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

import running
from conftest import StartOperator
from localcluster import LocalCluster
from localcluster.waiting import until

pytestmark = pytest.mark.xdist_group("own-cluster")


@pytest.fixture
def defined(own_cluster: LocalCluster) -> Iterator[None]:
    """The definitions, which are there again for others afterwards."""
    yield
    running.install(own_cluster)


@pytest.mark.usefixtures("defined")
@pytest.mark.parametrize("name", running.CRDS)
def test_operator_ends_and_says_what_is_gone(
    own_cluster: LocalCluster, start_operator: StartOperator, name: str
) -> None:
    operator = start_operator()
    own_cluster.kubectl("delete", "crd", name)
    until(lambda: operator.exit_code is not None)

    plural, _, group = name.partition(".")
    last = json.loads(operator.log.splitlines()[-1])
    assert (operator.exit_code, last["event"]) == (1, "stopped")
    assert last["error"].startswith(f"{plural}.v1alpha1.{group} cannot be watched any more: ")
    with pytest.raises(AssertionError, match="the CRDs are not installed: kubectl apply -k crds/"):
        start_operator()
