"""Keeps a control plane and the operator running for you: `tox run -e dev`."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

import running
from localcluster import LocalCluster, binaries
from running import Operator

SOURCES = Path(__file__).parents[1] / "operator"
PAUSE = 0.3
COLOURS = {"debug": "dim", "info": "green", "warning": "yellow", "error": "bold red", "critical": "bold red"}
HEAD = ("time", "level", "logger", "event", "exception")
EXAMPLES = (
    "kubectl apply -f examples/log-tailing/",
    "kubectl get sidecarpolicies,pods",
    "kubectl delete sidecarpolicy log-tailing",
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False)


class Log:
    """The operator's log: JSON in its file, coloured lines here."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def print_news(self) -> None:
        """Print what was said since the last time."""
        with self._path.open() as lines:
            lines.seek(self._read)
            while (line := lines.readline()).endswith("\n"):
                self._read = lines.tell()
                console.print(_coloured(line), soft_wrap=True)


def _coloured(line: str) -> Text:
    try:
        said: dict[str, Any] = json.loads(line)
    except ValueError:
        return Text(line.rstrip(), style="red")
    level = str(said.get("level", "info"))
    facts = (f" {key}={value}" for key, value in said.items() if key not in HEAD)
    text = Text.assemble((str(said.get("time", ""))[11:19], "dim"), (f" {level:8}", COLOURS.get(level, "")))
    text.append(str(said["event"]), style="bold").append("".join(facts), style="cyan")
    return text.append(f"\n{said['exception']}", style="red") if "exception" in said else text


@app.command(help=__doc__)
def main() -> None:
    """Run until ctrl-C; the operator starts again whenever its code changes."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with console.status("Starting"):
            cluster = LocalCluster.start()
        with cluster:
            _keep(cluster)
    except KeyboardInterrupt:
        console.print("Everything is stopped, nothing is left behind.")


def _keep(cluster: LocalCluster) -> None:
    with tempfile.TemporaryDirectory(prefix="sidecarpolicy-dev-") as scratch:
        directory = Path(scratch) / "operator"
        with console.status("Installing the CRDs and starting the operator"):
            running.install(cluster)
            # Its own account may not have the API server call it, so that it runs as the admin.
            operator = Operator.start(cluster.kubeconfig, directory, *running.called_here())
        with operator:
            _welcome(cluster)
            _follow(operator, Log(directory / "operator.log"))


def _welcome(cluster: LocalCluster) -> None:
    if not shutil.which("kubectl"):
        console.print(f'\n[bold]export PATH="$PATH:{binaries.compiled()}"[/]  # you have no kubectl yet')
    console.print(f"\n[bold]export KUBECONFIG={cluster.kubeconfig}[/]", soft_wrap=True)
    console.print(
        "\nInstalled: both CRDs, roles for people, the admission policies."
        "\nRunning: API server, etcd, controllers, simulated nodes, and the operator, which the API server asks"
        " whenever a workload is created or changed.\nTry:"
    )
    for line in EXAMPLES:
        console.print(f"  {line}")
    console.print(
        "\nThe simulated nodes pull every image, and start what is in it; those named sidecarpolicy.test/pull-fails:1,"
        " crashes:1, oom:1 and never-ready:1 fail as they say.\n\nThe operator's log follows. It starts again when its"
        " code changes; ctrl-C stops everything (tox then tells that it was interrupted).\n"
    )


def _follow(operator: Operator, log: Log) -> None:
    code, ended = _newest(), False
    while True:
        log.print_news()
        if operator.exit_code is not None and not ended:
            ended = True
            console.print(
                f"[red]The operator ended with {operator.exit_code}; it starts again when its code changes.[/]"
            )
        if (changed := _newest()) != code:
            code, ended = changed, False
            _start_again(operator)
        time.sleep(PAUSE)


def _start_again(operator: Operator) -> None:
    console.print("[dim]The code changed: the operator starts again.[/]")
    operator.stop()
    try:
        operator.start_again()
    except AssertionError:
        console.print("[red]It does not start; mend the code, and it will try again.[/]")


def _newest() -> float:
    return max(path.stat().st_mtime for path in SOURCES.rglob("*.py"))


if __name__ == "__main__":
    app()
