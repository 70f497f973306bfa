"""How the story looks: headings, tables and a live display on a terminal; plain lines everywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from demo.sight import Json, Sight, Workload, condition

PAUSE = 0.3
GOOD, BUSY, BAD = "green", "yellow", "red"
CONDITIONS = ("Accepted", "WorkloadsUpToDate", "Ready", "Conflicted", "Reconciling", "Stalled")
FINE_WHEN_FALSE = ("Conflicted", "Reconciling", "Stalled")

See = Callable[[], Sight]
Draw = Callable[[Sight], RenderableType]
Until = Callable[[Sight], bool]


class Late(Exception):  # noqa: N818 - what happened, in one word
    """Something did not come true in time."""


class Screen:
    """Where the story is told."""

    def __init__(self, *, plain: bool) -> None:
        self.console = Console(highlight=False, no_color=plain or None)
        self.is_live = self.console.is_terminal and not plain
        if not self.is_live:
            # Lines in a file or a CI log are not bound to any width.
            self.console.width = 160
        self._chapter = 0
        self._began = time.monotonic()

    def chapter(self, title: str, *lines: str) -> None:
        """Begin a part of the story."""
        self._chapter += 1
        self.console.print()
        self.console.print(Rule(f"[bold]{self._chapter} · {title}", align="left", style="cyan"))
        self.say(*lines)

    def say(self, *lines: str) -> None:
        """Say something in between."""
        for line in lines:
            self.console.print(Padding(Text.from_markup(line or " "), (0, 0, 0, 2), expand=False))

    def show(self, thing: RenderableType) -> None:
        """Show a table or the like."""
        self.console.print(Padding(thing, (1, 0, 1, 2), expand=False))

    def yaml(self, text: str, language: str = "yaml") -> None:
        """Show a manifest, or a difference between two."""
        self.show(Syntax(text.rstrip(), language, theme="ansi_dark", background_color="default", word_wrap=True))

    def command(self, line: str, output: str) -> None:
        """Show a command and what it printed."""
        text = Text.assemble(("$ ", "dim"), (line, "bold"), "\n", output.rstrip())
        self.show(text)

    def watch(self, see: See, draw: Draw, until: Until, what: str, seconds: float = 60) -> Sight:
        """Show what is seen until it is as it should be, and return the last look."""
        if not self.is_live:
            return self._follow(see, until, what, seconds)
        began = time.monotonic()
        with Live(console=self.console, auto_refresh=False) as live:
            while True:
                sight, clock = see(), Text(f"{time.monotonic() - began:4.1f} s", style="dim")
                live.update(Padding(Group(draw(sight), clock), (1, 0, 1, 2)), refresh=True)
                if until(sight):
                    return sight
                _stop_when_late(began, seconds, what)
                time.sleep(PAUSE)

    def _follow(self, see: See, until: Until, what: str, seconds: float) -> Sight:
        began, said = time.monotonic(), set[str]()
        while True:
            sight = see()
            news = [line for line in _lines(sight) if line not in said]
            said.update(news)
            self.say(*(f"{time.monotonic() - began:5.1f} s  {line}" for line in news))
            if until(sight):
                return sight
            _stop_when_late(began, seconds, what)
            time.sleep(PAUSE)

    @property
    def elapsed(self) -> float:
        """Seconds since the story began."""
        return time.monotonic() - self._began


def scene(sight: Sight) -> RenderableType:
    """Return the workloads above what the policies say."""
    said = (conditions(name, policy) for name, policy in sight.policies.items())
    return Group(*_apart(workloads(sight.workloads.values()), *said))


def workloads(seen: Iterable[Workload]) -> Table:
    """Return the workloads, with READY as kubectl counts it."""
    table = _table("WORKLOAD", "PODS READY", "CONTAINERS IN ORDER OF START", "STATE")
    for one in seen:
        colour, state = _state(one)
        table.add_row(one.name, one.pods_ready, _containers(one), Text(state, style=colour))
    return table


def conditions(name: str, policy: Json) -> Table:
    """Return a policy's conditions."""
    table = _table(f"sidecarpolicy/{name}", "STATUS", "REASON", "MESSAGE")
    for kind in CONDITIONS:
        one = condition(policy, kind)
        table.add_row(kind, Text(one["status"], style=_colour(one)), one["reason"], Text(one.get("message", "")))
    return table


def _table(*columns: str) -> Table:
    # Narrow enough for the workloads of the story on 80 columns.
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold dim", pad_edge=False)
    for column in columns[:-1]:
        table.add_column(column, no_wrap=True)
    table.add_column(columns[-1])
    return table


def _containers(one: Workload) -> Text:
    text = Text()
    for index, name in enumerate(one.containers):
        text.append(" " if index else "").append(name, style="bold green" if name.startswith("+") else "")
    return text


def _state(one: Workload) -> tuple[str, str]:
    if one.body["kind"] == "Job":
        return "dim", "runs" if one.pods else "has ended"
    if not one.is_settled:
        return BUSY, f"{one.updated} of {one.wanted} new"
    return (GOOD, f"has {one.revision}") if one.revision else ("dim", "as written")


def _colour(one: Json) -> str:
    if one["status"] == "Unknown":
        return "dim"
    fine = (one["status"] == "False") == (one["type"] in FINE_WHEN_FALSE)
    # What is under way is no trouble.
    return GOOD if fine else BUSY if one["type"] == "Reconciling" or one["reason"] == "RollingOut" else BAD


def _lines(sight: Sight) -> Iterable[str]:
    for one in sight.workloads.values():
        yield f"{one.name:24} {_state(one)[1]}"
    for name, policy in sight.policies.items():
        ready = condition(policy, "Ready")
        yield f"sidecarpolicy/{name}: Ready={ready['status']} {ready['reason']}"
        conflicted = condition(policy, "Conflicted")
        if conflicted["status"] == "True":
            yield f"sidecarpolicy/{name}: Conflicted=True {conflicted['reason']}: {conflicted['message']}"


def _apart(*things: RenderableType) -> Iterable[RenderableType]:
    for index, thing in enumerate(things):
        yield Padding(thing, (1 if index else 0, 0, 0, 0))


def _stop_when_late(began: float, seconds: float, what: str) -> None:
    if time.monotonic() - began > seconds:
        raise Late(f"{what}: not after {seconds:.0f} s")
