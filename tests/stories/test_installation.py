"""Installing and uninstalling as the README says, from an empty cluster to an empty cluster, in either order."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import running
from localcluster import LocalCluster
from localcluster.waiting import until
from running import Operator
from sidecarpolicy.api import names
from stories import readme

Json = dict[str, Any]
Run = Callable[[str], subprocess.CompletedProcess[str]]

EXAMPLE = readme.ROOT / "examples/log-tailing"
[INSTALL] = [line for line in readme.blocks("## In the cluster")[0].splitlines() if line.startswith("kubectl apply")]
UNINSTALL, KEEP, LET_GO = readme.blocks("### Uninstall")

pytestmark = pytest.mark.xdist_group("own-cluster")


@pytest.fixture(scope="module")
def bare() -> Iterator[LocalCluster]:
    """A control plane on which nothing of ours was installed."""
    with LocalCluster.start() as cluster:
        yield cluster


@pytest.fixture
def complete(bare: LocalCluster) -> None:
    """All of it, installed as the README says, and known to the API server."""
    install(bare)


@pytest.fixture
def shop(bare: LocalCluster) -> Iterator[str]:
    """A namespace with the example's workload, which no policy has changed yet."""
    name = f"shop-{uuid.uuid4().hex[:10]}"
    bare.create_namespace(name)
    bare.kubectl("apply", f"--namespace={name}", f"--filename={EXAMPLE / 'workload.yaml'}")
    yield name
    bare.delete_namespace(name)


@pytest.fixture
def process(bare: LocalCluster, complete: None) -> Iterator[Operator]:
    """The operator, as a process where no image can be run."""
    with start(bare) as one:
        yield one


def start(cluster: LocalCluster) -> Operator:
    directory = Path(tempfile.gettempdir()) / f"sidecarpolicy-operator-{uuid.uuid4().hex[:12]}"
    return Operator.start(running.kubeconfig(cluster), directory)


def install(cluster: LocalCluster) -> None:
    """Install until there is nothing left to complain of: a namespace that is going takes nothing in."""
    until(lambda: readme.run(cluster, INSTALL).returncode == 0)
    served = ("wait", "--for=condition=Established", *(f"crd/{name}" for name in running.CRDS), "--timeout=60s")
    # Right after its creation a definition has no conditions, which `kubectl wait` takes for an error.
    until(lambda: cluster.run_kubectl(*served, check=False).returncode == 0)


def check(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr


def apply_policy(cluster: LocalCluster, namespace: str) -> None:
    cluster.kubectl("apply", f"--namespace={namespace}", f"--filename={EXAMPLE / 'policy.yaml'}")
    ready = ("--for=condition=Ready", "sidecarpolicy", "--all", "--timeout=60s")
    cluster.kubectl("wait", f"--namespace={namespace}", *ready)


def template(cluster: LocalCluster, namespace: str) -> Json:
    [one] = cluster.get("deployments", f"--namespace={namespace}")["items"]
    found: Json = one["spec"]["template"]
    return found


def leftovers(cluster: LocalCluster) -> str:
    """What is still there of all that is installed."""
    return cluster.run_kubectl("get", f"--kustomize={running.MANIFESTS}", "--ignore-not-found", check=False).stdout


def last_words(kubeconfig: Path) -> tuple[int, str]:
    """How an operator ends that is started too early, and what it says last."""
    command = [sys.executable, "-m", "sidecarpolicy", "--kubeconfig", str(kubeconfig), "--health-port=0"]
    done = subprocess.run([*command, "--log-format=json"], capture_output=True, text=True, check=False, timeout=60)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.splitlines()[-1]


def test_an_operator_that_is_started_before_its_kinds_are_there_says_so(bare: LocalCluster) -> None:
    code, said = last_words(bare.kubeconfig)

    assert code == 1
    assert "the CRDs are not installed" in said


def test_an_operator_that_is_started_before_its_rights_are_there_says_so(bare: LocalCluster) -> None:
    code, said = last_words(bare.kubeconfig_for("default", "default"))

    assert code == 1
    assert "not allowed to get deployments.apps" in said


def test_one_command_installs_everything_and_again_changes_nothing(bare: LocalCluster) -> None:
    check(readme.run(bare, INSTALL))
    rollout = ("rollout", "status", "deployment/sidecarpolicy", "--namespace=sidecarpolicy-system", "--timeout=60s")
    assert "successfully rolled out" in bare.kubectl(*rollout)
    bare.kubectl("patch", "--type=json", *TRUST)
    before = generations(bare)

    check(readme.run(bare, INSTALL))

    assert generations(bare) == before
    assert bare.kubectl("diff", f"--kustomize={running.MANIFESTS}") == ""


TRUST = (
    f"mutatingwebhookconfiguration/{names.WEBHOOK_CONFIGURATION}",
    """--patch=[{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": "AAAA"}]""",
)
"""What the operator adds to what is installed."""


def generations(cluster: LocalCluster) -> dict[tuple[str, str], int]:
    found = cluster.get(f"--kustomize={running.MANIFESTS}")["items"]
    return {(one["kind"], one["metadata"]["name"]): one["metadata"].get("generation", 0) for one in found}


def test_uninstalling_keeps_where_that_is_said_first(bare: LocalCluster, shop: str, process: Operator) -> None:
    apply_policy(bare, shop)
    with_sidecar = template(bare, shop)

    check(readme.run(bare, KEEP))
    check(readme.run(bare, UNINSTALL.splitlines()[0]))

    assert template(bare, shop)["spec"] == with_sidecar["spec"]


def test_uninstalling_restores(bare: LocalCluster, shop: str, process: Operator) -> None:
    before = template(bare, shop)
    apply_policy(bare, shop)
    assert template(bare, shop) != before

    check(readme.run(bare, UNINSTALL))

    assert template(bare, shop) == before
    assert leftovers(bare) == ""


def uninstall_the_other_way_round(cluster: LocalCluster, process: Operator) -> None:
    """Delete everything at once: the operator goes, and what waits for it stays."""
    # First here: it could be fast enough to take away what this is about.
    process.stop()
    cluster.kubectl("delete", f"--kustomize={running.MANIFESTS}", "--wait=false")
    assert "sidecarpolicies" in cluster.kubectl("get", "crd", "--output=name")


def test_the_other_way_round_is_healed_by_installing_again(bare: LocalCluster, shop: str, process: Operator) -> None:
    before = template(bare, shop)
    apply_policy(bare, shop)
    uninstall_the_other_way_round(bare, process)
    assert template(bare, shop) != before

    install(bare)
    with start(bare):
        until(lambda: template(bare, shop) == before)
        until(lambda: "/sidecarpolicies" not in bare.kubectl("get", "crd", "--output=name"))
    install(bare)

    assert bare.kubectl("get", "sidecarpolicies", "--all-namespaces", "--output=name") == ""


def test_the_other_way_round_policies_can_be_let_go(bare: LocalCluster, shop: str, process: Operator) -> None:
    apply_policy(bare, shop)
    with_sidecar = template(bare, shop)
    uninstall_the_other_way_round(bare, process)

    readme.run(bare, LET_GO)

    until(lambda: leftovers(bare) == "")
    assert template(bare, shop)["spec"] == with_sidecar["spec"]
