"""The bare loop, a process of its own: sends patches that were computed before, and waits until all have settled.

Reads JSON lines {"path": ..., "body": ...} and prints the seconds that it took.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Annotated

import typer

from bench.connection import Json, connect, many
from bench.settling import Settling, listed

QUERY = "?fieldManager=bench&fieldValidation=Strict"
JSON_PATCH = "application/json-patch+json"


async def roll(kubeconfig: Path, patches: Path, at_once: int) -> float:
    """Return the seconds from the first patch until every Deployment has settled and its pods were seen."""
    lines = [json.loads(line) for line in patches.read_text().splitlines()]
    async with connect(kubeconfig) as connection, asyncio.TaskGroup() as tasks:
        _, version = await listed(connection)
        settling = Settling(connection, len(lines))
        watching = tasks.create_task(settling.run(version))

        async def send(line: Json) -> None:
            body = line["body"].encode()
            settling.wrote(await connection.request("PATCH", line["path"] + QUERY, body, JSON_PATCH))

        began = time.monotonic()
        await many(lines, send, at_once)
        await settling.done.wait()
        took = time.monotonic() - began
        watching.cancel()
    return took


def main(kubeconfig: Path, patches: Path, at_once: Annotated[int, typer.Option()] = 32) -> None:
    """Send the patches and wait."""
    print(asyncio.run(roll(kubeconfig, patches, at_once)))


if __name__ == "__main__":
    typer.run(main)
