"""Two operators on one cluster: one writes, the other looks on, and goes on where the first was ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby

import pytest

import running
from admission.reviews import encoded, patched, review
from conftest import StartOperator
from controller.crowd import PATIENCE, US, ask_for, generations, has_written, many_deployments, until_done, writes
from controller.manifests import Json, deployment, policy
from localcluster import LocalCluster
from localcluster.audit import Write
from localcluster.faults import Blackhole, Delay, LoseAnswer, Rule
from localcluster.proxy import FaultProxy
from localcluster.waiting import becomes, until
from running import Operator
from sidecarpolicy.api import names
from sidecarpolicy.api.webhook import PATH
from sidecarpolicy.planning.ownership import trimmed_claims
from world import World

pytestmark = pytest.mark.xdist_group("replicas")

TAKEN_OVER = timedelta(seconds=20)
TAKEN_OVER_AT_ONCE = timedelta(seconds=3)
SOME = 60
"""Written of two hundred when something happens to the leader."""
FILL = {"names": ["*"], "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}


@pytest.fixture(scope="module")
def crowd(own_cluster: LocalCluster) -> Iterator[World]:
    """Two hundred Deployments, some of which have a pod."""
    with many_deployments(own_cluster) as world:
        yield world


@pytest.fixture
def shop(own_cluster: LocalCluster, request: pytest.FixtureRequest) -> Iterator[World]:
    """A namespace of this test's own on the same cluster."""
    name = request.function.__name__.replace("_", "-")[:50].strip("-")
    own_cluster.create_namespace(name)
    one = World(own_cluster, name)
    running.free_lease(own_cluster)
    yield one
    one.close()


def identity(operator: Operator) -> str:
    """How an operator names itself to the API server."""
    said = map(json.loads, operator.log.splitlines())
    return next(str(one["identity"]) for one in said if one["event"] == "connected")


def holder(cluster: LocalCluster) -> str:
    lease = cluster.run_kubectl("get", "lease", names.LEASE, f"-n={running.SYSTEM_NAMESPACE}", "-o=json", check=False)
    return str(json.loads(lease.stdout)["spec"].get("holderIdentity", "")) if lease.returncode == 0 else ""


def hold(cluster: LocalCluster, who: str) -> None:
    """Have the lease be of somebody's, or nobody's; whoever holds it does not renew it."""
    kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
    spec = {"holderIdentity": who, "leaseDurationSeconds": 60}
    cluster.apply({**kind, "metadata": {"name": names.LEASE}, "spec": spec}, namespace=running.SYSTEM_NAMESPACE)


def leads(cluster: LocalCluster, operator: Operator) -> bool:
    return holder(cluster) == identity(operator)


def by(write: Write) -> str:
    return write.user_agent.partition("(")[2].rstrip(")")


def turns(crowd: World, mark: int) -> list[str]:
    """Who wrote, in the order of time: somebody who comes twice wrote while another did."""
    in_time = sorted(writes(crowd, mark), key=lambda write: write.time)
    return [who for who, _ in groupby(in_time, by)]


def times(found: list[Write], who: str) -> list[datetime]:
    return sorted(datetime.fromisoformat(write.time) for write in found if by(write) == who)


def lease_writes(crowd: World, mark: int) -> list[Write]:
    return crowd.cluster.audit_log.writes(mark, user=US, resource="leases", code=200)


def two(cluster: LocalCluster, start_operator: StartOperator) -> tuple[Operator, Operator]:
    """An operator that leads, and one that looks on."""
    leader = start_operator()
    until(partial(leads, cluster, leader))
    return leader, start_operator()


def test_killed_leader_is_followed_and_nothing_is_written_twice(crowd: World, start_operator: StartOperator) -> None:
    leader, standby = two(crowd.cluster, start_operator)
    before, mark = generations(crowd), crowd.cluster.audit_log.mark()
    ask_for(crowd, "shipper:killed")
    until(partial(has_written, crowd, mark, SOME), PATIENCE)
    leader.kill()
    killed = now()
    until_done(crowd, "shipper:killed")

    assert turns(crowd, mark) == [identity(leader), identity(standby)]
    assert times(writes(crowd, mark), identity(standby))[0] - killed < TAKEN_OVER
    assert generations(crowd) == {name: count + 1 for name, count in before.items()}


def test_leader_that_is_told_to_stop_hands_over_at_once(crowd: World, start_operator: StartOperator) -> None:
    leader, standby = two(crowd.cluster, start_operator)
    before, mark = generations(crowd), crowd.cluster.audit_log.mark()
    ask_for(crowd, "shipper:told")
    until(partial(has_written, crowd, mark, SOME), PATIENCE)
    told = now()
    assert leader.stop() == 0
    until_done(crowd, "shipper:told")

    assert turns(crowd, mark) == [identity(leader), identity(standby)]
    released = times(lease_writes(crowd, mark), identity(leader))[-1]
    assert times(lease_writes(crowd, mark), identity(standby))[0] - told < TAKEN_OVER_AT_ONCE
    assert times(writes(crowd, mark), identity(leader))[-1] < released
    assert generations(crowd) == {name: count + 1 for name, count in before.items()}


@pytest.mark.long
def test_leader_that_stood_still_writes_nothing_when_it_goes_on(crowd: World, start_operator: StartOperator) -> None:
    leader, standby = two(crowd.cluster, start_operator)
    before, mark = generations(crowd), crowd.cluster.audit_log.mark()
    ask_for(crowd, "shipper:still")
    until(partial(has_written, crowd, mark, SOME), PATIENCE)
    os.kill(leader.pid, signal.SIGSTOP)
    until(partial(leads, crowd.cluster, standby))
    os.kill(leader.pid, signal.SIGCONT)
    until(lambda: leader.exit_code is not None)
    until_done(crowd, "shipper:still")

    assert leader.exit_code == 1
    assert turns(crowd, mark) == [identity(leader), identity(standby)]
    assert generations(crowd) == {name: count + 1 for name, count in before.items()}


async def test_leader_that_is_cut_off_stops_before_another_leads(crowd: World, start_operator: StartOperator) -> None:
    async with FaultProxy(crowd.cluster) as proxy:
        kubeconfig = await asyncio.to_thread(proxy.kubeconfig_for, running.SYSTEM_NAMESPACE, running.ACCOUNT)
        # So slow that it would go on for long.
        slowly = Rule(Delay(timedelta(seconds=0.3)), methods=frozenset({"PATCH"}), path="/deployments/")
        proxy.use(slowly)
        leader = await asyncio.to_thread(start_operator, "--writers", "1", kubeconfig=kubeconfig)
        await becomes(partial(leads, crowd.cluster, leader))
        standby = await asyncio.to_thread(start_operator)
        before, mark = generations(crowd), crowd.cluster.audit_log.mark()
        await asyncio.to_thread(ask_for, crowd, "shipper:cut-off")
        await becomes(partial(has_written, crowd, mark, 3), PATIENCE)
        # Its writes pass: that they stop is its own doing.
        proxy.use(Rule(Blackhole(), path=f"/leases/{names.LEASE}$"), slowly)
        await becomes(lambda: leader.exit_code is not None)
        await asyncio.to_thread(until_done, crowd, "shipper:cut-off")

    assert leader.exit_code == 1
    assert "the lease was not renewed for 10 s" in leader.log
    assert turns(crowd, mark) == [identity(leader), identity(standby)]
    taken = times(lease_writes(crowd, mark), identity(standby))[0]
    assert times(writes(crowd, mark), identity(leader))[-1] < taken - timedelta(seconds=2)
    assert generations(crowd) == {name: count + 1 for name, count in before.items()}


def test_one_that_does_not_lead_answers_admission(shop: World, start_operator: StartOperator) -> None:
    hold(shop.cluster, "somebody")
    port = running.free_port()
    start_operator("--webhook-port", str(port))
    shop.apply(policy(kinds=["Deployment"]))

    until(lambda: "initContainers" in answered(port, deployment(), shop.namespace)["spec"]["template"]["spec"])
    assert not shop.get("SidecarPolicy", "log-shipper").get("status")


def answered(port: int, body: Json, namespace: str) -> Json:
    """What admission makes of a new workload."""
    sent = review(body, namespace=namespace)
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"https://127.0.0.1:{port}{PATH}", encoded(sent), headers)
    trusting = ssl._create_unverified_context()
    with urllib.request.urlopen(request, context=trusting, timeout=10) as answer:
        return patched(body, json.loads(answer.read()))


def test_what_came_while_nobody_led_is_done_when_somebody_does(shop: World, start_operator: StartOperator) -> None:
    first = start_operator()
    shop.apply(deployment("web", replicas=0), policy())
    shop.apply(deployment("leaving", replicas=0), policy("leaver", selector={"matchLabels": {"logs": "none"}}))
    shop.until_ready("log-shipper", "leaver")
    first.stop()
    hold(shop.cluster, "somebody")
    mark = shop.cluster.audit_log.mark()
    start_operator()
    shop.delete("SidecarPolicy", "log-shipper")
    shop.delete("SidecarPolicy", "leaver")
    shop.apply(policy("newcomer"))
    hold(shop.cluster, "")
    shop.until_ready("newcomer")
    until(lambda: not shop.find("SidecarPolicy", "log-shipper") and not shop.find("SidecarPolicy", "leaver"))

    body = shop.get("SidecarPolicy", "newcomer")
    assert body["metadata"]["finalizers"] == [names.FINALIZER]
    assert [item["revision"] for item in revisions(shop, body)] == [1]
    assert shop.get("Deployment", "web")["spec"]["template"]["spec"]["initContainers"][0]["name"] == "shipper"
    assert {by(write) for write in writes(shop, mark)} == {holder(shop.cluster)}


def revisions(shop: World, owner: Json) -> list[Json]:
    """The revisions that are kept of a policy."""
    found = shop.cluster.get("controllerrevisions", f"--namespace={shop.namespace}")["items"]
    return [item for item in found if item["metadata"]["ownerReferences"][0]["uid"] == owner["metadata"]["uid"]]


async def test_claims_of_a_leader_that_was_killed_between_two_writes_are_given_back(
    shop: World, start_operator: StartOperator
) -> None:
    async with FaultProxy(shop.cluster) as proxy:
        kubeconfig = await asyncio.to_thread(proxy.kubeconfig_for, running.SYSTEM_NAMESPACE, running.ACCOUNT)
        leader = await asyncio.to_thread(start_operator, kubeconfig=kubeconfig)
        await becomes(partial(leads, shop.cluster, leader))
        standby = await asyncio.to_thread(start_operator)
        filled = Rule(LoseAnswer(), methods=frozenset({"PATCH"}), path="/deployments/", times=1)
        proxy.use(filled, Rule(Blackhole(), path="/deployments/", watches=False))
        shop.apply(deployment(replicas=0), policy(sidecars=None, containers=[FILL]))
        await becomes(lambda: trimmed_claims(shop.get("Deployment", "web")) is not None)
        await asyncio.to_thread(leader.kill)

    until(lambda: trimmed_claims(shop.get("Deployment", "web")) is None)
    assert leads(shop.cluster, standby)
    shop.until_ready("log-shipper")


async def test_claims_are_given_back_though_nobody_told_that_they_were_made(
    shop: World, start_operator: StartOperator
) -> None:
    async with FaultProxy(shop.cluster) as proxy:
        kubeconfig = await asyncio.to_thread(proxy.kubeconfig_for, running.SYSTEM_NAMESPACE, running.ACCOUNT)
        await asyncio.to_thread(start_operator, kubeconfig=kubeconfig)
        proxy.use(Rule(LoseAnswer(), methods=frozenset({"PATCH"}), path="/deployments/", times=1))
        shop.apply(deployment(replicas=0), policy(sidecars=None, containers=[FILL]))
        await asyncio.to_thread(shop.until_ready, "log-shipper")

        await becomes(lambda: trimmed_claims(shop.get("Deployment", "web")) is None)


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - compared with the API server's
