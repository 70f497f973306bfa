"""A running control plane and what a test asks of it."""

import contextlib
import json
import os
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from localcluster import binaries, kubeconfig, startup
from localcluster.audit import AuditLog
from localcluster.connection import Connection, decoded, if_there, trusting
from localcluster.failures import ClusterFailed
from localcluster.holding import Hold
from localcluster.locks import locked
from localcluster.waiting import until

KUBECONFIG_VARIABLE = "SIDECARPOLICY_TEST_KUBECONFIG"
_A_DAY = 24 * 60 * 60


class LocalCluster:
    """A control plane that lives as long as somebody holds it, or one that runs anyway, by its kubeconfig."""

    def __init__(self, kubeconfig: Path, kubectl: str, hold: Hold | None, scratch: Path) -> None:
        self.kubeconfig = kubeconfig
        self._kubectl = kubectl
        self._hold = hold
        self._scratch = scratch

    @classmethod
    def start(cls, directory: Path | None = None) -> Self:
        """Start a new one. Its directory, which must be new or empty, belongs to it and goes with it."""
        directory = directory or Path(tempfile.mkdtemp(prefix="sidecarpolicy-"))
        programs = binaries.find()
        hold = startup.start(directory, programs)
        return cls(directory / startup.KUBECONFIG, programs["kubectl"], hold, directory)

    @classmethod
    def attach(cls, directory: Path) -> Self:
        """Hold one that runs in `directory`; OSError when none does."""
        (directory / startup.FACTS).stat()
        hold = Hold.on_running(directory)
        return cls(directory / startup.KUBECONFIG, binaries.find()["kubectl"], hold, directory)

    @classmethod
    def existing(cls, path: Path) -> Self:
        """Use any cluster by its kubeconfig. One of ours is held as well."""
        with contextlib.suppress(OSError):
            return cls.attach(path.resolve().parent)
        kubectl = shutil.which("kubectl") or binaries.find()["kubectl"]
        return cls(path, kubectl, None, Path(tempfile.mkdtemp(prefix="sidecarpolicy-")))

    @classmethod
    def shared(cls, run: str) -> Self:
        """Return the cluster of a whole test run: named by the environment, or started by the first who asks."""
        if named := os.environ.get(KUBECONFIG_VARIABLE):
            return cls.existing(Path(named))
        # Short: the path of a socket may have a hundred characters.
        directory = Path(tempfile.gettempdir()) / f"sidecarpolicy-{run[:12]}"
        with locked(binaries.cache() / "start.lock", "the control plane being started"):
            try:
                return cls.attach(directory)
            except OSError:
                startup.make_way(directory)
                return cls.start(directory)

    @property
    def server(self) -> str:
        """The address of the API server."""
        return self.endpoint()[0]

    def endpoint(self) -> tuple[str, str]:
        """Return the address of the API server and the authority that it is known by."""
        known = self._known["clusters"][0]["cluster"]
        return known["server"], decoded(known["certificate-authority-data"])

    @cached_property
    def _known(self) -> dict[str, Any]:
        arguments = ("config", "view", "--minify", "--flatten", "--raw", "--output=json")
        found: dict[str, Any] = json.loads(self.kubectl(*arguments))
        return found

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        user = self._known["users"][0]["user"]
        pair = (decoded(user[f"client-{part}-data"]) for part in ("certificate", "key"))
        return trusting(self.endpoint()[1], *pair)

    def connect(self) -> Connection:
        """Return a connection of the caller's own, as the cluster's admin."""
        return Connection(self.server, self._trust)

    def ask(self, method: str, path: str, body: Any = None, **types: str) -> dict[str, Any]:
        """Send one request as the cluster's admin and return the answer."""
        return self._connection.ask(method, path, body, **types)

    @cached_property
    def _connection(self) -> Connection:
        return self.connect()

    @property
    def directory(self) -> Path:
        """Where the cluster's logs and certificates are, and where more files may be put."""
        return self._scratch

    @property
    def audit_log(self) -> AuditLog:
        """Every write that the API server has seen of users and operators."""
        self._own()
        return AuditLog(self._scratch / "audit.log")

    def run_kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True, kubeconfig: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl and return how it ended; with `check`, a failure raises with what kubectl said."""
        command = [self._kubectl, f"--kubeconfig={kubeconfig or self.kubeconfig}", *arguments]
        # Ports come back with other clusters behind them: what kubectl knows of one must not outlive it. And it ends
        # before it would be worth its while to collect garbage.
        environment = os.environ | {"KUBECACHEDIR": str(self._scratch / "kubectl-cache"), "GOGC": "off"}
        done = subprocess.run(command, input=stdin, env=environment, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise ClusterFailed(f"kubectl {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return done

    def kubectl(self, *arguments: str, stdin: str | None = None, kubeconfig: Path | None = None) -> str:
        """Run kubectl and return what it printed; a failure raises with what it said."""
        return self.run_kubectl(*arguments, stdin=stdin, kubeconfig=kubeconfig).stdout

    def get(self, *arguments: str) -> Any:
        """Return an object, or a list of them, as the API server has it."""
        return json.loads(self.kubectl("get", *arguments, "--output=json", "--show-managed-fields"))

    def apply(self, *objects: dict[str, Any], namespace: str = "default") -> None:
        """Apply objects as a user would with `kubectl apply`."""
        manifest = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", f"--namespace={namespace}", "--filename=-", stdin=json.dumps(manifest))

    def create_namespace(self, name: str, labels: Mapping[str, str] = MappingProxyType({})) -> None:
        """Create a namespace and return when pods can be created in it."""
        self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": dict(labels)}})
        until(lambda: self._is_there(f"/api/v1/namespaces/{name}/serviceaccounts/default"), seconds=60)

    def delete_namespace(self, name: str) -> None:
        """Delete a namespace; its end is not waited for."""
        self.ask("DELETE", f"/api/v1/namespaces/{name}")

    def _is_there(self, path: str) -> bool:
        with if_there():
            self.ask("GET", path)
            return True
        return False

    def kubeconfig_for(self, namespace: str, service_account: str, endpoint: tuple[str, str] | None = None) -> Path:
        """Return a kubeconfig that acts as a service account, at another endpoint than the API server's if given."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        asked = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": _A_DAY},
        }
        token = self.ask("POST", path, asked)["status"]["token"]
        content = kubeconfig.with_token(*(endpoint or self.endpoint()), token, namespace)
        handle, path = tempfile.mkstemp(dir=self._scratch, prefix=f"{service_account}-", suffix=".kubeconfig")
        os.close(handle)
        return kubeconfig.write(Path(path), content)

    def restart_api_server(self) -> None:
        """Stop the API server, start it with the same command and return when it is ready."""
        hold = self._own()
        # With watches open it would take its time; its data is etcd's business.
        hold.stop("kube-apiserver", grace=timedelta(seconds=1))
        hold.start_again("kube-apiserver")
        startup.wait_until_served(self._scratch, self.server + startup.READY, hold)

    def close(self) -> None:
        """Let go; when nobody else holds the cluster, return when it has stopped and its files are gone."""
        if "_connection" in vars(self):
            self._connection.close()
        if self._hold is None:
            shutil.rmtree(self._scratch, ignore_errors=True)
        else:
            self._hold.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _own(self) -> Hold:
        if self._hold is None:
            raise ClusterFailed(f"The cluster of {self.kubeconfig} was not started here: its server is out of reach.")
        return self._hold
