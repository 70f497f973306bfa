"""An operator beside the cluster, as while it is being developed: called at a URL for as long as it runs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import running
from conftest import StartOperator
from controller.manifests import job, policy
from localcluster import LocalCluster
from localcluster.waiting import until
from sidecarpolicy.planning.workload import KINDS, template_of
from world import World

pytestmark = pytest.mark.xdist_group("own-cluster")


@pytest.fixture
def shop(own_cluster: LocalCluster) -> Iterator[World]:
    name = f"test-{uuid.uuid4().hex[:10]}"
    own_cluster.create_namespace(name)
    one = World(own_cluster, name)
    yield one
    one.close()
    own_cluster.delete_namespace(name)


def configurations(cluster: LocalCluster) -> list[str]:
    """Whom the API server calls."""
    found = cluster.get("mutatingwebhookconfigurations")["items"]
    return [item["webhooks"][0]["clientConfig"]["url"] for item in found]


def said(log: str, event: str) -> bool:
    return any(json.loads(line)["event"] == event for line in log.splitlines())


def test_workloads_are_born_right_while_it_runs_and_it_leaves_nothing_behind(
    own_cluster: LocalCluster, start_operator: StartOperator, shop: World
) -> None:
    flags = running.called_here()
    operator = start_operator(*flags, kubeconfig=own_cluster.kubeconfig)
    until(lambda: said(operator.log, "the API server reaches us"))
    assert configurations(own_cluster) == [flags[1]]

    shop.apply(policy(kinds=["Job"]))
    shop.until_says("log-shipper", Accepted="True")
    shop.apply(job(runs_for="0s"))
    shop.kubectl("wait", "--for=condition=Complete", "job/import", "--timeout=60s")
    [sidecar] = shop.get("Job", "import")["spec"]["template"]["spec"]["initContainers"]
    assert (sidecar["name"], sidecar["restartPolicy"]) == ("shipper", "Always")

    assert operator.stop() == 0
    assert configurations(own_cluster) == []


def test_another_one_at_the_same_url_ends_and_leaves_the_first_its_configuration(
    own_cluster: LocalCluster, start_operator: StartOperator
) -> None:
    flags = running.called_here()
    first = start_operator(*flags, kubeconfig=own_cluster.kubeconfig)
    until(lambda: said(first.log, "the API server reaches us"))

    with pytest.raises(AssertionError, match="address already in use"):
        start_operator(*flags, kubeconfig=own_cluster.kubeconfig)
    assert configurations(own_cluster) == [flags[1]]


def test_a_url_at_which_nobody_answers_is_said(own_cluster: LocalCluster, start_operator: StartOperator) -> None:
    nowhere = f"https://127.0.0.1:{running.free_port()}/mutate"
    flags = ("--webhook-url", nowhere, "--webhook-port", str(running.free_port()))
    operator = start_operator(*flags, kubeconfig=own_cluster.kubeconfig)

    until(lambda: "the API server does not reach us" in operator.log)
    assert "firewall" in operator.log


def test_without_the_rights_it_says_which_it_lacks(own_cluster: LocalCluster, start_operator: StartOperator) -> None:
    with pytest.raises(AssertionError, match=r'cannot patch resource \\"mutatingwebhookconfigurations\\"'):
        start_operator(*running.called_here())


EXAMPLES = Path(__file__).parents[2] / "examples"
WAITING = {
    "cloud-sql-proxy-job": ("TemplateImmutable", "delete and create it again"),
    "job-with-sidecar": ("TemplateImmutable", "delete and create it again"),
    "convert-legacy": ("AdmissionUnavailable", "waits for the admission webhook"),
}


def lasting_workload(example: str) -> dict[str, Any]:
    """The workload of an example; a Job of it runs for long, so that the policy finds it."""
    items = yaml.safe_load_all((EXAMPLES / example / "workload.yaml").read_text())
    [body] = [item for item in items if item["kind"] in KINDS]
    if body["kind"] == "Job":
        body["spec"]["template"]["metadata"]["annotations"] = {"sidecarpolicy.test/runs-for": "600s"}
    return dict(body)


def test_what_needs_admission_says_so_without_it_and_goes_on_with_it(
    own_cluster: LocalCluster, start_operator: StartOperator, shop: World
) -> None:
    operator = start_operator(kubeconfig=own_cluster.kubeconfig)
    workloads = {example: lasting_workload(example) for example in WAITING}
    shop.apply(*workloads.values(), {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "warehouse"}})
    shop.kubectl("apply", *(f"--filename={EXAMPLES / example / 'policy.yaml'}" for example in WAITING))
    for example, (reason, advice) in WAITING.items():
        [block] = shop.until_says(example, Ready="Blocked", Stalled="True")["status"]["blocks"]
        assert (block["name"], block["reason"]) == (workloads[example]["metadata"]["name"], reason)
        assert advice in block["message"]
    operator.stop()

    start_operator(*running.called_here(), kubeconfig=own_cluster.kubeconfig)
    shop.until_ready("convert-legacy")
    converted = template_of(shop.get("Deployment", "warehouse"))["spec"]["initContainers"]
    assert [one["name"] for one in converted] == ["cloud-sql-proxy", "log-tail"]
    for example, body in workloads.items():
        if body["kind"] == "Job":
            shop.kubectl("delete", "job", body["metadata"]["name"])
            shop.apply(body)
            shop.until_ready(example)


def test_what_a_killed_one_leaves_behind_delays_nobody_and_is_replaced(
    own_cluster: LocalCluster, start_operator: StartOperator, shop: World
) -> None:
    flags = running.called_here()
    operator = start_operator(*flags, kubeconfig=own_cluster.kubeconfig)
    until(lambda: said(operator.log, "the API server reaches us"))
    # It keeps its Lease for a while, so that this comes last.
    operator.kill()
    assert configurations(own_cluster) == [flags[1]]

    # Nobody listens any more: the API server's call is refused, and the workload goes through.
    shop.apply(job("meanwhile"))
    assert "initContainers" not in shop.get("Job", "meanwhile")["spec"]["template"]["spec"]

    operator.start_again()
    assert configurations(own_cluster) == [flags[1]]
    operator.stop()
    assert configurations(own_cluster) == []
