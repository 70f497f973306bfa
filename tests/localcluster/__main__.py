"""The control plane from the command line: `python -m localcluster --help`."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from localcluster import LocalCluster, binaries

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


@app.command()
def build() -> None:
    """Compile the control plane into the user's cache, unless it is there."""
    binaries.compiled()


@app.command()
def path() -> None:
    """Print the directory of the programs, as KUBEBUILDER_ASSETS wants it."""
    print(binaries.compiled())


@app.command()
def run(
    directory: Annotated[
        Path | None, typer.Option(help="Where its files are while it runs; a temporary directory by default.")
    ] = None,
) -> None:
    """Start a control plane and keep it until ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with LocalCluster.start(directory) as cluster:
        print(f"export KUBECONFIG={cluster.kubeconfig}", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("Stopping", flush=True)


if __name__ == "__main__":
    app()
