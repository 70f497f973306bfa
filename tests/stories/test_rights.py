"""What the operator asks the API server for in a whole life, compared with what it is allowed: no more, no less."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import yaml

import running
from conftest import StartOperator
from controller import manifests
from localcluster import LocalCluster
from localcluster.faults import LoseAnswer, Request, Rule
from localcluster.proxy import FaultProxy
from localcluster.waiting import until
from sidecarpolicy.api import names
from sidecarpolicy.planning.workload import KINDS
from world import World, condition

Json = dict[str, Any]

pytestmark = pytest.mark.xdist_group("own-cluster")


class Right(NamedTuple):
    """One verb on one resource; a subresource stands behind a slash."""

    group: str
    resource: str
    verb: str


RARE = {
    Right("apps", "controllerrevisions", "delete"): "an eleventh revision comes: cluster/test_revisions.py",
    Right("events.k8s.io", "events", "patch"): "the same is told again within the hour: cluster/test_report.py",
    Right("", "secrets", "update"): "certificates are renewed: cluster/test_webhook.py",
}
"""Rights that the life below may do without, and when they are needed."""

EVERYBODYS = {"authorization.k8s.io"}
"""To ask what one may do is allowed to all."""

VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
KEPT_OUT = {"Job"}
"""Whose templates take no sidecar any more."""


def granted() -> set[Right]:
    """What the manifests give the operator."""
    roles = yaml.safe_load_all((running.MANIFESTS / "base/rbac.yaml").read_text())
    rules = [rule for role in roles for rule in role.get("rules", [])]
    return {
        Right(*each)
        for rule in rules
        for each in itertools.product(rule["apiGroups"], rule["resources"], rule["verbs"])
    }


def used(requests: Iterator[Request]) -> set[Right]:
    """What was asked for."""
    return {right for request in requests if (right := right_of(request)) and right.group not in EVERYBODYS}


def right_of(request: Request) -> Right | None:
    """Return the right that a request needs; None for what is no resource, such as /version."""
    match request.path.strip("/").split("/"):
        case ["api", _, *rest]:
            group = ""
        case ["apis", group, _, *rest]:
            pass
        case _:
            return None
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    if not rest:
        return None
    resource, name, subresource = (*rest, "", "")[:3]
    listed = "watch" if request.is_watch else "list"
    verb = listed if request.method == "GET" and not name else VERBS[request.method]
    return Right(group, f"{resource}/{subresource}" if subresource else resource, verb)


def lost_answers() -> list[Rule]:
    """Let one answer about each kind get lost, so that it has to be read again."""
    patched = [*(facts.plural for facts in KINDS.values()), names.POLICY_PLURAL, names.CLUSTER_POLICY_PLURAL]
    rules = [Rule(LoseAnswer(), methods=frozenset({"PATCH"}), path=rf"/{each}/[^/]+$", times=1) for each in patched]
    return [*rules, Rule(LoseAnswer(), methods=frozenset({"POST"}), path="/controllerrevisions$", times=1)]


@pytest.fixture
def world(own_cluster: LocalCluster) -> Iterator[World]:
    """A namespace with a workload of each kind, and somebody to be told whom to trust."""
    own_cluster.kubectl("apply", f"--filename={running.MANIFESTS / 'base/webhook.yaml'}")
    own_cluster.create_namespace("rights")
    world = World(own_cluster, "rights")
    made = [manifests.deployment(), manifests.stateful_set(), manifests.daemon_set(), manifests.cron_job()]
    world.apply(*made, manifests.job(suspend=True))
    yield world
    world.close()
    own_cluster.kubectl("delete", "mutatingwebhookconfiguration", names.WEBHOOK_CONFIGURATION)


def live(world: World) -> None:
    """Have policies do all that policies do: add, fill, report, and take away again."""
    others = sorted(KINDS.keys() - KEPT_OUT)
    sizes = [{"names": ["*"], "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}]
    world.apply(
        manifests.policy(kinds=others),
        manifests.policy("sizes", kinds=["Job"], sidecars=None, containers=sizes),
        manifests.policy("everywhere", kind=names.CLUSTER_POLICY_KIND, kinds=others, sidecars=None, containers=sizes),
    )
    world.until_ready("log-shipper")
    until(lambda: condition(world.get("SidecarPolicy", "sizes"), "WorkloadsUpToDate")["status"] == "True")
    world.kubectl("delete", "sidecarpolicies,clustersidecarpolicies", "--all", "--timeout=60s")


async def test_every_right_is_used_and_none_is_missing(
    own_cluster: LocalCluster, world: World, start_operator: StartOperator
) -> None:
    async with FaultProxy(own_cluster) as proxy:
        kubeconfig = await asyncio.to_thread(proxy.kubeconfig_for, running.SYSTEM_NAMESPACE, running.ACCOUNT)
        flags = ("--webhook-port", str(running.free_port()))
        operator = await asyncio.to_thread(start_operator, *flags, kubeconfig=kubeconfig)
        proxy.use(*lost_answers())
        await asyncio.to_thread(live, world)
        await asyncio.to_thread(operator.stop)
        asked = used(one.request for one in proxy.seen)

    assert "in sync" in operator.log
    assert "is forbidden" not in operator.log
    assert asked <= granted()
    assert granted() - asked - RARE.keys() == set()
    assert RARE.keys() <= granted()
