"""An operator that is told to stop before it has begun."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_one_that_still_waits_for_an_api_server_ends_when_told(told: signal.Signals, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(reaching(silent.getsockname()[1])))
        command = [sys.executable, "-m", "sidecarpolicy", "--kubeconfig", str(kubeconfig), "--health-port", "0"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        # It asks for the version, and is never answered.
        connection, _ = silent.accept()
        process.send_signal(told)
        _, said = process.communicate(timeout=10)
        connection.close()

    assert process.returncode == 0
    assert "Traceback" not in said


def reaching(port: int) -> dict[str, object]:
    """A kubeconfig of an API server at this port."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "one", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "one", "user": {"token": "none"}}],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "current-context": "one",
    }
