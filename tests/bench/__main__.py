"""Measures the operator beside a bare loop that sends the same patches: `tox run -e bench`."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import admission, load, offline, picture
from bench.connection import connect
from bench.process import Cost
from bench.results import Result, Row, rows
from bench.rolls import Turns
from bench.settling import listed
from localcluster import LocalCluster

OUT = Path(__file__).parents[2] / "build"
BUSY = 0.5
"""Load of each processor before we begin, above which the figures say more about others than about us."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False)


@app.command(help=__doc__)
def main(
    sizes: Annotated[list[int] | None, typer.Argument(help="How many workloads; 1000 and 10000 by default.")] = None,
    rounds: Annotated[int, typer.Option(help="Turns of the bare loop and the operator, up to 2,000 workloads.")] = 3,
    idle: Annotated[float, typer.Option(help="Seconds that the operator is watched while it has nothing to do.")] = 20,
    asked: Annotated[float, typer.Option(help="Seconds that admission is asked for, up to 2,000 workloads.")] = 60,
    alone: Annotated[bool, typer.Option("--admission", help="Nothing but admission.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="200 workloads, one turn, five seconds.")] = False,
) -> None:
    """Measure every size, print the table, and write bench.json and bench.svg to build/."""
    if quick:
        sizes, rounds, idle, asked = [200], 1, 5, 5
    # The API server collects garbage more seldom, to the good of both sides.
    os.environ.setdefault("GOGC", "400")
    results: list[Result] = []
    for size in sizes or ((1000,) if alone else (1000, 10000)):
        turns = 0 if alone else 1 if size > load.MANY else rounds
        results.append(asyncio.run(_measure(size, turns, idle, asked)))
        _write(results)
        console.print(_table(results))
    console.print(f"Written: {OUT / 'bench.json'} and {OUT / 'bench.svg'}", soft_wrap=True)


def _write(results: list[Result]) -> None:
    OUT.mkdir(exist_ok=True)
    (OUT / "bench.json").write_text(json.dumps([result.as_json() for result in results], indent=2))
    (OUT / "bench.svg").write_text(picture.draw(results))


async def _measure(size: int, rounds: int, idle: float, asked: float) -> Result:
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    if busy > BUSY:
        console.print(f"[yellow]Others keep this machine busy (load {busy:.1f} a processor): figures are noisy.[/]")
    cluster = await asyncio.to_thread(LocalCluster.start)
    with cluster:
        async with connect(cluster.kubeconfig) as admin:
            return await _turns(Turns(cluster, admin, size, cluster.directory), rounds, idle, asked)


async def _turns(turns: Turns, rounds: int, idle: float, asked: float) -> Result:
    result = Result(turns.count)
    _say(turns, "create the Deployments")
    result.bytes_each = await turns.prepare()
    for number in range(rounds):
        await _bare(turns, result)
        await _operator(turns, result, idle if number == rounds - 1 else None)
    if rounds:
        if turns.count <= load.MANY:
            await _filled(turns, result)
        bodies, _ = await listed(turns.admin)
        result.rendered = offline.speed(bodies, offline.asking(load.policy(0)))
    if turns.count <= load.MANY:
        _say(turns, f"{admission.RATE} admission requests a second for {asked:g} s, while the operator injects")
        result.admission = await admission.measure(turns, asked)
    return result


async def _bare(turns: Turns, result: Result) -> None:
    _say(turns, "the bare loop injects and restores")
    there, back = await turns.bare()
    result.bare.append(there)
    result.bare_restores.append(back)
    _say(turns, f"bare loop {there:.1f} s, back {back:.1f} s; now the operator")


async def _operator(turns: Turns, result: Result, idle: float | None) -> None:
    async with turns.operator() as operator:
        roll = await turns.inject(operator)
        result.rolls.append(roll)
        _say(turns, f"operator {roll.seconds:.1f} s with {roll.cpu:.1f} s of CPU")
        if idle:
            result.idle_writes = await _idle_writes(turns, idle)
            result.idle = Cost.of(operator.pid)
            await asyncio.to_thread(operator.stop)
            began = time.monotonic()
            await asyncio.to_thread(operator.start_again)
            result.start = time.monotonic() - began
            result.idle_writes += await _idle_writes(turns, idle)
            result.started = Cost.of(operator.pid)
        result.restores.append(await turns.restore(operator))


async def _idle_writes(turns: Turns, seconds: float) -> int:
    # What the roll began, such as Events, comes to its end before nothing is expected.
    mark, before = turns.cluster.audit_log.mark(), -1
    while before != (before := len(turns.writes(mark))):
        await asyncio.sleep(2)
    mark = turns.cluster.audit_log.mark()
    await asyncio.sleep(seconds)
    return len(turns.writes(mark))


async def _filled(turns: Turns, result: Result) -> None:
    _say(turns, "once more, filling probes as well")
    result.filled_bare, _ = await turns.bare(fills=True)
    async with turns.operator() as operator:
        result.filled_roll = await turns.inject(operator, fills=True)
        await turns.restore(operator)


def _say(turns: Turns, what: str) -> None:
    console.print(f"[dim]{turns.count:,} workloads:[/] {what}")


def _table(results: Sequence[Result]) -> Table:
    table = Table(title="The operator beside a bare loop", title_justify="left")
    table.add_column("measure")
    table.add_column("bound", justify="right")
    for result in results:
        table.add_column(f"{result.count:,}", justify="right")
    found = [{row.name: row for row in rows(result)} for result in results]
    for name, first in found[0].items():
        cells = [_cell(each[name]) if name in each else Text("") for each in found]
        bounds = {
            picture.number(each[name].bound or 0) for each in found if name in each and each[name].bound is not None
        }
        least = "at least " if first.at_least else ""
        table.add_row(name, f"{least}{' · '.join(sorted(bounds, key=len))} {first.unit if bounds else ''}", *cells)
    return table


def _cell(row: Row) -> Text:
    style = "" if row.bound is None else "green" if row.is_met else "bold red"
    return Text(f"{picture.number(row.value)} {row.unit}".strip(), style=style)


if __name__ == "__main__":
    app()
