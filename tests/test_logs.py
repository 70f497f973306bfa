"""One log, ours and the libraries', for a person or for a machine."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from kopf._core.engines import activities

from sidecarpolicy import logs


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """Give the process its own logging back."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    root.handlers[:], level = before
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    logs.configure("auto", "info", stream)
    return stream


def test_our_events_keep_their_keys(stream: io.StringIO) -> None:
    structlog.get_logger("sidecarpolicy").info("change applied", workload="Deployment shop/web", wave=3)

    [line] = lines(stream)
    line.pop("time")
    assert line == {
        "event": "change applied",
        "level": "info",
        "logger": "sidecarpolicy",
        "wave": 3,
        "workload": "Deployment shop/web",
    }


def test_libraries_log_the_same_way(stream: io.StringIO) -> None:
    logging.getLogger("kopf").warning("watching %s", "pods")

    [line] = lines(stream)
    assert (line["event"], line["level"], line["logger"]) == ("watching pods", "warning", "kopf")


def test_the_object_that_kopf_logs_about_is_named_and_nothing_more(stream: io.StringIO) -> None:
    about = {"kind": "Deployment", "namespace": "shop", "name": "web"}
    logging.getLogger("kopf.activities").warning("strange", extra={"k8s_ref": about, "settings": object()})

    [line] = lines(stream)
    assert line["object"] == "Deployment shop/web"
    assert "settings" not in line


@pytest.mark.parametrize("logger", ["kopf.objects", activities.logger.name, "kopf.activities.startup"])
def test_what_kopf_says_of_itself_is_not_said(stream: io.StringIO, logger: str) -> None:
    logging.getLogger(logger).info("Initial authentication has been initiated.")

    assert stream.getvalue() == ""


def test_warnings_are_logged(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.configure("json", "info", stream)
        warnings.warn("old", stacklevel=1)

    assert lines(stream)[0]["logger"] == "py.warnings"


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_shows_no_values(form: Any) -> None:
    stream = io.StringIO()
    logs.configure(form, "info", stream)
    token = "s3cr3t"
    try:
        raise ValueError(len(token))
    except ValueError:
        structlog.get_logger().exception("stopped")

    assert "ValueError" in stream.getvalue()
    assert token not in stream.getvalue()


def test_a_terminal_gets_colours_and_a_file_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        logs.configure("console", "info", stream)
        structlog.get_logger().info("connected")

    assert "\x1b[" in terminal.getvalue()
    assert "\x1b[" not in file.getvalue()


def test_less_than_the_level_is_not_logged() -> None:
    stream = io.StringIO()
    logs.configure("json", "warning", stream)
    structlog.get_logger().info("connected")
    logging.getLogger("kopf").info("started")

    assert stream.getvalue() == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True
