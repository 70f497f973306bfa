"""From an empty directory to a control plane that serves and gives every namespace its service account."""

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from localcluster import kubeconfig, nodes, plane
from localcluster.binaries import Binaries
from localcluster.certificates import Authority, signing_keys
from localcluster.failures import ClusterFailed, PortTaken
from localcluster.holding import Hold
from localcluster.plane import Layout

KUBECONFIG = "admin.kubeconfig"
FACTS = "cluster.json"
"""Where this file is, a cluster serves."""

ATTEMPTS = 3
PATIENCE = 90.0
PAUSE = 0.03
IDENTITIES = {
    "admin": ("admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager",),
    "scheduler": ("system:kube-scheduler",),
    "kwok": ("system:kwok", "system:masters"),
}
READY = "/readyz"
USABLE = "/api/v1/namespaces/default/serviceaccounts/default"
LAST_WORDS = 15


def start(directory: Path, programs: Binaries) -> Hold:
    """Start everything in `directory` and return the first hold on it."""
    for _ in range(ATTEMPTS - 1):
        with contextlib.suppress(PortTaken):
            return _start_once(directory, programs)
    return _start_once(directory, programs)


def make_way(directory: Path) -> None:
    """Return when `directory` is gone: a cluster that ends is waited for, what a killed one left is removed."""
    deadline = time.monotonic() + PATIENCE / 3
    while directory.exists() and time.monotonic() < deadline:
        time.sleep(PAUSE)
    shutil.rmtree(directory, ignore_errors=True)


def wait_until_served(directory: Path, url: str, hold: Hold) -> None:
    """Return when the API server has an answer at `url`."""
    trust = ssl.create_default_context(cafile=directory / "ca.crt")
    trust.load_cert_chain(directory / "admin.crt", directory / "admin.key")
    deadline = time.monotonic() + PATIENCE
    while not _answers(url, trust):
        _fail_if_ended(directory, hold)
        if time.monotonic() > deadline:
            raise ClusterFailed(f"{url} was not served after {PATIENCE:.0f}s.{_last_words(directory)}")
        time.sleep(PAUSE)


def _start_once(directory: Path, programs: Binaries) -> Hold:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise ClusterFailed(f"{directory} is not empty: everything in it would go with the cluster.")
    layout = Layout(directory, programs, *_free_ports())
    hold = Hold.on_new(directory)
    try:
        _write_files(layout)
        pids = _start_programs(layout, hold)
        _populate(layout)
        wait_until_served(directory, layout.server + USABLE, hold)
        _fail_if_ended(directory, hold)
        (directory / FACTS).write_text(json.dumps({"server": layout.server, "pids": pids}))
    except BaseException:
        hold.release()
        raise
    return hold


def _start_programs(layout: Layout, hold: Hold) -> dict[str, int]:
    commands = plane.commands(layout)
    pids = {name: hold.start(name, commands[name], layout.log(name)) for name in plane.SERVERS}
    wait_until_served(layout.directory, layout.server + READY, hold)
    return pids | {name: hold.start(name, commands[name], layout.log(name)) for name in plane.CLIENTS}


def _free_ports() -> tuple[int, int]:
    # Both are open at once, so that they differ.
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _write_files(layout: Layout) -> None:
    authority = Authority()
    (layout.directory / "ca.crt").write_text(authority.certificate)
    authority.server().write(layout.directory, "server")
    signing_keys().write(layout.directory, "tokens")
    for name, (user, *groups) in IDENTITIES.items():
        pair = authority.client(user, *groups)
        pair.write(layout.directory, name)
        content = kubeconfig.with_certificate(layout.server, authority.certificate, pair)
        kubeconfig.write(layout.directory / f"{name}.kubeconfig", content)
    plane.write_configurations(layout)


def _populate(layout: Layout) -> None:
    command = [layout.binaries["kubectl"], f"--kubeconfig={layout.file(KUBECONFIG)}", "create", "--filename=-"]
    command.append(f"--cache-dir={layout.file('kubectl-cache')}")
    manifest = json.dumps(nodes.manifest())
    done = subprocess.run(command, input=manifest, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterFailed(f"The nodes could not be created:\n{done.stderr}")


def _answers(url: str, trust: ssl.SSLContext) -> bool:
    try:
        with urllib.request.urlopen(url, context=trust, timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _fail_if_ended(directory: Path, hold: Hold) -> None:
    for name, code in hold.ended().items():
        words = _last_words(directory, name)
        kind = PortTaken if "address already in use" in words else ClusterFailed
        raise kind(f"{name} ended with {code}.{words}")


def _last_words(directory: Path, *names: str) -> str:
    tails = []
    for log in sorted(directory.glob("*.log")):
        name = log.stem
        if name == "audit" or (names and name not in names):
            continue
        lines = log.read_text(errors="replace").splitlines()
        tails.append(f"\n--- {name}\n" + "\n".join(lines[-LAST_WORDS:]))
    return "".join(tails)
