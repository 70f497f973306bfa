"""What runs on the local cluster behaves as on a real one, and what is made to fail fails as there."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from localcluster import LocalCluster
from localcluster.waiting import until

Kubectl = Callable[..., str]


def pod_spec(sidecar: str = "proxy:1", app: str = "app:1", **more: Any) -> dict[str, Any]:
    sidecars = [{"name": "proxy", "image": sidecar, "restartPolicy": "Always"}]
    return {"initContainers": sidecars, "containers": [{"name": "app", "image": app}], **more}


def pod(name: str, spec: dict[str, Any], **annotations: str) -> dict[str, Any]:
    metadata = {"name": name, "annotations": {f"sidecarpolicy.test/{key}": value for key, value in annotations.items()}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def deployment(name: str, spec: dict[str, Any], replicas: int = 1) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": spec}
    selected = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": selected}


def job(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    template = {"spec": {"restartPolicy": "Never", **spec}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template}}


def applied(kubectl: Kubectl, obj: dict[str, Any]) -> None:
    kubectl("apply", "--filename=-", stdin=json.dumps(obj))


def printed(kubectl: Kubectl, kind: str, name: str) -> dict[str, str]:
    """Return the columns that kubectl prints of one object."""
    heads, values = (line.split() for line in kubectl("get", kind, name).splitlines())
    return dict(zip(heads, values, strict=False))


def condition(status: dict[str, Any], kind: str) -> str:
    return next((one["status"] for one in status.get("conditions", []) if one["type"] == kind), "Unknown")


def ended(pod: dict[str, Any], part: str) -> dict[str, Any]:
    """How the one container of a part has ended."""
    [one] = pod["status"][part]
    found: dict[str, Any] = one["state"]["terminated"]
    return found


class TestWorkloads:
    def test_deployment_with_a_sidecar_is_ready(self, kubectl: Kubectl) -> None:
        applied(kubectl, deployment("web", pod_spec(), replicas=3))

        kubectl("rollout", "status", "deployment/web", "--timeout=30s")

        pods = kubectl("get", "pods", "--no-headers").splitlines()
        assert [line.split()[1:3] for line in pods] == [["2/2", "Running"]] * 3

    @pytest.mark.parametrize(("image", "code"), [("proxy:1", 0), ("sidecarpolicy.test/ignores-sigterm", 137)])
    def test_job_completes_when_its_sidecar_has_stopped(self, kubectl: Kubectl, image: str, code: int) -> None:
        applied(kubectl, job("import", pod_spec(sidecar=image)))

        kubectl("wait", "--for=condition=Complete", "job/import", "--timeout=30s")

        assert printed(kubectl, "job", "import")["COMPLETIONS"] == "1/1"
        [made] = json.loads(kubectl("get", "pods", "--selector=job-name=import", "--output=json"))["items"]
        assert printed(kubectl, "pod", made["metadata"]["name"])["STATUS"] == "Completed"
        sidecar, app = ended(made, "initContainerStatuses"), ended(made, "containerStatuses")
        assert (sidecar["exitCode"], app["exitCode"]) == (code, 0)
        assert sidecar["finishedAt"] >= app["finishedAt"]

    def test_job_runs_for_as_long_as_it_says(self, kubectl: Kubectl) -> None:
        slow = job("slow", pod_spec())
        slow["spec"]["template"]["metadata"] = {"annotations": {"sidecarpolicy.test/runs-for": "600s"}}
        applied(kubectl, slow)

        kubectl("wait", "--for=jsonpath={.status.ready}=1", "job/slow", "--timeout=30s")

        assert printed(kubectl, "job", "slow")["STATUS"] == "Running"

    def test_job_whose_container_crashes_fails(self, kubectl: Kubectl) -> None:
        failing = job("failing", pod_spec(app="sidecarpolicy.test/crashes"))
        failing["spec"]["backoffLimit"] = 0
        applied(kubectl, failing)

        kubectl("wait", "--for=condition=Failed", "job/failing", "--timeout=30s")

    def test_stateful_set_gets_its_volumes(self, kubectl: Kubectl) -> None:
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        database = deployment("db", pod_spec(), replicas=2) | {"kind": "StatefulSet"}
        database["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": claim}]
        applied(kubectl, database)

        kubectl("rollout", "status", "statefulset/db", "--timeout=30s")

        assert kubectl("get", "pvc", "--output=jsonpath={.items[*].status.phase}") == "Bound Bound"

    def test_daemon_set_has_a_pod_on_every_node(self, kubectl: Kubectl) -> None:
        agent = deployment("agent", pod_spec()) | {"kind": "DaemonSet"}
        del agent["spec"]["replicas"]
        applied(kubectl, agent)

        kubectl("rollout", "status", "daemonset/agent", "--timeout=30s")

        assert printed(kubectl, "daemonset", "agent")["READY"] == "4"


class TestFates:
    """A failing image decides what its container does, whether that is a sidecar or an author's."""

    @pytest.mark.parametrize(
        ("part", "image", "shown"),
        [
            pytest.param("sidecar", "pull-fails", ("0/2", "Init:ImagePullBackOff"), id="sidecar-pull-fails"),
            pytest.param("sidecar", "crashes:1", ("0/2", "Init:CrashLoopBackOff"), id="sidecar-crashes"),
            pytest.param("sidecar", "oom", ("0/2", "Init:CrashLoopBackOff"), id="sidecar-oom"),
            pytest.param("sidecar", "never-starts", ("0/2", "Init:0/1"), id="sidecar-never-starts"),
            pytest.param("sidecar", "never-ready", ("1/2", "Running"), id="sidecar-never-ready"),
            pytest.param("app", "pull-fails", ("1/2", "ImagePullBackOff"), id="app-pull-fails"),
            pytest.param("app", "crashes", ("1/2", "CrashLoopBackOff"), id="app-crashes"),
            pytest.param("app", "oom", ("1/2", "CrashLoopBackOff"), id="app-oom"),
            pytest.param("app", "never-starts", ("1/2", "Running"), id="app-never-starts"),
            pytest.param("app", "never-ready", ("1/2", "Running"), id="app-never-ready"),
        ],
    )
    def test_pod_shows_it(self, kubectl: Kubectl, part: str, image: str, shown: tuple[str, str]) -> None:
        applied(kubectl, pod("failing", pod_spec(**{part: f"sidecarpolicy.test/{image}"})))
        kubectl("wait", "--for=jsonpath={.status.startTime}", "pod/failing", "--timeout=30s")

        columns = printed(kubectl, "pod", "failing")

        assert (columns["READY"], columns["STATUS"]) == shown

    @pytest.mark.parametrize(("image", "reason"), [("crashes", "Error"), ("oom", "OOMKilled")])
    def test_crash_says_how_it_last_ended(self, kubectl: Kubectl, image: str, reason: str) -> None:
        applied(kubectl, pod("failing", pod_spec(sidecar=f"sidecarpolicy.test/{image}")))
        kubectl("wait", "--for=jsonpath={.status.startTime}", "pod/failing", "--timeout=30s")

        ended = kubectl(
            "get", "pod/failing", "--output=jsonpath={.status.initContainerStatuses[0].lastState.terminated.reason}"
        )

        assert ended == reason

    def test_failing_sidecar_keeps_a_rollout_from_ending(self, kubectl: Kubectl) -> None:
        applied(kubectl, deployment("web", pod_spec()))
        kubectl("rollout", "status", "deployment/web", "--timeout=30s")
        applied(kubectl, deployment("web", pod_spec(sidecar="sidecarpolicy.test/pull-fails")))

        until(lambda: "Init:ImagePullBackOff" in kubectl("get", "pods"))

        assert printed(kubectl, "deployment", "web")["READY"] == "1/1"

    @pytest.mark.parametrize(
        ("spec", "annotations"),
        [
            pytest.param(pod_spec(sidecar="sidecarpolicy.test/ready-after:1s"), {}, id="by-the-sidecar's-image"),
            pytest.param(pod_spec(app="sidecarpolicy.test/ready-after:1s"), {}, id="by-the-author's-image"),
            pytest.param(pod_spec(), {"ready-after": "1s"}, id="by-annotation"),
        ],
    )
    def test_pod_is_ready_after_a_time(
        self, kubectl: Kubectl, spec: dict[str, Any], annotations: dict[str, str]
    ) -> None:
        applied(kubectl, pod("late", spec, **annotations))
        kubectl("wait", "--for=jsonpath={.status.startTime}", "pod/late", "--timeout=30s")
        at_first = json.loads(kubectl("get", "pod/late", "--output=json"))["status"]

        kubectl("wait", "--for=condition=Ready", "pod/late", "--timeout=30s")

        assert condition(at_first, "Ready") == "False"


class TestIdentity:
    def test_service_account_may_do_what_it_is_allowed(self, cluster: LocalCluster, namespace: str) -> None:
        config = cluster.kubeconfig_for(namespace, "default")

        def can_read() -> bool:
            arguments = ("get", "pods", f"--namespace={namespace}")
            return cluster.run_kubectl(*arguments, check=False, kubeconfig=config).returncode == 0

        could_before = can_read()
        account = f"--serviceaccount={namespace}:default"
        cluster.kubectl("create", "rolebinding", "reads", "--clusterrole=view", account, f"--namespace={namespace}")

        assert not could_before
        assert until(can_read)

    def test_audit_log_has_who_wrote_with_what(self, cluster: LocalCluster, namespace: str) -> None:
        before = cluster.audit_log.mark()
        cluster.apply(deployment("web", pod_spec()), namespace=namespace)
        cluster.kubectl("rollout", "status", "deployment/web", f"--namespace={namespace}")

        (write,) = until(lambda: cluster.audit_log.writes(since=before, namespace=namespace))

        assert (write.verb, write.resource, write.name, write.code) == ("create", "deployments", "web", 201)
        assert (write.user, write.field_manager) == ("admin", "kubectl-client-side-apply")
        assert write.user_agent.startswith("kubectl/")
