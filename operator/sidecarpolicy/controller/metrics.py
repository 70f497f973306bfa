"""What the operator counts and measures of itself, for Prometheus to ask for."""

from __future__ import annotations

import asyncio
import itertools
import logging
from importlib.metadata import version
from time import perf_counter
from typing import get_args

import prometheus_client
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from prometheus_client import CollectorRegistry, Counter, Histogram, Info

from sidecarpolicy.cluster import write
from sidecarpolicy.controller.gauges import Gauges
from sidecarpolicy.planning.workload import KINDS

# When each counter was made would double the series, and nobody asks.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

_LAG_LOOK = 0.1
"""Seconds between two looks at the event loop: a stall that is longer is always seen."""
_NO_ANSWER = "none"
_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_LONG = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """One process's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.gauges = Gauges()
        self.registry.register(self.gauges)
        prometheus_client.ProcessCollector(registry=self.registry)
        prometheus_client.PlatformCollector(registry=self.registry)
        prometheus_client.GCCollector(registry=self.registry)
        Info("sidecarpolicy_build", "Which version runs.", registry=self.registry).info(
            {"version": version("sidecarpolicy")}
        )
        self._writes = self._counter(
            "template_writes", "Patches of workloads that were sent, by what came of them.", "kind", "outcome"
        )
        for kind, outcome in itertools.product(KINDS, get_args(write.Outcome)):
            # Of a series that begins with 1, Prometheus sees no increase.
            self._writes.labels(kind, _name(outcome))
        self.reconciles = self._histogram(
            "reconcile_duration_seconds", "How long one pass over all workloads and policies took.", _LONG
        )
        self._admissions = self._counter(
            "admission_requests", "Admission requests, by how they were answered.", "kind", "operation", "outcome"
        )
        self._admission = self._histogram(
            "admission_duration_seconds", "How long an admission request took to answer.", _SHORT
        )
        self._requests = self._counter(
            "api_requests",
            "Requests to the API server by its answer; code none: it gave none.",
            "method",
            "code",
        )
        self._request = self._histogram(
            "api_request_duration_seconds", "How long the API server took to begin its answer.", _LONG, "method"
        )
        self._watches = self._counter(
            "watches_begun", "Watches that began; each ends by itself in minutes and is begun again.", "resource"
        )
        self._lag = self._histogram("event_loop_lag_seconds", "How much too late the event loop came back.", _SHORT)
        self.lines = Lines(self._counter("log_lines", "Lines of the log that somebody should look at.", "level"))

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"sidecarpolicy_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"sidecarpolicy_{name}", text, labels, buckets=buckets, registry=self.registry)

    def wrote(self, kind: str, outcome: write.Outcome) -> None:
        """Count a patch of a workload that was sent."""
        self._writes.labels(kind, _name(type(outcome))).inc()

    def count(self, kind: str, operation: str, outcome: str) -> None:
        """Count an admission request that was answered."""
        self._admissions.labels(kind, operation, outcome).inc()

    def took(self, seconds: float) -> None:
        """Take in how long an admission request took."""
        self._admission.observe(seconds)

    async def follow(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Pass a request to the API server on, and count it with its answer."""
        begun, code = perf_counter(), _NO_ANSWER
        try:
            response = await handler(request)
            code = str(response.status)
        finally:
            self._requests.labels(request.method, code).inc()
            self._request.labels(request.method).observe(perf_counter() - begun)
        if response.ok and "watch" in request.url.query:
            self._watches.labels(request.url.name).inc()
        return response

    async def measure_lag(self) -> None:
        """Measure the event loop until cancelled."""
        while True:
            begun = perf_counter()
            await asyncio.sleep(_LAG_LOOK)
            self._lag.observe(max(0.0, perf_counter() - begun - _LAG_LOOK))


class Lines(logging.Handler):
    """Counts what is logged as a warning or worse."""

    def __init__(self, counter: Counter) -> None:
        super().__init__(logging.WARNING)
        self._counter = counter
        for level in (logging.WARNING, logging.ERROR, logging.CRITICAL):
            counter.labels(logging.getLevelName(level).lower())

    def emit(self, record: logging.LogRecord) -> None:
        """Count one line."""
        self._counter.labels(record.levelname.lower()).inc()


def _name(outcome: type[write.Outcome]) -> str:
    return outcome.__name__.lower()
