"""A hold on a cluster: one connection to its keeper, which ends everything when the last is gone."""

import json
import socket
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from localcluster import keeper

SOCKET = "keeper.sock"


class Hold:
    """One holder's connection; requests to the keeper go through it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._answers = connection.makefile("r")
        self._turn = threading.Lock()

    @classmethod
    def on_new(cls, directory: Path) -> Self:
        """Start a keeper that owns `directory` and hold it."""
        ours, theirs = socket.socketpair()
        with theirs:
            handle = theirs.fileno()
            command = [sys.executable, "-I", "-S", keeper.__file__, str(directory), str(handle)]
            # A session of its own: ctrl-C at the terminal goes to us, and we decide what ends.
            with (directory / "keeper.log").open("wb") as log:
                keeping = subprocess.Popen(
                    command,
                    pass_fds=[handle],
                    start_new_session=True,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                )
        # It may outlive us, when others hold it too; a child that ended must be waited for by somebody.
        threading.Thread(target=keeping.wait, daemon=True).start()
        return cls(ours)

    @classmethod
    def on_running(cls, directory: Path) -> Self:
        """Hold the keeper that owns `directory`; OSError when there is none."""
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(directory / SOCKET))
            hold = cls(connection)
            # Only an answer shows that the keeper has counted us.
            hold.ended()
        except OSError:
            connection.close()
            raise
        return hold

    def start(self, name: str, command: list[str], log: Path) -> int:
        """Start a child and return its process id."""
        return int(self._ask({"start": name, "command": command, "log": str(log)})["pid"])

    def stop(self, name: str, grace: timedelta = timedelta(seconds=10)) -> None:
        """Ask a child to end, kill it after the grace, and return when it has ended."""
        self._ask({"stop": name, "grace": grace.total_seconds()})

    def start_again(self, name: str) -> int:
        """Start a child with the command that it had, and return its process id."""
        return int(self._ask({"start": name})["pid"])

    def ended(self) -> dict[str, int]:
        """Return the exit codes of the children that have ended."""
        codes: dict[str, int] = self._ask({"ended": "all"})["codes"]
        return codes

    def release(self) -> None:
        """Let go. When nobody else holds the cluster, return when everything has stopped."""
        with self._turn, self._connection, self._answers:
            self._connection.shutdown(socket.SHUT_WR)
            self._answers.read()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._turn:
            self._connection.sendall(json.dumps(request).encode() + b"\n")
            line = self._answers.readline()
        if not line:
            raise ConnectionResetError("The cluster has ended.")
        answer: dict[str, Any] = json.loads(line)
        return answer
