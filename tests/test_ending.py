"""How an operator ends: told to stop before it has begun, and with a part that does not hear it."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sidecarpolicy import __main__ as program


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


async def test_a_part_that_lost_its_cancellation_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_PATIENCE", 0.01)
    lost = asyncio.Event()

    async def deaf() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lost.set()
        await asyncio.Event().wait()

    await asyncio.wait_for(program._together([asyncio.sleep(0), deaf()]), 20)

    assert lost.is_set()
