"""A line on standard error that says how far a long task is: live on a terminal, now and then elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

SECONDS_BETWEEN_LINES = 15


class Progress:
    """Shows what is done of a task, once entered."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._console = Console(stderr=True)
        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Bar(*columns, TextColumn("{task.fields[item]}"), console=self._console, transient=True)
        self._task = self._bar.add_task(title, total=None, item="")
        self._started = self._printed = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        else:
            self._console.print(self._title)
        return self

    def show(self, item: str, *, done: int = 0, total: int | None = None) -> None:
        """Say what is at hand and how much is done."""
        self._bar.update(self._task, completed=done, total=total, item=item[-60:])
        if not self._console.is_terminal and time.monotonic() - self._printed > SECONDS_BETWEEN_LINES:
            self._printed = time.monotonic()
            self._console.print(f"{self._elapsed():4.0f}s {done}/{total or '?'} {item}", soft_wrap=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        self._console.print(f"{self._title}: {'failed' if error else 'done'} after {self._elapsed():.0f}s")

    def _elapsed(self) -> float:
        return time.monotonic() - self._started
