"""The image, tried without a container engine: the Dockerfile's own steps, and what comes of them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

import running
from localcluster import LocalCluster
from localcluster.waiting import until

ROOT = Path(__file__).parents[1]
MOST_MEBIBYTES = 120
USER = 65532

pytestmark = pytest.mark.xdist_group("own-cluster")


@dataclass
class Stage:
    """One image of a Dockerfile: what it starts from, and every instruction with its argument."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        """Return the arguments of all instructions of a kind."""
        return [argument for name, argument in self.steps if name == instruction]


def stages() -> list[Stage]:
    """Return the stages of the Dockerfile."""
    found: list[Stage] = []
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    for line in (line for line in text.splitlines() if line and not line.startswith("#")):
        instruction, _, argument = line.partition(" ")
        if instruction == "FROM":
            found.append(Stage(argument.split()[0]))
        else:
            found[-1].steps.append((instruction, argument.strip()))
    return found


BUILD, FINAL = stages()


@dataclass(frozen=True)
class Image:
    """A folder that stands for the root of the image's file system."""

    root: Path
    python: str

    def inside(self, text: str) -> str:
        """Return a command or path of the Dockerfile, with our folders for its own."""
        for folder in ("/venv", "/wheels"):
            text = text.replace(folder, f"{self.root}{folder}")
        return text

    def run(self, step: str) -> None:
        """Run a step of the build as a shell there does."""
        environment = {**os.environ, "PATH": f"{self.root}/bin{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": ""}
        command = ["sh", "-ec", self.inside(step)]
        done = subprocess.run(
            command, cwd=self.root / "src", env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{step}\n{done.stdout}{done.stderr}"

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of a container."""
        [entry] = FINAL.all("ENTRYPOINT")
        return [*map(self.inside, json.loads(entry)), *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """What a container finds: what the image sets, and nothing of ours."""
        return dict(pair.split("=") for line in FINAL.all("ENV") for pair in shlex.split(line)) | {"HOME": "/"}

    @property
    def user(self) -> int | None:
        """As whom it can be run here: only root can be somebody else."""
        return USER if os.geteuid() == 0 else None


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """What the Dockerfile's steps make of the files that it copies, and that nobody can write to any more."""
    # Not below the folder of the test's own, which nobody else may enter.
    with tempfile.TemporaryDirectory(prefix="sidecarpolicy-image-", ignore_cleanup_errors=True) as scratch:
        root = Path(scratch)
        root.chmod(0o755)
        built = Image(root, python_for_everybody())
        copy_sources(root / "src")
        (root / "bin").mkdir()
        for name, program in {"python": built.python, "pip": f"{sys.executable} -m pip"}.items():
            (root / "bin" / name).write_text(f'#!/bin/sh\nexec {program} "$@"\n')
            (root / "bin" / name).chmod(0o755)
        for step in BUILD.all("RUN"):
            built.run(step)
        set_writable(root / "venv", writable=False)
        yield built
        set_writable(root / "venv", writable=True)


def python_for_everybody() -> str:
    """Return a Python that another user could run as well; one below a home directory they cannot."""
    mine = str(Path(sys.executable).resolve())
    for python in (
        mine,
        *filter(None, (shutil.which("python3", path=path) for path in ("/usr/local/bin", "/usr/bin"))),
    ):
        open_to_all = all(folder.stat().st_mode & stat.S_IXOTH for folder in Path(python).resolve().parents)
        if open_to_all and is_new_enough(python):
            return python
    if os.geteuid() == 0:
        pytest.skip("no Python here that another user may run")
    return mine


def is_new_enough(python: str) -> bool:
    check = "import sys, venv; sys.exit(sys.version_info < (3, 11))"
    return subprocess.run([python, "-c", check], check=False, capture_output=True).returncode == 0


def copy_sources(target: Path) -> None:
    """Copy what the Dockerfile copies from the project, as far as .dockerignore lets it."""
    target.mkdir()
    for argument in BUILD.all("COPY"):
        *sources, _ = argument.split()
        for source in sources:
            assert source in LET_IN
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, target / source, ignore=shutil.ignore_patterns(*KEPT_OUT))
            else:
                shutil.copy(ROOT / source, target / source)


IGNORED = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
LET_IN = {line[1:] for line in IGNORED if line.startswith("!")}
KEPT_OUT = [line.removeprefix("**/") for line in IGNORED if line.startswith("**/")]


def set_writable(folder: Path, *, writable: bool) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | stat.S_IWUSR if writable else path.stat().st_mode & ~0o222)


def test_nothing_but_what_is_copied_reaches_the_build() -> None:
    copied = {source for argument in BUILD.all("COPY") for source in argument.split()[:-1]}

    assert IGNORED[0] == "*"
    assert copied == LET_IN


def test_what_runs_is_another_stage_than_what_builds_and_no_root() -> None:
    assert FINAL.all("COPY") == ["--from=build /venv /venv"]
    assert FINAL.all("USER") == [f"{USER}:{USER}"]
    assert BUILD.base == FINAL.base


def test_no_installer_and_no_typed_client_is_inside(image: Image) -> None:
    names = {path.name for path in (image.root / "venv").rglob("*")}

    assert {"pip", "setuptools", "wheel", "tox", "pytest", "core_v1_api.py"} & names == set()
    assert "sidecarpolicy" in names


def test_it_is_small(image: Image) -> None:
    size = sum(path.lstat().st_size for path in (image.root / "venv").rglob("*")) / 2**20

    assert size < MOST_MEBIBYTES


def test_help_is_printed_by_another_user(image: Image) -> None:
    done = subprocess.run(
        image.command("--help"),
        env=image.environment,
        cwd="/",
        user=image.user,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "--health-port" in done.stdout


def test_it_becomes_ready_and_writes_no_file(image: Image, own_cluster: LocalCluster) -> None:
    port = running.free_port()
    flags = ["--kubeconfig", str(kubeconfig(image, own_cluster)), "--health-port", str(port)]
    flags += ["--webhook-port", str(running.free_port()), "--log-format", "json"]
    log = image.root / "operator.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            image.command(*flags), env=image.environment, cwd="/", user=image.user, group=image.user, stderr=output
        )
    try:
        until(lambda: process.poll() is not None or running.is_ready(port))
        assert process.poll() is None, log.read_text()
        # It has to be a file for TLS, and there is nowhere to write one.
        until(lambda: "certificate loaded" in log.read_text())
    finally:
        process.terminate()
        process.wait()

    assert written_by(image.user) == []


def kubeconfig(image: Image, cluster: LocalCluster) -> Path:
    """The operator's own, by files as in a pod: what stands in a kubeconfig itself is written to a temporary file."""
    content = yaml.safe_load(running.kubeconfig(cluster).read_text())
    _, authority = cluster.endpoint()
    (image.root / "ca.crt").write_text(authority)
    (image.root / "token").write_text(content["users"][0]["user"].pop("token"))
    content["users"][0]["user"]["tokenFile"] = str(image.root / "token")
    del content["clusters"][0]["cluster"]["certificate-authority-data"]
    content["clusters"][0]["cluster"]["certificate-authority"] = str(image.root / "ca.crt")
    path = image.root / "kubeconfig"
    path.write_text(yaml.safe_dump(content))
    return path


def written_by(user: int | None) -> list[Path]:
    """The files that the other user has left where everybody may write."""
    found = []
    for path in Path(tempfile.gettempdir()).iterdir():
        with suppress(OSError):
            found += [path] if path.lstat().st_uid == user else []
    return found
