"""What the operator says of itself: what there is when it is asked, and what it counted."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from builders import NOW, asking, deployment, policy, read, sidecar
from localcluster.waiting import becomes
from serving import written
from sidecarpolicy.api.reasons import FailureReason
from sidecarpolicy.cluster import write
from sidecarpolicy.controller.book import Book, Entry
from sidecarpolicy.controller.fleet import Fleet
from sidecarpolicy.controller.metrics import Metrics
from sidecarpolicy.planning.pods import Failing, Look, Sound
from sidecarpolicy.planning.policy import PolicyRef
from sidecarpolicy.planning.status import Acceptance, describe
from sidecarpolicy.planning.workload import ref_of

Json = dict[str, Any]
Samples = dict[tuple[str, ...], float]

LOGS = policy(sidecars=[sidecar()])
ASKED = asking(LOGS)
OWNED = {"ownerReferences": [{"apiVersion": "x/v1", "kind": "Shop", "name": "x", "uid": "x", "controller": True}]}
REF = PolicyRef("shop", "logs")


def knowing(fleet: Fleet, *, leading: bool = True) -> tuple[Metrics, Book]:
    """Metrics of a fleet that one policy is about."""
    book, metrics = Book(frozenset()), Metrics()
    [asked] = read(LOGS)
    status = describe(asked, Acceptance(), fleet.rows(REF, NOW), {}, NOW)
    book.put(REF, Entry({**LOGS, "status": status}, asked, Acceptance()))
    metrics.gauges.is_leader = lambda: leading
    metrics.gauges.follow(book, fleet, lambda: NOW, writes=lambda: 7)
    return metrics, book


def samples(registry: CollectorRegistry, name: str, *labels: str) -> Samples:
    """The samples of a name, by the labels asked for; those that are zero left out."""
    found = (sample for metric in registry.collect() for sample in metric.samples if sample.name == name)
    return {tuple(sample.labels[label] for label in labels): sample.value for sample in found if sample.value}


def untouched(**metadata: Any) -> Fleet:
    fleet = Fleet()
    fleet.observe(deployment(metadata=metadata), ASKED, {})
    return fleet


def changed(look: Look | None) -> Fleet:
    fleet, body = untouched(), deployment()
    change = fleet.known[ref_of(body)].change
    assert change is not None
    body = written(body, change)
    body["status"]["observedGeneration"] = body["metadata"]["generation"]
    fleet.observe(body, ASKED, {})
    if look is not None:
        fleet.saw(fleet.known[ref_of(body)], look, NOW)
    return fleet


@pytest.mark.parametrize(
    ("fleet", "state", "blocked", "failed"),
    [
        pytest.param(untouched(), "outdated", None, None, id="waits-for-its-change"),
        pytest.param(changed(None), "updating", None, None, id="nobody-looked-at-its-pods-yet"),
        pytest.param(changed(Sound()), "settled", None, None, id="its-pods-run-it"),
        pytest.param(
            changed(Failing(FailureReason.CRASH_LOOP, "")), "failed", None, "CrashLoop", id="its-pods-do-not-come-up"
        ),
        pytest.param(untouched(**OWNED), "blocked", "OwnedByController", None, id="cannot-be-changed"),
    ],
)
def test_a_workload_is_in_one_state(fleet: Fleet, state: str, blocked: str | None, failed: str | None) -> None:
    registry = knowing(fleet)[0].registry
    policy_labels = ("policy_namespace", "policy")
    reasons = [samples(registry, f"sidecarpolicy_workloads_{each}", "reason") for each in ("blocked", "failed")]

    assert samples(registry, "sidecarpolicy_workloads", *policy_labels, "state") == {("shop", "logs", state): 1}
    assert reasons == [{(each,): 1} if each else {} for each in (blocked, failed)]


def test_conditions_are_those_of_the_status() -> None:
    registry = knowing(untouched(**OWNED))[0].registry
    told = samples(registry, "sidecarpolicy_policy_condition", "type", "status", "reason")

    assert told[("Stalled", "True", "Blocked")] == 1
    assert len(told) == 6


def test_a_policy_that_is_gone_is_gone_here_too() -> None:
    metrics, book = knowing(changed(Sound()))
    book.drop(REF)

    assert b'policy="logs"' not in generate_latest(metrics.registry)


def test_a_policy_that_makes_no_sense_has_conditions_and_no_workloads() -> None:
    metrics, book = knowing(untouched())
    book.put(REF, Entry(book.entries[REF].body, None, Acceptance()))

    assert len(samples(metrics.registry, "sidecarpolicy_policy_condition", "type")) == 6
    assert samples(metrics.registry, "sidecarpolicy_workloads", "state") == {}


def test_a_standby_leaves_policies_to_the_leader() -> None:
    metrics, _ = knowing(changed(Sound()), leading=False)

    assert metrics.registry.get_sample_value("sidecarpolicy_leader") == 0
    assert b'policy="logs"' not in generate_latest(metrics.registry)


def test_what_waits_is_told() -> None:
    metrics, _ = knowing(Fleet())

    assert samples(metrics.registry, "sidecarpolicy_queue_length", "queue") == {("writes",): 7}


def test_no_certificate_ends_where_none_is_served() -> None:
    metrics = Metrics()
    name = "sidecarpolicy_certificate_expiry_timestamp_seconds"
    assert metrics.registry.get_sample_value(name) is None

    metrics.gauges.certificate_end = lambda: NOW
    assert metrics.registry.get_sample_value(name) == NOW.timestamp()


@pytest.mark.parametrize(
    ("outcome", "name"),
    [
        (write.Applied({}), "applied"),
        (write.Stale(), "stale"),
        (write.Gone(), "gone"),
        (write.Refused("no"), "refused"),
        (write.Unknown("?"), "unknown"),
    ],
)
def test_writes_are_counted_by_outcome(outcome: write.Outcome, name: str) -> None:
    metrics = Metrics()
    metrics.wrote("Deployment", outcome)

    assert samples(metrics.registry, "sidecarpolicy_template_writes_total", "kind", "outcome") == {
        ("Deployment", name): 1
    }


def test_admission_is_counted() -> None:
    metrics = Metrics()
    metrics.count("Job", "CREATE", "injected")
    metrics.took(0.003)
    found = samples(metrics.registry, "sidecarpolicy_admission_requests_total", "kind", "operation", "outcome")

    assert found == {("Job", "CREATE", "injected"): 1}
    assert metrics.registry.get_sample_value("sidecarpolicy_admission_duration_seconds_sum") == 0.003


@pytest.mark.parametrize(
    ("level", "counted"), [("info", {}), ("warning", {("warning",): 1}), ("error", {("error",): 1})]
)
def test_lines_to_look_at_are_counted(level: str, counted: Samples) -> None:
    metrics, logger = Metrics(), logging.Logger("one")
    logger.addHandler(metrics.lines)
    getattr(logger, level)("something")

    assert samples(metrics.registry, "sidecarpolicy_log_lines_total", "level") == counted


async def test_a_stall_of_the_event_loop_is_seen() -> None:
    metrics = Metrics()
    measuring = asyncio.create_task(metrics.measure_lag())
    await asyncio.sleep(0)
    time.sleep(0.3)  # noqa: ASYNC251 - this is the stall
    await becomes(lambda: metrics.registry.get_sample_value("sidecarpolicy_event_loop_lag_seconds_count"))
    measuring.cancel()

    assert (metrics.registry.get_sample_value("sidecarpolicy_event_loop_lag_seconds_sum") or 0) > 0.15
