"""Starts the operator: settings, logs, connection, clock, kopf."""

from __future__ import annotations

from sidecarpolicy import slim  # noqa: F401 - before anything that imports kopf or kubernetes

# isort: split

import asyncio
import os
import socket
import sys
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import structlog
import typer
from pydantic import ValidationError

from sidecarpolicy import handlers, logs
from sidecarpolicy.cluster import client, health, read
from sidecarpolicy.cluster.report import Recorder
from sidecarpolicy.cluster.watch import Streams
from sidecarpolicy.controller.loop import Loop
from sidecarpolicy.settings import Settings, variable

log = structlog.get_logger()


def now() -> datetime:
    """Tell the time: the only clock there is."""
    return datetime.now(UTC)


async def operate(settings: Settings) -> None:
    """Run until told to stop; whatever breaks ends the process, and its supervisor starts it anew."""
    async with client.connect(settings.kubeconfig, settings.context) as connection:
        version = await read.version(connection)
        log.info("connected", server=connection.credentials.server, version=".".join(map(str, version)))
        missing = await read.missing_permissions(connection)
        if missing:
            raise client.Forbidden(f"not allowed to {', '.join(missing)}: apply manifests/rbac.yaml for this account")
        recorder = Recorder(connection, instance=socket.gethostname(), clock=now)
        loop = Loop(
            connection,
            recorder,
            now,
            namespace=settings.namespace,
            excluded=settings.excluded,
            writers=settings.writers,
        )
        streams = handlers.streams()
        async with health.serve(
            settings.health_port, alive=partial(_deafness, streams), ready=partial(_ignorance, streams, loop)
        ):
            await _run(connection, loop, streams, streaming=settings.is_streaming(version))


def _deafness(streams: Streams) -> str:
    unwatched = handlers.unwatched(streams)
    return f"not watched any more: {', '.join(unwatched)}" if unwatched else ""


def _ignorance(streams: Streams, loop: Loop) -> str:
    if loop.is_synced.is_set():
        return ""
    return f"not watched yet: {', '.join(streams.awaited)}" if streams.awaited else "still looking at the cluster"


async def _run(connection: client.Client, loop: Loop, streams: Streams, *, streaming: bool) -> None:
    """Keep the loop and kopf running together; the end of one is the end of both."""
    looping = asyncio.create_task(loop.run(streams.begun))
    loaded = asyncio.create_task(loop.is_loaded.wait())
    await asyncio.wait((looping, loaded), return_when=asyncio.FIRST_COMPLETED)
    if not loaded.done():
        loaded.cancel()
        await looping
        return
    watching = asyncio.create_task(handlers.watch(connection, loop, streams, looping.cancel, streaming=streaming))
    await asyncio.wait((looping, watching), return_when=asyncio.FIRST_COMPLETED)
    looping.cancel()
    watching.cancel()
    for outcome in await asyncio.gather(looping, watching, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome


app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    # Its markup would swallow what stands in square brackets.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _option(field: str) -> Any:
    """Return the flag of a setting; its variable stands in the help, and is read by Settings."""
    default = Settings.model_fields[field].default
    shown = ", ".join(sorted(default)) if isinstance(default, frozenset) else str(default or "")
    text = f"{Settings.model_fields[field].description} [env {variable(field)}]"
    return typer.Option(help=f"{text} [default: {shown}]" if shown else text, show_default=False)


@app.command()
def run(
    kubeconfig: Annotated[str | None, _option("kubeconfig")] = None,
    context: Annotated[str | None, _option("context")] = None,
    namespace: Annotated[str | None, _option("namespace")] = None,
    exclude_namespaces: Annotated[str | None, _option("exclude_namespaces")] = None,
    writers: Annotated[int | None, _option("writers")] = None,
    health_port: Annotated[int | None, _option("health_port")] = None,
    watch: Annotated[str | None, _option("watch")] = None,
    log_format: Annotated[str | None, _option("log_format")] = None,
    log_level: Annotated[str | None, _option("log_level")] = None,
) -> None:
    """Bring the workloads that SidecarPolicies select to carry native sidecars, probes and limits, and keep them so.

    Runs against the cluster that kubectl uses, or inside a cluster under its service account. Ctrl-C ends it; nothing
    is lost, since everything it knows is read from the cluster.
    """
    flags = dict(locals())
    try:
        settings = Settings.read(os.environ, **flags)
    except ValidationError as error:
        for problem in error.errors():
            field = str(problem["loc"][0])
            typer.echo(f"--{field.replace('_', '-')} or {variable(field)}: {problem['msg']}", err=True)
        raise typer.Exit(2) from None
    logs.configure(settings.log_format, settings.log_level, sys.stderr)
    try:
        asyncio.run(operate(settings))
    except* client.ClusterError as group:
        for one in group.exceptions:
            missing = isinstance(one, client.NotFound)
            log.error("stopped", error="the CRDs are not installed: kubectl apply -k crds/" if missing else str(one))
        sys.exit(1)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
