"""What every test may ask for: a cluster, started on first use and shared by the run, and a namespace in it."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest

from localcluster import LocalCluster

Kubectl = Callable[..., str]


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, run_id: str) -> Iterator[LocalCluster]:
    """The control plane of this run, shared by all its workers; the first compilation tells how far it is."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else nullcontext():
        running = LocalCluster.shared(run_id)
    with running:
        yield running


@pytest.fixture(scope="session")
def run_id(request: pytest.FixtureRequest) -> str:
    """What the workers of one run have in common."""
    workerinput: dict[str, str] = getattr(request.config, "workerinput", {})
    return workerinput.get("testrunuid", uuid.uuid4().hex)


@pytest.fixture
def namespace(cluster: LocalCluster) -> Iterator[str]:
    """A namespace that only this test has; its end is not waited for."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    cluster.create_namespace(name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def kubectl(cluster: LocalCluster, namespace: str) -> Kubectl:
    """Run kubectl in this test's namespace."""

    def run(*arguments: str, stdin: str | None = None) -> str:
        return cluster.kubectl(*arguments, f"--namespace={namespace}", stdin=stdin)

    return run
