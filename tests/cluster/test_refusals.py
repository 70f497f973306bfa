"""What a user reads when a policy is bad, tried with `kubectl apply`; what is wrong beyond the schema is `problems`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.objects import Json
from localcluster import LocalCluster
from localcluster.waiting import until
from sidecarpolicy.api import names
from sidecarpolicy.api.policy import PolicySpec
from sidecarpolicy.api.validation import problems

ROOT = Path(__file__).parents[2]
REFUSALS: list[Json] = yaml.safe_load((Path(__file__).parent / "refusals.yaml").read_text())
UNCHECKED = "some validation rules were not checked"
"""The API server checks no CEL rule where a type is wrong, and says so beside the error."""

pytestmark = pytest.mark.usefixtures("policies", "limits")


@pytest.fixture(scope="session")
def limits(cluster: LocalCluster, policies: None) -> None:
    """The admission policy for requests above limits, in force."""
    del policies
    manifest = ROOT / "manifests" / "base" / "admission-policies.yaml"
    cluster.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={manifest}")
    over = policy(with_sidecar(resources={"requests": {"cpu": 2, "memory": 1}, "limits": {"cpu": 1}}))
    until(lambda: "requests above limits" in refusal(cluster, over))


def with_sidecar(**changes: Any) -> Json:
    """The spec of a good policy whose one sidecar is changed."""
    requests = {"cpu": "50m", "memory": "64Mi"}
    sidecar = {"name": "shipper", "image": "fluent/fluent-bit:3.2", "resources": {"requests": requests}, **changes}
    return {"selector": {"matchLabels": {"logs": "shipped"}}, "sidecars": [sidecar]}


def spec_of(case: Json) -> Json:
    """The spec of a good policy, changed as the case says; null removes."""
    spec = {**with_sidecar(**case.get("sidecar", {})), **case.get("spec", {})}
    if "initContainer" in case:
        spec["initContainers"] = [{"name": "setup", "image": "busybox:1.37", **case["initContainer"]}]
    return spec


def policy(spec: Json, kind: str = names.POLICY_KIND) -> Json:
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": "bad"}, "spec": spec}


def refusal(cluster: LocalCluster, body: Json, *arguments: str) -> str:
    """What kubectl says when it cannot apply; empty if it can."""
    dry = "--dry-run=server"
    return cluster.run_kubectl("apply", "--filename=-", dry, *arguments, stdin=json.dumps(body), check=False).stderr


def complaints(text: str) -> list[str]:
    """What is wrong, line by line, without what kubectl says every time."""
    for always in ('The SidecarPolicy "bad" is invalid:', 'The sidecarpolicies "bad" is invalid: :', "* "):
        text = text.replace(always, "")
    lines = [line.strip() for line in text.splitlines() if UNCHECKED not in line]
    return [line.partition("cannot be handled as a SidecarPolicy: ")[2] or line for line in lines if line]


@pytest.mark.parametrize("case", [pytest.param(case, id=case["case"]) for case in REFUSALS])
def test_kubectl_apply_says_what_is_wrong(cluster: LocalCluster, case: Json) -> None:
    said = complaints(refusal(cluster, policy(spec_of(case))))

    assert said == [case["message"]]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        pytest.param(
            {"selector": {"matchLabels": {"my team": "web"}}},
            "selector.matchLabels has 'my team', which is no label's key: write it as in app or example.com/app",
            id="label-key-with-a-space",
        ),
        pytest.param(
            {"convert": [{"name": "a", "after": ["b"]}, {"name": "b", "after": ["a"]}]},
            "before and after contradict each other (a before b before a): remove one of them",
            id="two-that-each-want-to-be-second",
        ),
        pytest.param(
            {"convert": [{"name": "a", "before": ["migrate"], "after": ["migrate"]}]},
            "before and after contradict each other (a before migrate before a): remove one of them",
            id="before-and-after-the-same",
        ),
        pytest.param(
            with_sidecar(ports=[{"containerPort": 80, "hostPort": 80}]),
            "sidecar shipper takes hostPort 80 on the node, so that one pod fits on each:"
            " remove hostPort, containerPort is enough",
            id="host-port",
        ),
        pytest.param(
            with_sidecar(ports=[{"containerPort": 80, "name": "web"}, {"containerPort": 81, "name": "web"}]),
            "sidecar shipper has the port name web 2 times: keep one",
            id="port-name-given-twice",
        ),
        pytest.param(
            with_sidecar(startupProbe={"httpGet": {"port": "health"}}, ports=[{"containerPort": 80, "name": "web"}]),
            "sidecar shipper has no port named health, which its startupProbe asks for:"
            " declare it in the sidecar's ports, or give the number",
            id="probe-of-a-port-that-is-not-declared",
        ),
        pytest.param(
            {
                "sidecars": [
                    with_sidecar(ports=[{"containerPort": 2020}])["sidecars"][0],
                    with_sidecar(name="exporter", ports=[{"containerPort": 2020}])["sidecars"][0],
                ]
            },
            "port 2020/TCP is declared by shipper and exporter, and a pod has every port once: change one",
            id="two-sidecars-on-one-port",
        ),
    ],
)
def test_what_the_schema_lets_through_is_a_problem(cluster: LocalCluster, spec: Json, problem: str) -> None:
    spec = {**with_sidecar(), **spec}

    assert refusal(cluster, policy(spec)) == ""
    assert problems(PolicySpec.model_validate(spec)) == [problem]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param(
            with_sidecar(resources={}),
            'The ClusterSidecarPolicy "bad" is invalid: spec.sidecars[0]: Invalid value: set resources.requests.cpu and'
            " resources.requests.memory: without them an autoscaler on utilisation stops for the whole workload",
            id="a-rule",
        ),
        pytest.param(
            with_sidecar(resources={"requests": {"cpu": 2, "memory": 1}, "limits": {"cpu": 1}}),
            "denied request: requests above limits in: shipper; lower the request or raise the limit",
            id="the-admission-policy",
        ),
        pytest.param(
            {**with_sidecar(), "namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "In"}]}},
            "spec.namespaceSelector.matchExpressions[0]: Invalid value:"
            " operators In and NotIn need values; Exists and DoesNotExist take none",
            id="its-namespaces",
        ),
    ],
)
def test_a_cluster_wide_policy_is_refused_alike(cluster: LocalCluster, spec: Json, message: str) -> None:
    assert message in refusal(cluster, policy(spec, names.CLUSTER_POLICY_KIND))


def test_only_a_cluster_wide_policy_chooses_namespaces(cluster: LocalCluster) -> None:
    spec = {**with_sidecar(), "namespaceSelector": {}}

    assert 'unknown field "spec.namespaceSelector"' in refusal(cluster, policy(spec))
    assert refusal(cluster, policy(spec, names.CLUSTER_POLICY_KIND)) == ""


def test_server_side_apply_finds_typos_too(cluster: LocalCluster) -> None:
    said = refusal(cluster, policy(with_sidecar(imagee="fluent/fluent-bit:3.2")), "--server-side")

    assert '.spec.sidecars[name="shipper"].imagee: field not declared in schema' in said


def test_every_mistake_of_a_sidecar_is_told_at_once(cluster: LocalCluster) -> None:
    said = complaints(refusal(cluster, policy(with_sidecar(resources={}, stdin=True, after=["shipper"]))))

    assert len(said) == 3
