"""The operator as a process of its own, started as a user starts it, and the installation that it needs."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from localcluster import LocalCluster
from localcluster.certificates import Authority
from localcluster.connection import MERGE, if_there
from localcluster.holding import Hold
from sidecarpolicy.api import names
from sidecarpolicy.api.webhook import PATH, configuration
from sidecarpolicy.cluster.resources import path_of

MANIFESTS = Path(__file__).parents[1] / "manifests"
ACCOUNT = "sidecarpolicy"
SYSTEM_NAMESPACE = "sidecarpolicy-system"
CRDS = ("sidecarpolicies.sidecarpolicy.dev", "clustersidecarpolicies.sidecarpolicy.dev")
OF_PODS = frozenset({"Deployment", "MutatingWebhookConfiguration"})
"""Where no pod can be reached, operators are processes, and the API server is to call none by a Service."""

ADMITTED = {"sidecarpolicy.test/admission": "on"}
"""The labels of a namespace for which the API server asks the shared operator of a run."""

PATIENCE = 60.0
PAUSE = 0.05

_NAME = "operator"
_READY = "ready.json"


class Operator:
    """One `python -m sidecarpolicy`: it ends with the last who holds it, however that ends."""

    def __init__(self, hold: Hold, directory: Path, port: int, pid: int) -> None:
        self._hold = hold
        self._directory = directory
        self.port = port
        self.pid = pid

    @classmethod
    def start(cls, kubeconfig: Path, directory: Path, *flags: str) -> Self:
        """Start one whose files are in `directory`, which goes with it, and return when it looked at everything."""
        directory.mkdir(parents=True)
        hold, port = Hold.on_new(directory), free_port()
        command = [sys.executable, "-m", "sidecarpolicy", "--kubeconfig", str(kubeconfig)]
        command += ["--health-port", str(port), "--log-format", "json", *flags]
        operator = cls(hold, directory, port, hold.start(_NAME, command, directory / "operator.log"))
        try:
            operator.wait_until_ready()
        except BaseException:
            operator.close()
            raise
        (directory / _READY).write_text(json.dumps({"port": port, "pid": operator.pid}))
        return operator

    @classmethod
    def attach(cls, directory: Path) -> Self:
        """Hold the one that runs in `directory`; OSError when none does."""
        facts = json.loads((directory / _READY).read_text())
        return cls(Hold.on_running(directory), directory, facts["port"], facts["pid"])

    @property
    def log(self) -> str:
        """What it has said so far."""
        path = self._directory / "operator.log"
        # Its files go with it.
        return path.read_text() if path.exists() else ""

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._hold.ended().get(_NAME)

    def wait_until_ready(self, seconds: float = PATIENCE) -> None:
        """Return when it has looked at everything once."""
        deadline = time.monotonic() + seconds
        while not is_ready(self.port):
            if self.exit_code is not None or time.monotonic() > deadline:
                raise AssertionError(f"the operator is not ready; its log ends:\n{self.log[-3000:]}")
            time.sleep(PAUSE)

    def stop(self) -> int:
        """End it as Kubernetes does, and return its exit code."""
        self._hold.stop(_NAME)
        return self._ended()

    def kill(self) -> None:
        """End it as a node does that goes away."""
        os.kill(self.pid, signal.SIGKILL)
        self._ended()

    def start_again(self) -> None:
        """Start it with the same command, and return when it looked at everything once."""
        self.pid = self._hold.start_again(_NAME)
        self.wait_until_ready()

    def _ended(self) -> int:
        while (code := self.exit_code) is None:
            time.sleep(PAUSE)
        return code

    def close(self) -> None:
        """Let go; the last who does ends it."""
        self._hold.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def install(cluster: LocalCluster) -> None:
    """Install everything but what needs a network of pods, and return when the API server knows it."""
    rendered = cluster.kubectl("kustomize", str(MANIFESTS))
    objects = [item for item in yaml.load_all(rendered, Loader=yaml.CSafeLoader) if item["kind"] not in OF_PODS]
    cluster.kubectl("apply", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    for name in CRDS:
        # Right after its creation a definition has no conditions, which `kubectl wait` takes for an error.
        cluster.kubectl("wait", f"crd/{name}", "--for=jsonpath={.status.acceptedNames.kind}", "--timeout=60s")
        cluster.kubectl("wait", f"crd/{name}", "--for=condition=Established", "--timeout=60s")
    _wait_for_admission(cluster)


def _wait_for_admission(cluster: LocalCluster) -> None:
    """Return when the admission policies are in force: it takes the API server a moment to hear of them."""
    deadline = time.monotonic() + PATIENCE
    refused = json.dumps(_over_its_limit())
    while True:
        done = cluster.run_kubectl("create", "--dry-run=server", "--filename=-", stdin=refused, check=False)
        if "requests above limits" in done.stderr:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"the admission policies are not in force: {done.stdout}{done.stderr}")
        time.sleep(PAUSE)


def _over_its_limit() -> dict[str, Any]:
    resources = {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "1Gi"}}
    return {
        "apiVersion": "sidecarpolicy.dev/v1alpha1",
        "kind": "SidecarPolicy",
        "metadata": {"name": "over-its-limit", "namespace": "default"},
        "spec": {"selector": {}, "sidecars": [{"name": "one", "image": "one", "resources": resources}]},
    }


def clear(cluster: LocalCluster) -> None:
    """Take away all policies, though nobody restores what they changed, and whom the API server was to call."""
    for kind in (names.POLICY_PLURAL, names.CLUSTER_POLICY_PLURAL):
        for one in cluster.ask("GET", f"/apis/{names.API_VERSION}/{kind}")["items"]:
            path = path_of(one)
            # What was deleted before goes with its finalizers, or with its namespace at any time.
            with if_there():
                cluster.ask("PATCH", path, {"metadata": {"finalizers": None}}, kind=MERGE)
                cluster.ask("DELETE", path)
    cluster.ask("DELETE", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations")


def free_lease(cluster: LocalCluster) -> None:
    """Take the lease from whoever was killed, so that the next operator need not wait for its end."""
    cluster.kubectl("delete", "lease", names.LEASE, f"--namespace={SYSTEM_NAMESPACE}", "--ignore-not-found")


def kubeconfig(cluster: LocalCluster) -> Path:
    """Return a kubeconfig of the operator's own account, with the rights that the manifests give it."""
    return cluster.kubeconfig_for(SYSTEM_NAMESPACE, ACCOUNT)


def admission(cluster: LocalCluster) -> tuple[str, ...]:
    """Have the API server call an operator for labelled namespaces, and return the flags by which it answers."""
    directory, port, authority = cluster.directory / "webhook", free_port(), Authority()
    directory.mkdir(exist_ok=True)
    authority.server().write(directory, "tls")
    bundle = base64.b64encode(authority.certificate.encode()).decode()
    called = {"url": f"https://127.0.0.1:{port}{PATH}", "caBundle": bundle}
    body = configuration("sidecarpolicy-tests", called, names.SYSTEM_NAMESPACES)
    body["webhooks"][0]["namespaceSelector"]["matchLabels"] = ADMITTED
    cluster.apply(body)
    return "--webhook-port", str(port), "--cert-dir", str(directory)


def called_here() -> tuple[str, str]:
    """Return the flags by which an API server on this machine calls an operator whenever a workload is created."""
    return "--webhook-url", f"https://127.0.0.1:{free_port()}{PATH}"


def is_ready(port: int) -> bool:
    """Tell whether an operator that answers at this port has looked at everything once."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def free_port() -> int:
    """Return a port at which nothing listens now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
