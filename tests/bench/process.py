"""What a process costs, read from /proc, and how long its event loop stands still, asked from outside."""

from __future__ import annotations

import http.client
import json
import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

EVERY = 0.025
MIB = 1024 * 1024
_NICE = 10
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process has used so far: CPU in seconds, memory in bytes."""

    cpu: float
    resident: int
    peak: int

    @classmethod
    def of(cls, pid: int) -> Self:
        """Read it."""
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return cls((int(fields[11]) + int(fields[12])) / _TICK, _kib(pid, "VmRSS") * 1024, _kib(pid, "VmHWM") * 1024)


def _kib(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


@dataclass(frozen=True, slots=True)
class Stall:
    """How long /healthz took, in seconds: by the clock, and counting only what the process itself computed meanwhile.

    On a machine that is too busy the clock also counts the time that others were given the processor.
    """

    p99: float
    worst: float
    worst_own: float


class Prober:
    """A process that asks /healthz all the time until it is ended."""

    def __init__(self, port: int, pid: int) -> None:
        command = [sys.executable, "-m", "bench.process", str(port), str(pid)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def end(self) -> Stall:
        """Stop asking and return what was seen."""
        output, _ = self._process.communicate()
        walls, owns = json.loads(output)
        walls.sort()
        return Stall(walls[int(len(walls) * 0.99)], walls[-1], max(owns))


def _ask(port: int, pid: int, parent: int) -> tuple[list[float], list[float]]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    walls, owns = [], []
    while not _is_told_to_stop():
        before, began = computed(pid), time.monotonic()
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        walls.append(time.monotonic() - began)
        owns.append(computed(pid) - before)
        if os.getppid() != parent:
            break
    return walls, owns


def give_way(directory: Path) -> None:
    """Let processes whose command line names a directory have what others leave of the processors."""
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if str(directory).encode() in (path / "cmdline").read_bytes():
                for thread in (path / "task").iterdir():
                    os.setpriority(os.PRIO_PROCESS, int(thread.name), _NICE)
                if os.getsid(int(path.name)) == int(path.name):
                    # Where sessions share the processors, a thread is nice to its own session only.
                    (path / "autogroup").write_text(str(_NICE))


def computed(pid: int) -> float:
    """Return the seconds that a process's event loop has computed so far."""
    # The first thread is the one of the event loop.
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _is_told_to_stop() -> bool:
    return bool(select.select([sys.stdin], [], [], EVERY)[0])


if __name__ == "__main__":
    print(json.dumps(_ask(int(sys.argv[1]), int(sys.argv[2]), os.getppid())))
