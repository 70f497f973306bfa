"""What is wrong with a policy beyond its schema: one sentence each."""

from __future__ import annotations

from typing import Any

import pytest

from sidecarpolicy.api.policy import ClusterPolicySpec, PolicySpec
from sidecarpolicy.api.validation import problems


def read(**fields: Any) -> PolicySpec:
    return PolicySpec.model_validate({"selector": {}, **fields})


def sidecar(name: str = "shipper", **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "fluent/fluent-bit:3.2", **fields}


def named(name: str, **places: Any) -> dict[str, Any]:
    return {"name": name, **places}


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(read(), id="nothing"),
        pytest.param(
            read(sidecars=[sidecar(volumeMounts=[{"name": "data", "mountPath": "/data"}])]),
            id="a-volume-that-the-workload-may-have",
        ),
        pytest.param(
            read(convert=[named("a", before=["migrate"]), named("b", after=["a", "migrate"])]), id="places-that-agree"
        ),
        pytest.param(
            read(sidecars=[sidecar("a", after=["b"]), sidecar("b")], initContainers=[sidecar("c", after=["a"])]),
            id="a-chain-across-lists",
        ),
        pytest.param(
            read(
                sidecars=[
                    sidecar("a", ports=[{"containerPort": 53, "protocol": "TCP"}]),
                    sidecar("b", ports=[{"containerPort": 53, "protocol": "UDP"}]),
                ]
            ),
            id="one-port-of-two-protocols",
        ),
        pytest.param(
            read(
                sidecars=[
                    sidecar(
                        ports=[{"containerPort": 80, "name": "web"}],
                        startupProbe={"tcpSocket": {"port": "web"}},
                        readinessProbe={"httpGet": {"port": 8080}},
                        livenessProbe={"exec": {"command": ["true"]}},
                        lifecycle={"preStop": {"httpGet": {"port": "8080"}}},
                    )
                ]
            ),
            id="probes-of-declared-names-and-of-numbers",
        ),
        pytest.param(
            read(
                sidecars=[sidecar(resources={"requests": {"cpu": "500m"}, "limits": {"cpu": "0.5", "memory": "1Gi"}})]
            ),
            id="a-request-as-high-as-its-limit",
        ),
        pytest.param(
            read(containers=[{"names": ["*"], "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": 2}}}]),
            id="filled-limit-with-its-request",
        ),
        pytest.param(
            read(containers=[{"names": ["*"], "readinessProbe": {"tcpSocket": {"port": "http"}}}]),
            id="filled-probe-of-a-port-that-the-workload-may-declare",
        ),
        pytest.param(
            read(selector={"matchLabels": {"app.kubernetes.io/name": "web", "A_1.b-c": ""}}), id="keys-of-labels"
        ),
    ],
)
def test_a_good_policy_has_no_problem(spec: PolicySpec) -> None:
    assert problems(spec) == []


ABOVE = {"requests": {"cpu": "1500m", "memory": "64Mi"}, "limits": {"cpu": 1, "memory": "64Mi"}}


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        pytest.param(
            read(sidecars=[sidecar(resources=ABOVE)]),
            ["sidecar shipper has a cpu request (1500m) above its limit (1): lower the request or raise the limit"],
            id="sidecar-request-above-limit",
        ),
        pytest.param(
            read(initContainers=[sidecar("setup", resources=ABOVE)]),
            [
                "init container setup has a cpu request (1500m) above its limit (1):"
                " lower the request or raise the limit"
            ],
            id="init-request-above-limit",
        ),
        pytest.param(
            read(containers=[{"names": ["web", "api-*"], "resources": ABOVE}]),
            [
                "the entry of containers for web api-* has a cpu request (1500m) above its limit (1):"
                " lower the request or raise the limit"
            ],
            id="filled-request-above-limit",
        ),
        pytest.param(
            read(sidecars=[sidecar(), sidecar()]),
            ["the name shipper is given 2 times in sidecars: every name may be given once"],
            id="name-twice-in-one-list",
        ),
        pytest.param(
            read(sidecars=[sidecar()], initContainers=[sidecar()], convert=[named("shipper")]),
            [
                "the name shipper is given 3 times in sidecars and initContainers and convert:"
                " every name may be given once"
            ],
            id="name-in-every-list",
        ),
        pytest.param(
            read(sidecars=[sidecar(before=["shipper"])]),
            ["before and after contradict each other (shipper before shipper): remove one of them"],
            id="before-itself",
        ),
        pytest.param(
            read(sidecars=[sidecar("a", before=["b"]), sidecar("b", before=["c"])], convert=[named("c", before=["a"])]),
            ["before and after contradict each other (a before b before c before a): remove one of them"],
            id="a-circle-of-three-across-lists",
        ),
        pytest.param(
            read(
                sidecars=[
                    sidecar(
                        volumeMounts=[{"name": "a", "mountPath": "/logs"}, {"name": "b", "mountPath": "/logs"}],
                        env=[{"name": "LOG", "value": "a"}, {"name": "LOG", "value": "b"}],
                    )
                ]
            ),
            [
                "sidecar shipper has the mountPath /logs 2 times: keep one",
                "sidecar shipper has the variable LOG 2 times: keep one",
            ],
            id="path-and-variable-given-twice",
        ),
        pytest.param(
            read(
                containers=[
                    {
                        "names": ["*"],
                        "volumeMounts": [{"name": "a", "mountPath": "/x"}, {"name": "b", "mountPath": "/x"}],
                        "env": [{"name": "LOG"}, {"name": "LOG"}],
                    }
                ]
            ),
            [
                "the entry of containers for * has the mountPath /x 2 times: keep one",
                "the entry of containers for * has the variable LOG 2 times: keep one",
            ],
            id="path-and-variable-filled-twice",
        ),
        pytest.param(
            read(sidecars=[sidecar(ports=[{"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"}])]),
            ["port 80/TCP is declared by shipper, and a pod has every port once: change one"],
            id="port-twice-in-one-sidecar",
        ),
        pytest.param(
            read(sidecars=[sidecar(lifecycle={"preStop": {"httpGet": {"port": "drain"}}})]),
            [
                "sidecar shipper has no port named drain, which its preStop asks for:"
                " declare it in the sidecar's ports, or give the number"
            ],
            id="hook-of-a-port-that-is-not-declared",
        ),
        pytest.param(
            read(volumes=[{"name": "logs", "emptyDir": {}}, {"name": "logs", "emptyDir": {}}]),
            ["volumes has the volume logs 2 times: keep one"],
            id="volume-given-twice",
        ),
        pytest.param(
            read(containers=[{"names": ["web"]}]),
            [
                "the entry of containers for web gives them nothing:"
                " add mounts, env, resources or a probe, or remove the entry"
            ],
            id="entry-that-gives-nothing",
        ),
        pytest.param(
            ClusterPolicySpec.model_validate({"selector": {}, "namespaceSelector": {"matchLabels": {"a/b/c": ""}}}),
            [
                "namespaceSelector.matchLabels has 'a/b/c', which is no label's key:"
                " write it as in app or example.com/app"
            ],
            id="key-of-a-namespace-label",
        ),
    ],
)
def test_a_bad_policy_has_a_sentence_for_each_problem(spec: PolicySpec, wanted: list[str]) -> None:
    assert problems(spec) == wanted
