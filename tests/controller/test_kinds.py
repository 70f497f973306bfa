"""What becomes of each kind of workload, and of those that cannot or must not be changed."""

from __future__ import annotations

import pytest

from controller.manifests import (
    SELECTED,
    Json,
    cron_job,
    daemon_set,
    deployment,
    job,
    policy,
    sidecar,
    stateful_set,
)
from localcluster.waiting import until
from sidecarpolicy.planning.workload import template_of
from world import World, condition

ALL = ["Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job"]


def inits(world: World, kind: str, name: str) -> list[str]:
    """The names of the init containers in a workload's template."""
    return [one["name"] for one in template_of(world.get(kind, name))["spec"].get("initContainers", [])]


def found(entries: list[Json]) -> list[tuple[str, str, str]]:
    """Whom the entries of a status list are about, and why."""
    return [(entry["kind"], entry["name"], entry["reason"]) for entry in entries]


@pytest.mark.parametrize(
    "workload",
    [
        pytest.param(deployment(), id="Deployment"),
        pytest.param(stateful_set(), id="StatefulSet"),
        pytest.param(daemon_set(), id="DaemonSet"),
        pytest.param(cron_job(), id="CronJob"),
    ],
)
def test_workload_gets_the_sidecar_and_loses_it_without_a_trace(world: World, workload: Json) -> None:
    kind, name = workload["kind"], workload["metadata"]["name"]
    world.apply(workload)
    before = template_of(world.get(kind, name))

    world.apply(policy(kinds=ALL))
    world.until_ready("log-shipper")
    assert inits(world, kind, name) == ["shipper"]

    world.delete("SidecarPolicy", "log-shipper")
    until(lambda: world.find("SidecarPolicy", "log-shipper") is None)
    assert template_of(world.get(kind, name)) == before


def test_stateful_set_that_restarts_on_delete_is_written_and_noted(world: World) -> None:
    world.apply(stateful_set(updateStrategy={"type": "OnDelete"}))
    world.kubectl("wait", "--for=jsonpath={.status.readyReplicas}=2", "statefulset/web", "--timeout=60s")
    world.apply(policy())
    said = world.until_policy("log-shipper", lambda body: body["status"].get("notes"))

    assert found(said["status"]["notes"]) == [("StatefulSet", "web", "PendingRestart")]
    assert "2" in said["status"]["notes"][0]["message"]
    assert condition(said, "Ready")["status"] == "False"

    world.kubectl("delete", "pods", "--selector=app=web")
    world.until_ready("log-shipper")


def test_daemon_set_that_restarts_on_delete_is_written_and_noted(world: World) -> None:
    world.apply(daemon_set(updateStrategy={"type": "OnDelete"}))
    until(lambda: (world.get("DaemonSet", "web").get("status") or {}).get("numberReady", 0) > 0)
    world.apply(policy(kinds=["DaemonSet"]))
    said = world.until_policy("log-shipper", lambda body: body["status"].get("notes"))

    assert found(said["status"]["notes"]) == [("DaemonSet", "web", "PendingRestart")]


def test_partition_settles_with_the_pods_that_it_lets_go(world: World) -> None:
    world.apply(stateful_set(replicas=3, updateStrategy={"rollingUpdate": {"partition": 2}}))
    world.kubectl("wait", "--for=jsonpath={.status.readyReplicas}=3", "statefulset/web", "--timeout=60s")
    world.apply(policy())
    world.until_ready("log-shipper")

    pods = world.ask("GET", f"/api/v1/namespaces/{world.namespace}/pods")["items"]
    carrying = {pod["metadata"]["name"] for pod in pods if pod["spec"].get("initContainers")}
    assert carrying == {"web-2"}


def test_jobs_of_a_cron_job_are_never_written(world: World) -> None:
    world.apply(cron_job())
    world.kubectl("create", "job", "--from=cronjob/report", "earlier")
    world.apply(policy(kinds=["CronJob"]))
    world.until_ready("log-shipper")

    assert inits(world, "CronJob", "report") == ["shipper"]
    assert inits(world, "Job", "earlier") == []

    world.kubectl("create", "job", "--from=cronjob/report", "later")
    assert inits(world, "Job", "later") == ["shipper"]
    assert world.get("SidecarPolicy", "log-shipper")["status"]["matched"] == 1


def test_jobs_of_a_cron_job_count_where_jobs_are_selected(world: World) -> None:
    world.apply(cron_job())
    world.kubectl("create", "job", "--from=cronjob/report", "earlier")
    world.apply(policy(kinds=ALL))
    said = world.until_says("log-shipper", Ready="Blocked")

    assert found(said["status"]["blocks"]) == [("Job", "earlier", "TemplateImmutable")]
    assert inits(world, "CronJob", "report") == ["shipper"]

    world.kubectl("delete", "job", "earlier")
    world.kubectl("create", "job", "--from=cronjob/report", "later")
    world.until_ready("log-shipper")
    assert world.get("SidecarPolicy", "log-shipper")["status"]["upToDate"] == 2


def test_job_that_runs_is_blocked_and_says_what_to_do(world: World) -> None:
    world.apply(job(), policy(kinds=["Job"]))
    said = world.until_says("log-shipper", Ready="Blocked", Stalled="Blocked")

    assert found(said["status"]["blocks"]) == [("Job", "import", "TemplateImmutable")]
    message = said["status"]["blocks"][0]["message"]
    assert f"Job {world.namespace}/import" in message
    assert "Let it finish" in message
    assert "admission webhook" in message


def test_finished_job_does_not_count(world: World) -> None:
    world.apply(job(runs_for="0s"))
    world.kubectl("wait", "--for=condition=Complete", "job/import", "--timeout=60s")
    world.apply(policy(kinds=["Job"]))
    world.until_ready("log-shipper")

    status = world.get("SidecarPolicy", "log-shipper")["status"]
    assert (status["finished"], status["blocks"]) == (1, [])


def test_workload_of_a_controller_is_left_to_it(world: World) -> None:
    world.kubectl("create", "configmap", "owner")
    owner = world.get("ConfigMap", "owner")
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    body = deployment()
    body["metadata"]["ownerReferences"] = [{**reference, "controller": True}]
    world.apply(body, policy())
    said = world.until_says("log-shipper", Ready="Blocked")

    assert found(said["status"]["blocks"]) == [("Deployment", "web", "OwnedByController")]
    assert "ConfigMap" in said["status"]["blocks"][0]["message"]
    assert inits(world, "Deployment", "web") == []


def test_paused_deployment_waits_and_is_injected_when_resumed(world: World) -> None:
    world.apply(deployment())
    world.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    world.kubectl("rollout", "pause", "deployment/web")
    world.apply(policy())
    said = world.until_says("log-shipper", Ready="Blocked")

    assert found(said["status"]["blocks"]) == [("Deployment", "web", "WaitingForResume")]
    assert inits(world, "Deployment", "web") == []

    world.kubectl("rollout", "resume", "deployment/web")
    world.until_ready("log-shipper")
    assert inits(world, "Deployment", "web") == ["shipper"]


def test_recreate_is_noted_as_a_full_outage(world: World) -> None:
    world.apply(deployment(strategy={"type": "Recreate"}), policy(mode="Audit"))
    said = world.until_policy("log-shipper", lambda body: body["status"].get("notes"))

    assert found(said["status"]["notes"]) == [("Deployment", "web", "FullOutage")]


def test_no_replicas_are_settled_at_once(world: World) -> None:
    world.apply(deployment(replicas=0), policy(sidecars=[sidecar(image="sidecarpolicy.test/crashes")]))
    world.until_ready("log-shipper")

    assert inits(world, "Deployment", "web") == ["shipper"]


def test_only_the_kinds_that_the_policy_names_are_touched(world: World) -> None:
    world.apply(deployment(), stateful_set(), policy(kinds=["StatefulSet"]))
    world.until_ready("log-shipper")

    assert inits(world, "StatefulSet", "web") == ["shipper"]
    assert inits(world, "Deployment", "web") == []


def test_labels_of_the_pods_do_not_select(world: World) -> None:
    body = deployment()
    body["metadata"]["labels"] = {}
    body["spec"]["template"]["metadata"]["labels"] |= SELECTED
    world.apply(body, policy())
    world.until_says("log-shipper", WorkloadsUpToDate="NoWorkloadsMatched")

    assert inits(world, "Deployment", "web") == []
