"""The process that owns the cluster's processes: it stops them, in reverse order, when nobody holds it any more.

Whoever uses the cluster holds one connection to its socket. The kernel closes it however the holder ends, SIGKILL
included, so nothing is left behind. Requests and answers are JSON lines:

    {"start": NAME, "command": [...], "log": PATH}    → {"pid": N}; without a command, the one that NAME had before
    {"stop": NAME, "grace": SECONDS}                  → {"code": N} once it has ended, killed after the grace
    {"ended": "all"}                                  → {"codes": {NAME: N}} of those that have ended

Run as a file and without site-packages, so it must import nothing of its own package.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

GRACE = 3.0
"""Seconds that a child has to end by itself when everything ends."""

PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Keeper:
    """The children by name, in the order of their start, and how many hold them."""

    directory: Path
    commands: dict[str, tuple[list[str], str]] = field(default_factory=dict)
    children: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    holders: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, first: socket.socket) -> None:
        """Serve the first holder and all that connect until the last has gone, then stop and remove everything."""
        path = self.directory / "keeper.sock"
        server = await asyncio.start_unix_server(self.hold, path)
        first_holder = asyncio.create_task(self._hold_first(first))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.released.set)
        await self.released.wait()
        server.close()
        path.unlink(missing_ok=True)
        first_holder.cancel()
        for name in reversed(list(self.children)):
            await self._stop(name, GRACE)
        shutil.rmtree(self.directory, ignore_errors=True)

    async def _hold_first(self, first: socket.socket) -> None:
        await self.hold(*await asyncio.open_unix_connection(sock=first))

    async def hold(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one holder until it goes. The last one's connection is closed by our own end."""
        if self.released.is_set():
            writer.close()
            return
        self.holders += 1
        with contextlib.suppress(ConnectionError):
            async for line in reader:
                answer = await self._answer(json.loads(line))
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        self.holders -= 1
        if self.holders:
            writer.close()
        else:
            self.released.set()
            await asyncio.Event().wait()

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        match request:
            case {"start": name, "command": command, "log": log}:
                self.commands[name] = (command, log)
                return await self._start(name)
            case {"start": name}:
                return await self._start(name)
            case {"stop": name, "grace": grace}:
                return await self._stop(name, grace)
            case {"ended": "all"}:
                codes = {name: child.returncode for name, child in self.children.items()}
                return {"codes": {name: code for name, code in codes.items() if code is not None}}
        return {"error": f"not understood: {request}"}

    async def _start(self, name: str) -> dict[str, Any]:
        command, log = self.commands[name]
        with _appended(log) as output:
            self.children[name] = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=_die_with_keeper(os.getpid()),
            )
        return {"pid": self.children[name].pid}

    async def _stop(self, name: str, grace: float) -> dict[str, Any]:
        child = self.children[name]
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        try:
            await asyncio.wait_for(child.wait(), grace)
        except TimeoutError:
            child.kill()
            await child.wait()
        return {"code": child.returncode}


def _appended(log: str) -> BinaryIO:
    return Path(log).open("ab")


def _die_with_keeper(keeper: int) -> Any:
    """Return what makes a child on Linux end with the keeper even when that is killed."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask_kernel() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # The keeper may have died between the fork and the call.
        if os.getppid() != keeper:
            os._exit(1)

    return ask_kernel


if __name__ == "__main__":
    asyncio.run(Keeper(Path(sys.argv[1])).serve(socket.socket(fileno=int(sys.argv[2]))))
