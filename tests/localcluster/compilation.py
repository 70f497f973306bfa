"""One `go build` of every program, with a line that says how far it is, moved into place whole or not at all."""

import os
import shutil
import subprocess
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from localcluster.failures import CompilationFailed
from localcluster.progress import Progress
from localcluster.toolchain import MODULE, find_go, kubernetes_version


def compile_into(directory: Path) -> None:
    """Compile every program of the module into `directory`, which appears only when all are there."""
    unfinished = directory.with_name(f"{directory.name}.building")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    go = find_go(directory.parent)
    with Progress("Compiling the control plane (once, some minutes)") as progress:
        packages = _download(go, progress)
        _compile(go, unfinished, packages, progress)
    # The program has the name of its module's last part.
    (unfinished / "server").rename(unfinished / "etcd")
    unfinished.rename(directory)


def _download(go: Path, progress: Progress) -> int:
    """Fetch the sources and return how many packages there are to compile."""
    packages = 0
    for line in _run([go, "list", "-deps", "tool"]):
        if line.startswith("go: downloading"):
            progress.show(line.removeprefix("go: "))
        else:
            packages += 1
    return packages


def _compile(go: Path, into: Path, packages: int, progress: Progress) -> None:
    flags = ["-v", "-trimpath", "-buildvcs=false", "-ldflags", _linker_flags(), "-o", f"{into}/"]
    for number, package in enumerate(_run([go, "build", *flags, "tool"]), start=1):
        progress.show(package, done=number, total=packages)


def _linker_flags() -> str:
    version = kubernetes_version()
    major, minor, _ = version.removeprefix("v").split(".", 2)
    facts = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    # Without them the server calls itself v0.0.0-master.
    return " ".join(["-s", "-w", *(f"-X k8s.io/component-base/version.{key}={value}" for key, value in facts.items())])


def _run(command: list[str | Path]) -> Iterator[str]:
    """Yield the lines that a Go command prints, as it prints them."""
    environment = os.environ | {"CGO_ENABLED": "0", "GOWORK": "off"}
    with subprocess.Popen(
        command, cwd=MODULE, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as running:
        last: deque[str] = deque(maxlen=30)
        for line in running.stdout or ():
            last.append(line)
            yield line.strip()
    if running.returncode != 0:
        raise CompilationFailed(f"{' '.join(map(str, command))} failed:\n{''.join(last)}")
