"""Replicas that stand for one lease: never two lead, and somebody soon does again."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from cluster.objects import Json
from conftest import Kubectl
from localcluster.faults import Answer, Blackhole, Cut, Delay, Fault, LoseAnswer, Rule
from localcluster.proxy import FaultProxy
from localcluster.waiting import PATIENCE, becomes
from sidecarpolicy.api.names import LEASE
from sidecarpolicy.cluster.client import Client, ClusterError, NotFound, connect
from sidecarpolicy.cluster.lease import Elector, LeaseLost, Times
from sidecarpolicy.cluster.resources import RESOURCES, rights

Clock = Callable[[], datetime]

EAGER = Times(retry=timedelta(seconds=0.1))
SHORT = Times(lease=timedelta(seconds=3), deadline=timedelta(seconds=2), retry=timedelta(seconds=0.2))
HASTY = Times(lease=timedelta(seconds=1), deadline=timedelta(seconds=0.6), retry=timedelta(seconds=0.1))


def ahead(offset: timedelta = timedelta(0)) -> Clock:
    """A clock that is wrong by this much."""
    return lambda: datetime(2026, 11, 21, tzinfo=UTC) + offset + timedelta(seconds=time.monotonic())


class Replica:
    """One elector and its task; what it says of itself is kept with the time."""

    def __init__(self, client: Client, namespace: str, identity: str, times: Times, clock: Clock) -> None:
        self.identity = identity
        self.elector = Elector(client, clock, namespace=namespace, identity=identity, times=times)
        self.task = asyncio.create_task(self.elector.run())

    async def leads(self) -> float:
        """Return the time when it is elected."""
        async with asyncio.timeout(PATIENCE):
            await self.elector.leading.wait()
        return monotonic()

    async def knows(self, holder: str) -> None:
        """Return when it has seen who leads."""
        await becomes(lambda: self.elector.holder == holder)

    async def dies(self) -> None:
        """End as by SIGKILL: nothing is given back."""
        self.task.cancel()
        with suppress(asyncio.CancelledError, LeaseLost):
            await self.task

    async def stops(self) -> None:
        """End as by SIGTERM."""
        await self.dies()
        await self.elector.release()

    async def loses(self) -> tuple[str, float]:
        """Return the message and the time of its loss."""
        with pytest.raises(LeaseLost) as caught:
            await asyncio.wait_for(self.task, PATIENCE)
        return caught.value.message, monotonic()


class Replicas:
    """Starts replicas in the test's namespace; they end with the test."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self.started: list[Replica] = []

    def __call__(
        self, identity: str, times: Times = EAGER, clock: Clock | None = None, client: Client | None = None
    ) -> Replica:
        replica = Replica(client or self._client, self._namespace, identity, times, clock or ahead())
        self.started.append(replica)
        return replica

    async def lease(self) -> Json:
        """Return the lease as it is."""
        return await self._client.request("GET", RESOURCES["Lease"].path(self._namespace, LEASE))

    async def put(self, spec: Json) -> None:
        """Create the lease as somebody left it."""
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": LEASE}, "spec": spec}
        await self._client.request("POST", RESOURCES["Lease"].path(self._namespace), body=lease)

    async def renewals(self, many: int) -> None:
        """Wait until the lease was renewed so many times more, by whomever."""
        seen: set[str] = set()
        async with asyncio.timeout(PATIENCE):
            while len(seen) <= many:
                with suppress(NotFound):
                    seen.add((await self.lease())["spec"].get("renewTime", ""))


@pytest.fixture
async def replicas(client: Client, namespace: str) -> AsyncIterator[Replicas]:
    start = Replicas(client, namespace)
    yield start
    for one in start.started:
        await one.dies()


@pytest.fixture
async def client_behind(kubectl: Kubectl, proxy: FaultProxy, namespace: str) -> AsyncIterator[Client]:
    """A client that meets the proxy's faults, and may do what the operator may in its own namespace."""
    rules = [
        {"apiGroups": [right.group], "resources": [right.resource], "verbs": sorted(verbs)}
        for right, verbs in rights(own=True).items()
    ]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "own"}, "rules": rules}
    await asyncio.to_thread(kubectl, "apply", "--filename=-", stdin=json.dumps(role))
    account = f"--serviceaccount={namespace}:default"
    await asyncio.to_thread(kubectl, "create", "rolebinding", "own", "--role=own", account)
    async with connect(str(await asyncio.to_thread(proxy.kubeconfig_for, namespace, "default"))) as connection:
        yield connection


def monotonic() -> float:
    return asyncio.get_running_loop().time()


async def test_one_of_two_leads(replicas: Replicas) -> None:
    one, two = replicas("one"), replicas("two")
    await asyncio.wait([asyncio.create_task(each.leads()) for each in (one, two)], return_when=asyncio.FIRST_COMPLETED)
    await replicas.renewals(5)

    assert one.elector.may_write != two.elector.may_write
    leader = "one" if one.elector.may_write else "two"
    assert {one.elector.holder, two.elector.holder} == {leader}
    assert (await replicas.lease())["spec"]["holderIdentity"] == leader


async def test_lease_says_who_leads_and_since_when(replicas: Replicas) -> None:
    moment = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
    one = replicas("one", clock=lambda: moment)
    await one.leads()

    assert (await replicas.lease())["spec"] == {
        "holderIdentity": "one",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-11-21T09:30:00.000000Z",
        "renewTime": "2026-11-21T09:30:00.000000Z",
        "leaseTransitions": 0,
    }


async def test_renewals_move_nothing_but_their_time(replicas: Replicas) -> None:
    await replicas("one").leads()
    before = (await replicas.lease())["spec"]
    await replicas.renewals(2)
    after = (await replicas.lease())["spec"]

    assert after.pop("renewTime") > before.pop("renewTime")
    assert after == before


async def test_a_holder_that_died_is_followed_when_its_lease_ends(replicas: Replicas) -> None:
    one = replicas("one", SHORT)
    await one.leads()
    two = replicas("two", SHORT)
    await replicas.renewals(2)
    await one.dies()
    died = monotonic()
    waited = await two.leads() - died

    # It may have renewed up to one retry before it died.
    assert SHORT.lease - SHORT.retry <= timedelta(seconds=waited) <= SHORT.lease + timedelta(seconds=2)
    assert (await replicas.lease())["spec"]["leaseTransitions"] == 1


async def test_a_lease_that_is_given_back_is_taken_at_the_next_try(replicas: Replicas) -> None:
    times = Times(retry=timedelta(seconds=2))
    one = replicas("one", times)
    await one.leads()
    two = replicas("two", times)
    await two.knows("one")
    await one.stops()
    stopped = monotonic()

    assert (await replicas.lease())["spec"]["holderIdentity"] == ""
    assert await two.leads() - stopped < 3


async def test_what_another_holds_is_not_given_back(replicas: Replicas) -> None:
    await replicas("one").leads()
    two = replicas("two")
    await two.knows("one")
    await two.stops()

    assert (await replicas.lease())["spec"]["holderIdentity"] == "one"


@pytest.mark.parametrize(
    "fault",
    [pytest.param(Blackhole(), id="silence"), pytest.param(Cut(), id="cut"), pytest.param(Answer(503), id="503")],
)
async def test_a_leader_that_is_cut_off_ends_before_another_leads(
    replicas: Replicas, proxy: FaultProxy, client_behind: Client, fault: Fault
) -> None:
    one = replicas("one", SHORT, client=client_behind)
    await one.leads()
    two = replicas("two", SHORT)
    await replicas.renewals(2)
    proxy.use(Rule(fault))
    cut_off = monotonic()
    message, lost = await one.loses()

    assert message == "the lease was not renewed for 2 s"
    assert lost - cut_off < SHORT.deadline.total_seconds() + 0.5
    assert not one.elector.leading.is_set()
    assert await two.leads() > lost


async def test_one_dead_connection_is_survived(replicas: Replicas, proxy: FaultProxy, client_behind: Client) -> None:
    one = replicas("one", SHORT, client=client_behind)
    await one.leads()
    proxy.use(Rule(Blackhole(), times=1))
    await replicas.renewals(5)

    assert one.elector.may_write


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Answer(500), id="500"),
        pytest.param(Answer(429, retry_after=30), id="429"),
        pytest.param(LoseAnswer(), id="lost-answers"),
        pytest.param(Delay(timedelta(seconds=0.2)), id="delays"),
        pytest.param(Cut(), id="cut"),
    ],
)
async def test_a_storm_is_survived(replicas: Replicas, proxy: FaultProxy, client_behind: Client, fault: Fault) -> None:
    proxy.use(Rule(fault, chance=0.5))
    one = replicas("one", client=client_behind)
    await one.leads()
    await replicas.renewals(8)

    assert one.elector.may_write
    assert any(seen.fault for seen in proxy.seen)


LONG_AGO = "2020-01-01T00:00:00.000000Z"
LATE = "2099-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({}, id="empty"),
        pytest.param({"holderIdentity": ""}, id="given-back"),
        pytest.param({"leaseTransitions": 7, "renewTime": LATE}, id="of-nobody"),
    ],
)
async def test_a_lease_that_nobody_holds_is_taken_at_once(replicas: Replicas, spec: Json) -> None:
    await replicas.put(spec)
    await replicas("one", Times()).leads()

    assert (await replicas.lease())["spec"]["holderIdentity"] == "one"


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"renewTime": LONG_AGO, "leaseDurationSeconds": 1}, id="long-ago"),
        pytest.param({"renewTime": LATE, "leaseDurationSeconds": 1}, id="in-the-future"),
        pytest.param({"leaseTransitions": 7}, id="without-times"),
    ],
)
async def test_the_clock_in_a_lease_does_not_count(replicas: Replicas, spec: Json) -> None:
    begun = monotonic()
    await replicas.put({"holderIdentity": "somebody", **spec})
    waited = await replicas("one", HASTY).leads() - begun

    assert 1 <= waited < 3


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_that_is_an_hour_off_takes_nothing(replicas: Replicas, hours: int) -> None:
    one = replicas("one", SHORT)
    await one.leads()
    two = replicas("two", SHORT, clock=ahead(timedelta(hours=hours)))
    await two.knows("one")
    await replicas.renewals(10)

    assert one.elector.may_write
    assert not two.elector.leading.is_set()


async def test_edits_of_others_stay_and_cost_nothing(replicas: Replicas, kubectl: Kubectl) -> None:
    one = replicas("one")
    await one.leads()
    await asyncio.to_thread(kubectl, "annotate", "lease", LEASE, "team=platform")
    await asyncio.to_thread(kubectl, "patch", "lease", LEASE, "--type=merge", '--patch={"spec":{"renewTime":null}}')
    await replicas.renewals(3)

    assert one.elector.may_write
    assert (await replicas.lease())["metadata"]["annotations"]["team"] == "platform"


async def test_a_lease_that_is_deleted_stays_with_its_holder(replicas: Replicas, kubectl: Kubectl) -> None:
    one = replicas("one", SHORT)
    await one.leads()
    two = replicas("two", EAGER)
    await two.knows("one")
    await asyncio.to_thread(kubectl, "delete", "lease", LEASE)
    await replicas.renewals(3)

    assert one.elector.may_write
    assert not two.elector.leading.is_set()


async def test_a_leader_whose_lease_was_taken_ends(replicas: Replicas, kubectl: Kubectl) -> None:
    one = replicas("one")
    await one.leads()
    taken = '--patch={"spec":{"holderIdentity":"somebody"}}'
    await asyncio.to_thread(kubectl, "patch", "lease", LEASE, "--type=merge", taken)

    assert (await one.loses())[0] == "somebody holds the lease"


async def test_a_process_that_stood_still_does_not_write(replicas: Replicas) -> None:
    one = replicas("one", HASTY)
    await one.leads()
    time.sleep(0.7)  # noqa: ASYNC251 - nothing of the process gets a turn

    assert one.elector.leading.is_set()
    assert not one.elector.may_write
    assert await one.loses()


async def test_without_its_namespace_it_says_what_to_do(client: Client) -> None:
    elector = Elector(client, ahead(), namespace="not-there", identity="one")

    with pytest.raises(ClusterError, match="kubectl create namespace not-there"):
        await elector.run()


@pytest.mark.parametrize("seed", range(2))
async def test_never_two_lead_however_they_come_and_go(
    client: Client, replicas: Replicas, proxy: FaultProxy, client_behind: Client, seed: int
) -> None:
    dice, end, over = random.Random(seed), monotonic() + 8, asyncio.Event()
    present = {"near": client, "far-1": client_behind, "far-2": client_behind, "far-3": client_behind}
    leaders: list[str] = []
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for name, connection in present.items():
            tasks.create_task(come_and_go(replicas, connection, name, dice, over))
        tasks.create_task(trouble(proxy, dice, over))
        # A busy machine may take longer until three have led one after the other.
        while monotonic() < end or len(leaders) < 3:
            now = [one.identity for one in replicas.started if one.elector.may_write]
            assert len(now) <= 1
            if now and now != leaders[-1:]:
                leaders += now
            await asyncio.sleep(0.005)
        over.set()

    assert len(leaders) >= 3


async def come_and_go(replicas: Replicas, client: Client, name: str, dice: random.Random, over: asyncio.Event) -> None:
    """Start, live for a while, end in one way or the other, and start again."""
    while not over.is_set():
        one = replicas(f"{name}-{len(replicas.started)}", HASTY, client=client)
        await asyncio.wait([one.task], timeout=dice.uniform(0.5, 3))
        await (one.stops() if dice.random() < 0.5 else one.dies())
        await asyncio.sleep(dice.uniform(0, 1))


async def trouble(proxy: FaultProxy, dice: random.Random, over: asyncio.Event) -> None:
    """Lose some requests and answers, and now and then all of them for as long as a lease lasts and more."""
    while not over.is_set():
        proxy.use(Rule(LoseAnswer(), chance=0.1), Rule(Cut(), chance=0.1))
        await asyncio.sleep(dice.uniform(0.5, 1.5))
        proxy.use(Rule(dice.choice((Blackhole(), Cut()))))
        await asyncio.sleep(dice.uniform(1, 2))
    proxy.use()
