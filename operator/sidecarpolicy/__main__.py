"""Starts the operator: settings, logs, connection, clock, kopf."""

from __future__ import annotations

from sidecarpolicy import slim  # noqa: F401 - before anything that imports kopf or kubernetes

# isort: split

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import uuid
from collections.abc import Coroutine, Iterable
from datetime import UTC, datetime
from typing import Annotated, Any

import structlog
import typer
from pydantic import ValidationError

from sidecarpolicy import handlers, logs
from sidecarpolicy.admission import server
from sidecarpolicy.admission.development import called_at, wait_until_reached
from sidecarpolicy.admission.keyring import Keyring
from sidecarpolicy.admission.mounted import MountedCertificate
from sidecarpolicy.admission.mutate import Mutator
from sidecarpolicy.admission.shared import SharedCertificate
from sidecarpolicy.cluster import client, health, read
from sidecarpolicy.cluster.lease import Elector, LeaseLost
from sidecarpolicy.cluster.report import Recorder
from sidecarpolicy.controller.loop import Loop
from sidecarpolicy.controller.metrics import Metrics
from sidecarpolicy.settings import Settings, variable

log = structlog.get_logger()

_LAST_ANSWERS = 0.5
"""Seconds that the answers to our last writes may take before another replica may lead."""


def now() -> datetime:
    """Tell the time: the only clock there is."""
    return datetime.now(UTC)


async def operate(settings: Settings) -> None:
    """Run until told to stop; whatever breaks ends the process, and its supervisor starts it anew."""
    told_to_stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for one in (signal.SIGINT, signal.SIGTERM):
        # Until kopf has begun, which hears them in our place from then on.
        loop.add_signal_handler(one, told_to_stop.set)
    await _together([told_to_stop.wait(), _connected(settings)])


async def _connected(settings: Settings) -> None:
    metrics = Metrics()
    logging.getLogger().addHandler(metrics.lines)
    identity = f"{socket.gethostname()}_{uuid.uuid4()}"
    async with client.connect(settings.kubeconfig, settings.context, (metrics.follow,), identity) as connection:
        version = await read.version(connection)
        address, spelt = connection.credentials.server, ".".join(map(str, version))
        log.info("connected", server=address, version=spelt, identity=identity)
        missing = await read.missing_permissions(connection, settings.namespace)
        if missing:
            raise client.Forbidden(f"not allowed to {', '.join(missing)}: kubectl apply -k manifests/")
        await _Parts(settings, connection, metrics).run(streaming=settings.is_streaming(version))


class _Parts:
    """All that runs in one process; the end of one part is the end of all."""

    def __init__(self, settings: Settings, connection: client.Client, metrics: Metrics) -> None:
        self._settings = settings
        self._connection = connection
        self._metrics = metrics
        self._elector = Elector(connection, now, namespace=settings.namespace, identity=connection.identity)
        connection.may_write = lambda: self._elector.may_write
        self._loop = Loop(
            connection,
            Recorder(connection, instance=socket.gethostname(), clock=now),
            now,
            namespace=settings.namespace,
            excluded=settings.excluded,
            writers=settings.writers,
            leading=self._elector.leading,
            metrics=metrics,
        )
        self._streams = handlers.streams(self._loop.catch_up)
        self._keyring = Keyring()
        self._is_listening = asyncio.Event()
        self._told_to_stop = asyncio.Event()
        metrics.gauges.is_leader = self._elector.leading.is_set
        metrics.gauges.certificate_end = lambda: self._keyring.expires

    async def run(self, *, streaming: bool) -> None:
        """Run them together until told to stop, or until one of them ends."""
        port = self._settings.health_port
        async with health.serve(port, alive=self._deafness, ready=self._ignorance, registry=self._metrics.registry):
            parts = [self._told_to_stop.wait(), self._loop.run(self._streams.begun)]
            parts += [self._watch(streaming=streaming), self._lead()]
            if self._settings.admission_port:
                parts += [self._answer_admission(self._settings.admission_port), self._look_after_certificate()]
            await _together(parts)

    async def _watch(self, *, streaming: bool) -> None:
        await self._loop.is_loaded.wait()
        stop = self._told_to_stop.set
        await handlers.watch(self._connection, self._loop, self._streams, stop, streaming=streaming)

    async def _lead(self) -> None:
        """Write once elected; told to end, let another when nothing of ours is under way any more."""
        try:
            await self._elector.run()
        except asyncio.CancelledError:
            await self._connection.finish(_LAST_ANSWERS)
            await self._elector.release()
            raise
        except LeaseLost:
            await self._connection.finish(0)
            raise

    async def _answer_admission(self, port: int) -> None:
        """Answer from when the policies are known until cancelled."""
        await self._loop.is_loaded.wait()
        await self._keyring.ready.wait()
        mutator = Mutator(lambda: self._loop.book.asking, self._loop.labels, self._metrics)
        async with server.serve(mutator, self._keyring.context, port) as listening:
            log.info("admission is answered", port=listening)
            self._is_listening.set()
            await asyncio.Event().wait()

    async def _look_after_certificate(self) -> None:
        settings, connection = self._settings, self._connection
        if settings.webhook_url:
            url, excluded = settings.webhook_url, settings.excluded
            async with called_at(url, connection, self._keyring, self._is_listening, excluded=excluded, now=now()):
                await wait_until_reached(url, connection, excluded=excluded)
                await asyncio.Event().wait()
        elif settings.cert_dir:
            await MountedCertificate(self._keyring, settings.cert_dir).run()
        else:
            shared = SharedCertificate(self._keyring, connection, now, namespace=settings.namespace)
            await shared.run(self._elector.leading)

    def _deafness(self) -> str:
        unwatched = handlers.unwatched(self._streams)
        return f"not watched any more: {', '.join(unwatched)}" if unwatched else ""

    def _ignorance(self) -> str:
        if self._settings.admission_port and not self._keyring.ready.is_set():
            return "no certificate for admission yet"
        if self._loop.is_synced.is_set():
            return ""
        awaited = self._streams.awaited
        return f"not watched yet: {', '.join(awaited)}" if awaited else "still looking at the cluster"


async def _together(parts: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Run until the first of them ends, then end all; raises what they raise."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
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
    webhook_port: Annotated[int | None, _option("webhook_port")] = None,
    webhook_url: Annotated[str | None, _option("webhook_url")] = None,
    cert_dir: Annotated[str | None, _option("cert_dir")] = None,
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
            typer.echo(
                f"--{field.replace('_', '-')} or {variable(field)}: {problem['msg'].removeprefix('Value error, ')}",
                err=True,
            )
        raise typer.Exit(2) from None
    logs.configure(settings.log_format, settings.log_level, sys.stderr)
    _calm_garbage_collection()
    try:
        asyncio.run(operate(settings))
    except* client.ClusterError as group:
        for one in group.exceptions:
            missing = isinstance(one, client.NotFound)
            log.error("stopped", error="the CRDs are not installed: kubectl apply -k crds/" if missing else str(one))
        sys.exit(1)


def _calm_garbage_collection() -> None:
    """Leave alone what was imported, and look for cycles less often: what we parse has none, and is most of all."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
