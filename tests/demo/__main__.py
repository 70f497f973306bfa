"""Tells the whole story on a control plane of its own: `tox run -e demo`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

import running
from demo import gallery
from demo.screen import Late, Screen
from demo.story import Different, Story
from localcluster import LocalCluster
from localcluster.failures import ClusterFailed
from running import Operator

TRY = (
    ("tox run -e dev", "such a cluster, for your kubectl"),
    ("kubectl apply -f examples/log-tailing/", "in a second terminal"),
    ("tox run -e bench", "what it costs, beside a bare loop"),
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=__doc__)
def main(
    plain: Annotated[bool, typer.Option(help="Print lines instead of a live display.")] = False,
    examples: Annotated[bool, typer.Option(help="End with every example of examples/.")] = True,
) -> None:
    """Run the story; exit with 1 where anything is not as it says."""
    screen = Screen(plain=plain)
    screen.say("[bold]SidecarPolicy[/]: native sidecars, probes and limits for workloads that other people own.")
    with screen.console.status("Starting a control plane of your own"):
        cluster = LocalCluster.start()
    with cluster:
        _begin(cluster, screen, examples=examples)


def _begin(cluster: LocalCluster, screen: Screen, *, examples: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="sidecarpolicy-demo-") as scratch:
        with screen.console.status("Installing the CRDs and starting the operator"):
            running.install(cluster)
            # Its own account may not have the API server call it, so that it runs as the admin.
            operator = Operator.start(cluster.kubeconfig, Path(scratch) / "operator", *running.called_here())
        with operator:
            _tell(operator, cluster, screen, examples=examples)
    _say_goodbye(screen)


def _tell(operator: Operator, cluster: LocalCluster, screen: Screen, *, examples: bool) -> None:
    screen.say(
        f"A real API server at {cluster.server}, simulated nodes, and the operator, which the API server asks"
        " whenever a workload is created or changed."
    )
    try:
        Story(cluster, screen).tell()
        if examples:
            gallery.show(cluster, screen)
    except (Different, Late, ClusterFailed) as error:
        screen.console.print(f"\n[bold red]Not as it should be:[/] {error}", markup=True)
        screen.console.print(f"\nThe operator said last:\n{operator.log[-3000:]}", markup=False)
        raise typer.Exit(1) from None


def _say_goodbye(screen: Screen) -> None:
    screen.chapter(f"All of it is true, after {screen.elapsed:.0f} s", "Try it yourself:")
    commands = Table.grid(padding=(0, 3, 0, 0))
    for command, text in TRY:
        commands.add_row(Text(command, style="bold", no_wrap=True), text)
    screen.show(commands)


if __name__ == "__main__":
    app()
