"""What every test may ask for: a cluster, started on first use and shared by the run, and a namespace in it."""

import hashlib
import tempfile
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, nullcontext
from functools import cache
from pathlib import Path

import pytest

import running
from localcluster import LocalCluster, binaries
from localcluster.locks import locked
from localcluster.startup import make_way
from running import Operator
from world import World

Kubectl = Callable[..., str]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--refresh-golden", action="store_true", help="rewrite what tests compare with; review the diff")


_FIRST = ("user-actions", "own-cluster")
"""Groups of minutes: begun late they would run on alone. Others stand between tests that wait more than they work."""


def pytest_configure(config: pytest.Config) -> None:
    # How many tests a group has, by which it would be its turn, says nothing of how long they take.
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    mark = item.get_closest_marker("xdist_group")
    group = mark.args[0] if mark else None
    return _FIRST.index(group) if group in _FIRST else len(_FIRST)


@pytest.fixture
def refresh_golden(request: pytest.FixtureRequest) -> bool:
    """Whether files that hold the expected are to be rewritten."""
    return bool(request.config.getoption("--refresh-golden"))


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
    cluster.delete_namespace(name)


@pytest.fixture
def kubectl(cluster: LocalCluster, namespace: str) -> Kubectl:
    """Run kubectl in this test's namespace."""

    def run(*arguments: str, stdin: str | None = None) -> str:
        return cluster.kubectl(*arguments, f"--namespace={namespace}", stdin=stdin)

    return run


@pytest.fixture(scope="session")
def installed(cluster: LocalCluster) -> None:
    """The kinds, the rights and the admission policies of `manifests/`, in force."""
    with locked(binaries.cache() / "start.lock", "the operator being installed"):
        running.install(cluster)


@pytest.fixture(scope="session")
def operator(cluster: LocalCluster, installed: None) -> Iterator[Operator]:
    """The one operator of this run, under its own account, shared by all workers; it ends with the last of them.

    It answers admission for namespaces that carry `running.ADMITTED`.
    """
    # One for each API server: two would write at the same time.
    server = hashlib.sha256(cluster.server.encode()).hexdigest()[:12]
    directory = Path(tempfile.gettempdir()) / f"sidecarpolicy-operator-{server}"
    with locked(binaries.cache() / "start.lock", "the operator being started"):
        try:
            shared = Operator.attach(directory)
        except OSError:
            make_way(directory)
            shared = Operator.start(running.kubeconfig(cluster), directory, *running.admission(cluster))
    with shared:
        yield shared


@pytest.fixture(autouse=True)
def operator_lives(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test during which the shared operator ended has failed."""
    yield
    if "operator" in request.fixturenames:
        operator: Operator = request.getfixturevalue("operator")
        assert operator.exit_code is None, "the operator has ended"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the operators said last where a test failed."""
    report = yield
    given = getattr(item, "funcargs", {})
    if report.failed:
        started = given["start_operator"].started if "start_operator" in given else []
        for one in [*started, *([given["operator"]] if "operator" in given else [])]:
            report.sections.append(("The operator's log ends", one.log[-2500:]))
    return report


@pytest.fixture(scope="session")
def own_clusters() -> Iterator[Callable[[str], LocalCluster]]:
    """Control planes without an operator, each started by the first module of its group."""
    with ExitStack() as started:

        @cache
        def of(group: str) -> LocalCluster:
            one = started.enter_context(LocalCluster.start())
            running.install(one)
            return one

        yield of


@pytest.fixture(scope="module")
def own_cluster(request: pytest.FixtureRequest, own_clusters: Callable[[str], LocalCluster]) -> Iterator[LocalCluster]:
    """The control plane of this module's group, without an operator, for what would disturb others.

    Mark the module `pytest.mark.xdist_group("own-cluster")`; what would find it in the way has a group of its own.
    """
    [group] = request.node.get_closest_marker("xdist_group").args
    cluster = own_clusters(group)
    running.free_lease(cluster)
    yield cluster
    running.clear(cluster)


class StartOperator:
    """Starts operators on the own cluster, with any flags."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        self.started: list[Operator] = []

    def __call__(self, *flags: str, kubeconfig: Path | None = None) -> Operator:
        directory = Path(tempfile.gettempdir()) / f"sidecarpolicy-operator-{uuid.uuid4().hex[:12]}"
        self.started.append(Operator.start(kubeconfig or running.kubeconfig(self.cluster), directory, *flags))
        return self.started[-1]

    def close(self) -> None:
        """End them all."""
        for operator in self.started:
            operator.close()


@pytest.fixture
def start_operator(own_cluster: LocalCluster) -> Iterator[StartOperator]:
    """Start operators of this test's own on the own cluster; they end with the test."""
    with closing(StartOperator(own_cluster)) as start:
        yield start


@pytest.fixture
def world(cluster: LocalCluster, operator: Operator, namespace: str) -> Iterator[World]:
    """A namespace of this test's own, in which the shared operator acts."""
    one = World(cluster, namespace)
    yield one
    one.close()
