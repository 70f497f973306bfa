"""Two hundred workloads on a control plane of their own: silence when idle, one write each whatever happens."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import aiohttp
import pytest

import running
from admission.reviews import patched, review
from controller.crowd import MANY, PATIENCE, ask_for, generations, has_written, many_deployments, until_done, writes
from controller.manifests import deployment
from localcluster import LocalCluster
from localcluster.certificates import Authority, Pair
from localcluster.faults import Answer, CloseWatch, Cut, Delay, LoseAnswer, Rule
from localcluster.proxy import FaultProxy
from localcluster.waiting import until
from running import Operator
from sidecarpolicy.api import names
from sidecarpolicy.api.webhook import PATH
from sidecarpolicy.planning.workload import template_of
from world import World

pytestmark = pytest.mark.xdist_group("crowd")

StartOperator = Callable[..., Operator]


@pytest.fixture(scope="module")
def crowd(own_cluster: LocalCluster) -> Iterator[World]:
    """Two hundred Deployments, some of which have a pod."""
    with many_deployments(own_cluster) as world:
        yield world


def test_kill_at_any_moment_costs_no_second_write(crowd: World, start_operator: StartOperator) -> None:
    operator = start_operator()
    for seed in range(10):
        before, mark = generations(crowd), crowd.cluster.audit_log.mark()
        ask_for(crowd, f"shipper:killed-{seed}")
        until(partial(has_written, crowd, mark, random.Random(seed).randrange(MANY)), PATIENCE)
        operator.kill()
        running.free_lease(crowd.cluster)
        operator.start_again()
        until_done(crowd, f"shipper:killed-{seed}")

        assert generations(crowd) == {name: count + 1 for name, count in before.items()}, f"seed {seed}"


def stay_silent(crowd: World, mark: int, seconds: float) -> None:
    """Fail at the first write of the operator within this time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert writes(crowd, mark) == []
        time.sleep(0.2)


def test_idle_operator_writes_nothing(crowd: World, start_operator: StartOperator) -> None:
    bring(crowd, start_operator)
    mark = crowd.cluster.audit_log.mark()
    # Another process has no Events to tell that it told already: its start is part of the silence.
    start_operator()
    stay_silent(crowd, mark, 20)


@pytest.mark.long
def test_idle_operator_writes_nothing_for_five_minutes(crowd: World, start_operator: StartOperator) -> None:
    bring(crowd, start_operator)
    mark = crowd.cluster.audit_log.mark()
    start_operator()
    stay_silent(crowd, mark, 300)


def bring(crowd: World, start_operator: StartOperator) -> None:
    """Have everybody carry the same, and the operator gone."""
    operator = start_operator()
    ask_for(crowd, "shipper:quiet")
    until_done(crowd, "shipper:quiet")
    operator.stop()


FAULTS = (
    Rule(Answer(429, retry_after=1), chance=0.05),
    Rule(Answer(500), chance=0.05),
    Rule(Answer(504), methods=frozenset({"PATCH"}), chance=0.05),
    Rule(Delay(timedelta(seconds=1)), watches=False, chance=0.1),
    Rule(CloseWatch(timedelta(seconds=2)), watches=True, chance=0.7),
    Rule(LoseAnswer(), methods=frozenset({"PATCH"}), chance=0.05),
    Rule(Cut(), chance=0.03),
)


async def endure(crowd: World, start_operator: StartOperator, seconds: float, seed: int) -> None:
    """Edit the policy again and again while everything goes wrong; then all is as the last edit says."""
    async with FaultProxy(crowd.cluster, seed=seed) as proxy:
        kubeconfig = await asyncio.to_thread(proxy.kubeconfig_for, running.SYSTEM_NAMESPACE, running.ACCOUNT)
        operator = await asyncio.to_thread(start_operator, kubeconfig=kubeconfig)
        proxy.use(*FAULTS)
        await asyncio.to_thread(edit_for, crowd, seconds)
        await asyncio.to_thread(ask_for, crowd, "shipper:endured")
        proxy.use()
        await asyncio.to_thread(until_done, crowd, "shipper:endured")
        assert operator.exit_code is None
        assert any(one.fault for one in proxy.seen)
        await asyncio.to_thread(operator.stop)


def edit_for(crowd: World, seconds: float) -> None:
    end, edits = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        edits, mark = edits + 1, crowd.cluster.audit_log.mark()
        ask_for(crowd, f"shipper:edit-{edits}")
        # An edit in the middle of the one before.
        until(partial(has_written, crowd, mark, MANY // 2), PATIENCE)


async def test_nothing_is_lost_while_the_api_server_is_in_trouble(crowd: World, start_operator: StartOperator) -> None:
    await endure(crowd, start_operator, 15, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
async def test_nothing_is_lost_in_a_minute_of_trouble(crowd: World, start_operator: StartOperator, seed: int) -> None:
    await endure(crowd, start_operator, 60, seed)


async def test_every_admission_request_is_answered_while_all_are_injected_and_the_certificate_is_renewed(
    crowd: World, start_operator: StartOperator, tmp_path: Path
) -> None:
    authority, port = Authority(), running.free_port()
    show(tmp_path, authority.server())
    ask_for(crowd, "shipper:before")
    flags = ("--webhook-port", str(port), "--cert-dir", str(tmp_path))
    operator = await asyncio.to_thread(start_operator, *flags)
    editing = asyncio.create_task(asyncio.to_thread(edit_until, crowd, partial(has_loaded, operator, 2)))
    show(tmp_path, authority.server())
    mark, answers = crowd.cluster.audit_log.mark(), list[tuple[str, ...]]()
    trust = ssl.create_default_context(cadata=authority.certificate)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as kept,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust, force_close=True)) as fresh,
    ):
        while not editing.done():
            answers += await asyncio.gather(born(kept, port), born(fresh, port))
    await editing
    # With it end the connections that are still being closed, while there is an event loop to tell.
    await asyncio.to_thread(operator.stop)

    assert Counter(answers) == {("shipper",): len(answers)}
    assert has_written(crowd, mark, MANY)


def show(directory: Path, pair: Pair) -> None:
    """Put a certificate where the operator looks for it, at once: a new one for the old."""
    for name, content in (("tls.key", pair.key), ("tls.crt", pair.certificate)):
        (directory / name).write_bytes(content)


def has_loaded(operator: Operator, times: int) -> bool:
    return operator.log.count("certificate loaded") >= times


def edit_until(crowd: World, done: Callable[[], bool]) -> None:
    """Edit the policy whenever all carry what it asks, until something else has happened too."""
    for edits in range(MANY):
        ask_for(crowd, f"shipper:meanwhile-{edits}")
        until_done(crowd, f"shipper:meanwhile-{edits}")
        if done():
            return


async def born(session: aiohttp.ClientSession, port: int) -> tuple[str, ...]:
    """Ask for admission of a new workload, and return which sidecars it gets."""
    body = deployment("new")
    asked = review(body, namespace="crowd")
    async with session.post(f"https://127.0.0.1:{port}{PATH}", json=asked) as response:
        answer = await response.json()
    inits = template_of(patched(body, answer))["spec"].get("initContainers", ())
    return tuple(one["name"] for one in inits)


def test_only_the_operators_own_client_writes(crowd: World, start_operator: StartOperator) -> None:
    bring(crowd, start_operator)
    found = writes(crowd, 0)

    # kopf has a session of its own, which only reads.
    assert {one.user_agent.partition("/")[0] for one in found} == {"sidecarpolicy"}
    assert {one.field_manager for one in found if one.verb != "delete"} == {names.FIELD_MANAGER}
    assert {one.verb for one in found if one.resource == "deployments"} == {"patch"}
    managers = {entry["manager"] for one in crowd.list("Deployment") for entry in one["metadata"]["managedFields"]}
    assert not [manager for manager in managers if "kopf" in manager]
    assert not [name for one in crowd.list("Deployment") for name in one["metadata"]["annotations"] if "kopf" in name]
