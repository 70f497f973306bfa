"""However the last holder of a cluster ends, nothing of it is left."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster import ClusterFailed, LocalCluster, binaries, startup
from localcluster.waiting import until

HOLDER = """
import pathlib, sys, time
from localcluster import LocalCluster
with LocalCluster.start(pathlib.Path(sys.argv[1])):
    time.sleep(600)
"""

UNLUCKY = """#!/bin/sh
[ -e {marker} ] && exec {real} "$@"
touch {marker}
echo "listen tcp 127.0.0.1:1: bind: address already in use" >&2
exit 1
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cluster"


@pytest.fixture
def holder(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds a cluster in `directory`."""
    environment = os.environ | {"PYTHONPATH": str(Path(startup.__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(directory)], env=environment) as process:
        until(lambda: (directory / startup.FACTS).exists() or process.poll() is not None, seconds=90)
        yield process
        process.kill()


def pids(directory: Path) -> list[int]:
    return list(json.loads((directory / startup.FACTS).read_text())["pids"].values())


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    # Where nobody buries orphans, the dead keep their numbers.
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_nothing_is_left_when_the_holder_is_killed(holder: subprocess.Popen[bytes], directory: Path) -> None:
    children = pids(directory)
    were_alive = all(map(is_alive, children))

    holder.send_signal(signal.SIGKILL)
    until(lambda: not any(map(is_alive, children)))
    until(lambda: not directory.exists())

    assert were_alive


if sys.platform == "linux":

    def test_nothing_runs_on_when_the_keeper_itself_is_killed(holder: subprocess.Popen[bytes], directory: Path) -> None:
        children = pids(directory)
        (keeper,) = {int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in children}

        os.kill(keeper, signal.SIGKILL)
        until(lambda: not any(map(is_alive, children)))

        assert holder.poll() is None


def test_cluster_stays_for_those_who_still_hold_it(directory: Path) -> None:
    with LocalCluster.start(directory):
        second = LocalCluster.attach(directory)

    with second:
        served = second.kubectl("get", "--raw=/readyz")

    assert served == "ok"
    assert not directory.exists()


def test_api_server_comes_back_with_what_it_knew(directory: Path) -> None:
    with LocalCluster.start(directory) as cluster:
        cluster.create_namespace("kept")

        cluster.restart_api_server()

        assert cluster.get("namespace/kept")["status"]["phase"] == "Active"


def test_failure_to_start_shows_the_last_words_of_who_failed(directory: Path) -> None:
    programs = binaries.find()
    broken = binaries.Binaries(programs.paths | {"kwok": Path("/bin/false")})

    with pytest.raises(ClusterFailed, match="kwok ended with 1"):
        startup.start(directory, broken)

    assert not directory.exists()


def test_port_that_somebody_took_is_chosen_again(directory: Path, tmp_path: Path) -> None:
    programs = binaries.find()
    unlucky = tmp_path / "kube-apiserver"
    unlucky.write_text(UNLUCKY.format(marker=tmp_path / "tried", real=programs["kube-apiserver"]))
    unlucky.chmod(0o755)

    hold = startup.start(directory, binaries.Binaries(programs.paths | {"kube-apiserver": unlucky}))
    ended = hold.ended()
    hold.release()

    assert ended == {}


def test_directory_with_something_in_it_is_left_alone(directory: Path) -> None:
    directory.mkdir()
    (directory / "precious").touch()

    with pytest.raises(ClusterFailed, match="is not empty"):
        LocalCluster.start(directory)

    assert (directory / "precious").exists()


def test_a_cluster_that_was_not_started_here_is_used_by_its_kubeconfig(cluster: LocalCluster, tmp_path: Path) -> None:
    elsewhere = tmp_path / "kubeconfig"
    elsewhere.write_bytes(cluster.kubeconfig.read_bytes())

    with LocalCluster.existing(elsewhere) as foreign:
        served = foreign.kubectl("get", "--raw=/readyz")
        with pytest.raises(ClusterFailed, match="was not started here"):
            _ = foreign.audit_log

    assert served == "ok"
