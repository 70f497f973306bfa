"""Locks between processes: the kernel gives them back when their holder dies."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, waiting_for: str) -> Iterator[None]:
    """Hold the lock file `path`, saying what is being waited for when somebody else has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _take(handle, waiting_for)
        yield
    finally:
        os.close(handle)


def _take(handle: int, waiting_for: str) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"Waiting for {waiting_for} by another process", file=sys.stderr, flush=True)
        fcntl.flock(handle, fcntl.LOCK_EX)
