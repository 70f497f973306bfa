"""One log for us and for the libraries: coloured lines for a person, JSON for a machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_LOUD = {
    # A line for every event of every object.
    "kopf.objects": logging.WARNING,
    # kopf's login is our own session handed over: nothing that a user did.
    "kopf.activities": logging.WARNING,
    "kopf._core.engines.activities": logging.WARNING,
    "aiohttp.access": logging.WARNING,
    "asyncio": logging.WARNING,
}


def configure(form: Literal["auto", "console", "json"], level: str, stream: TextIO) -> None:
    """Send every log of this process to `stream`."""
    on_terminal = stream.isatty() if form == "auto" else form == "console"
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _name_object],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_for_a_person(stream) if on_terminal else _for_a_machine()),
            ],
        )
    )
    _route(handler, level)


def _route(handler: logging.Handler, level: str) -> None:
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name, least in _LOUD.items():
        logging.getLogger(name).setLevel(max(least, root.level))
    logging.captureWarnings(capture=True)


def _for_a_person(stream: TextIO) -> Iterable[Processor]:
    colours = stream.isatty() and not os.environ.get("NO_COLOR")
    # The traceback with local variables would print tokens.
    return [
        structlog.dev.ConsoleRenderer(
            colors=colours, timestamp_key="time", exception_formatter=structlog.dev.plain_traceback
        )
    ]


def _for_a_machine() -> Iterable[Processor]:
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]


def _name_object(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Name the object that kopf logs about; its record carries more that is of no use, or secret."""
    about = getattr(event.get("_record"), "k8s_ref", None)
    if about:
        where = f"{about['namespace']}/" if about.get("namespace") else ""
        event["object"] = f"{about.get('kind')} {where}{about.get('name')}"
    return event
