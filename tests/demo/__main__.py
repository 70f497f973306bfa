"""Tells the whole story on a control plane of its own: `tox run -e demo`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

import running
from demo import gallery
from demo.screen import Late, Screen
from demo.story import Different, Story
from localcluster import LocalCluster
from localcluster.failures import ClusterFailed
from running import Operator

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
        _tell(cluster, screen, examples=examples)


def _tell(cluster: LocalCluster, screen: Screen, *, examples: bool) -> None:
    running.install(cluster)
    with Operator.start(running.kubeconfig(cluster), Path(tempfile.mkdtemp()) / "operator") as operator:
        screen.say(
            f"A real API server at {cluster.server}, simulated nodes, and the operator under its own service account."
        )
        try:
            Story(cluster, screen).tell()
            if examples:
                gallery.show(cluster, screen)
        except (Different, Late, ClusterFailed) as error:
            screen.console.print(f"\n[bold red]Not as it should be:[/] {error}", markup=True)
            screen.console.print(f"\nThe operator said last:\n{operator.log[-3000:]}", markup=False)
            raise typer.Exit(1) from None
    _say_goodbye(screen)


def _say_goodbye(screen: Screen) -> None:
    screen.chapter(f"All of it is true, after {screen.elapsed:.0f} s", "Try it yourself:")
    screen.say(
        "  [bold]tox run -e dev[/]                            such a cluster and operator, kept for your own kubectl",
        "  [bold]kubectl apply -f examples/log-tailing/[/]   in a second terminal, with the KUBECONFIG that it prints",
        "  [bold]tox run -e bench[/]                          what it costs, beside a bare loop",
    )


if __name__ == "__main__":
    app()
