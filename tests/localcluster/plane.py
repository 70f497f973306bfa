"""The command lines of the control plane: what each program is told, and why."""

import json
from dataclasses import dataclass
from pathlib import Path

from localcluster import nodes
from localcluster.binaries import Binaries
from localcluster.toolchain import MODULE

SERVERS = ("etcd", "kube-apiserver")
CLIENTS = ("kube-controller-manager", "kube-scheduler", "kwok")
"""Started once the API server is ready: earlier they are refused, and wait for long before they try again."""

PROGRAMS = SERVERS + CLIENTS

CONCURRENT_SYNCS = ("deployment", "replicaset", "statefulset", "job", "cron-job", "namespace", "gc")
UNUSED_CONTROLLERS = (
    # kwok's nodes are always well; a laptop that slept must not see them evicted.
    "node-lifecycle-controller",
    "node-ipam-controller",
    "cloud-node-lifecycle-controller",
    "persistentvolume-attach-detach-controller",
    "horizontal-pod-autoscaler-controller",
)
CLIENT_RATE = {"qps": 1000, "burst": 2000}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a cluster's files are and at which ports its servers listen."""

    directory: Path
    binaries: Binaries
    etcd_port: int
    api_port: int

    @property
    def server(self) -> str:
        """The address of the API server."""
        return f"https://127.0.0.1:{self.api_port}"

    def file(self, name: str) -> str:
        """Return the path of one file of the cluster."""
        return str(self.directory / name)

    def log(self, program: str) -> Path:
        """Return where a program's output goes."""
        return self.directory / f"{program}.log"


def commands(layout: Layout) -> dict[str, list[str]]:
    """Return each program's command line, in the order of their start."""
    return dict(
        zip(PROGRAMS, (tell(layout) for tell in (etcd, api_server, controller_manager, scheduler, kwok)), strict=True)
    )


def etcd(layout: Layout) -> list[str]:
    """Return etcd's: nothing on this disk has to outlive a power cut."""
    client = f"http://127.0.0.1:{layout.etcd_port}"
    return [
        layout.binaries["etcd"],
        f"--data-dir={layout.file('etcd')}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        "--listen-peer-urls=http://127.0.0.1:0",
        "--unsafe-no-fsync",
        "--quota-backend-bytes=8589934592",
        "--log-level=warn",
    ]


def api_server(layout: Layout) -> list[str]:
    """Return the API server's: real authorization, and limits that no test reaches by itself."""
    return [
        layout.binaries["kube-apiserver"],
        f"--etcd-servers=http://127.0.0.1:{layout.etcd_port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={layout.api_port}",
        f"--tls-cert-file={layout.file('server.crt')}",
        f"--tls-private-key-file={layout.file('server.key')}",
        f"--client-ca-file={layout.file('ca.crt')}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={layout.file('tokens.crt')}",
        f"--service-account-signing-key-file={layout.file('tokens.key')}",
        "--service-cluster-ip-range=10.0.0.0/16",
        "--endpoint-reconciler-type=none",
        "--authorization-mode=Node,RBAC",
        # Its taint is taken away by the node-lifecycle controller, which does not run.
        "--disable-admission-plugins=TaintNodesByCondition",
        "--allow-privileged",
        "--max-requests-inflight=2000",
        "--max-mutating-requests-inflight=1000",
        f"--audit-policy-file={MODULE / 'audit-policy.yaml'}",
        f"--audit-log-path={layout.file('audit.log')}",
        "--audit-log-maxsize=4096",
    ]


def controller_manager(layout: Layout) -> list[str]:
    """Return the controller manager's: at its default rates rollouts crawl at five a second."""
    return [
        layout.binaries["kube-controller-manager"],
        f"--kubeconfig={layout.file('controller-manager.kubeconfig')}",
        f"--root-ca-file={layout.file('ca.crt')}",
        f"--service-account-private-key-file={layout.file('tokens.key')}",
        "--use-service-account-credentials",
        "--leader-elect=false",
        "--secure-port=0",
        f"--controllers=*,{','.join(f'-{name}' for name in UNUSED_CONTROLLERS)}",
        f"--kube-api-qps={CLIENT_RATE['qps']}",
        f"--kube-api-burst={CLIENT_RATE['burst']}",
        *(f"--concurrent-{kind}-syncs=20" for kind in CONCURRENT_SYNCS),
    ]


def scheduler(layout: Layout) -> list[str]:
    """Return the scheduler's; its rates and its kubeconfig can only be told in a file."""
    return [layout.binaries["kube-scheduler"], f"--config={layout.file('scheduler.json')}", "--secure-port=0"]


def kwok(layout: Layout) -> list[str]:
    """Return kwok's: every node is its own, and pods live by our stages."""
    return [
        layout.binaries["kwok"],
        f"--kubeconfig={layout.file('kwok.kubeconfig')}",
        "--manage-all-nodes",
        "--v=WARN",
        "--cidr=10.64.0.1/10",
        f"--config={layout.file('kwok.json')}",
        *(f"--config={stage}" for stage in sorted((MODULE / "stages").glob("*.yaml"))),
    ]


def write_configurations(layout: Layout) -> None:
    """Write what programs can only be told in a file."""
    scheduler_settings = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        "clientConnection": {"kubeconfig": layout.file("scheduler.kubeconfig"), **CLIENT_RATE},
        "podInitialBackoffSeconds": 1,
        "podMaxBackoffSeconds": 2,
    }
    kwok_settings = {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokConfiguration",
        # Given a file, kwok has no defaults of its own.
        "options": {
            "podPlayStageParallelism": 32,
            "nodePlayStageParallelism": nodes.COUNT,
            "nodeLeaseParallelism": nodes.COUNT,
            "podsOnNodeSyncParallelism": nodes.COUNT,
            "enablePodsOnNodeSyncListPager": True,
            "enablePodsOnNodeSyncStreamWatch": False,
            "enableDebuggingHandlers": False,
        },
    }
    Path(layout.file("scheduler.json")).write_text(json.dumps(scheduler_settings))
    Path(layout.file("kwok.json")).write_text(json.dumps(kwok_settings))
