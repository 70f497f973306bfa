"""What Prometheus is told of policies and workloads: looked at when it asks, so that who is gone is gone there too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from sidecarpolicy.controller.book import Book
from sidecarpolicy.controller.fleet import Fleet
from sidecarpolicy.planning.policy import PolicyRef
from sidecarpolicy.planning.standing import Standing
from sidecarpolicy.planning.tally import Row, Tally, tally

_POLICY = ("policy_namespace", "policy")
"""Not `namespace`, which Prometheus itself sets to that of the pod that it asks."""

_Sample = tuple[tuple[str, ...], float]


class Gauges:
    """What there is at the moment; the leader alone tells of policies, so that two replicas do not count them twice."""

    def __init__(self) -> None:
        self.is_leader: Callable[[], bool] = lambda: False
        self.certificate_end: Callable[[], datetime | None] = lambda: None
        """When the certificate that is served ends; None where none is served."""
        self._queues: Mapping[str, Callable[[], int]] = {}
        self._known: tuple[Book, Fleet, Callable[[], datetime]] | None = None

    def follow(self, book: Book, fleet: Fleet, clock: Callable[[], datetime], **queues: Callable[[], int]) -> None:
        """Tell of these policies, workloads and queues from now on."""
        self._known = (book, fleet, clock)
        self._queues = queues

    def collect(self) -> Iterator[Metric]:
        """Yield what there is at the moment; every name, also where there is nothing to tell."""
        yield _gauge("leader", "1: this process is the one that writes.", (), [((), self.is_leader())])
        end = self.certificate_end()
        ends = [((), end.timestamp())] if end else []
        yield _gauge("certificate_expiry_timestamp_seconds", "When the webhook's certificate ends.", (), ends)
        lengths = [((name,), length()) for name, length in self._queues.items()]
        yield _gauge("queue_length", "What waits for a free worker.", ("queue",), lengths)
        yield from self._workloads()
        text = "A condition of a policy, as its status has it; always 1."
        yield _gauge("policy_condition", text, (*_POLICY, "type", "status", "reason"), self._conditions())

    def _workloads(self) -> Iterator[Metric]:
        states, blocked, failed = list[_Sample](), list[_Sample](), list[_Sample]()
        for ref, rows, counted in self._counted():
            states += _labelled(ref, _states(counted))
            blocked += _labelled(ref, _blocks(ref, rows))
            failed += _labelled(ref, Counter(str(failure.reason) for failure in counted.failures))
        text = "Workloads that a policy has to do with, each in one state."
        yield _gauge("workloads", text, (*_POLICY, "state"), states)
        text = "Workloads that cannot be changed, by why."
        yield _gauge("workloads_blocked", text, (*_POLICY, "reason"), blocked)
        text = "Workloads that were changed and do not come up, by why."
        yield _gauge("workloads_failed", text, (*_POLICY, "reason"), failed)

    def _counted(self) -> Iterator[tuple[PolicyRef, list[Row], Tally]]:
        if self._known is None or not self.is_leader():
            return
        book, fleet, clock = self._known
        now = clock()
        for ref, entry in book.entries.items():
            if entry.policy is not None:
                rows = fleet.rows(ref, now)
                yield ref, rows, tally(entry.policy, rows, now)

    def _conditions(self) -> Iterator[_Sample]:
        if self._known is None or not self.is_leader():
            return
        for ref, entry in self._known[0].entries.items():
            for condition in entry.status.get("conditions") or ():
                yield (*ref, condition["type"], condition["status"], condition["reason"]), 1


def _states(counted: Tally) -> dict[str, int]:
    whole = (Standing.OUTDATED, Standing.BLOCKED, Standing.FINISHED, Standing.RESTORING, Standing.OPTED_OUT)
    parts = {"settled": counted.settled, "updating": counted["updating"], "failed": counted["failed"]}
    return parts | {standing.value: counted[standing.value] for standing in whole}


def _blocks(ref: PolicyRef, rows: Iterable[Row]) -> Counter[str]:
    states = (row.assessment.states[ref] for row in rows)
    return Counter(str(state.reason) for state in states if state.standing is Standing.BLOCKED)


def _labelled(ref: PolicyRef, counts: Mapping[str, int]) -> list[_Sample]:
    return [((*ref, name), count) for name, count in counts.items()]


def _gauge(name: str, text: str, labels: tuple[str, ...], samples: Iterable[_Sample]) -> Metric:
    family = GaugeMetricFamily(f"sidecarpolicy_{name}", text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
