"""Who may contribute to a template: policy by policy in their order, each whole or not at all."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from builders import container, policy, read, sidecar, template
from serving import served_template
from sidecarpolicy.api.reasons import BlockReason
from sidecarpolicy.planning.template.clash import Surroundings
from sidecarpolicy.planning.template.contest import Settlement, settle

Json = dict[str, Any]

PROBE = {"exec": {"command": ["true"]}}


def decide(spec: Json, *bodies: Json, **around: Any) -> Settlement:
    pods = served_template(template(**spec))["spec"]
    return settle(pods, read(*bodies), Surroundings(**around))


def fills(**fields: Any) -> Json:
    return {"containers": [{"names": ["*"], **fields}]}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({"sidecars": [sidecar("s")]}, {"sidecars": [sidecar("s")]}, id="one-container-name"),
        pytest.param(
            {"sidecars": [sidecar("s")]},
            {"initContainers": [{"name": "s", "image": "x"}]},
            id="a-sidecar-and-an-init-container",
        ),
        pytest.param(
            {"volumes": [{"name": "v", "emptyDir": {}}]},
            {"volumes": [{"name": "v", "emptyDir": {}}]},
            id="one-volume-name",
        ),
        pytest.param(
            {"sidecars": [sidecar("s", ports=[{"containerPort": 9}])]},
            {"sidecars": [sidecar("t", ports=[{"containerPort": 9, "protocol": "TCP"}])]},
            id="one-port",
        ),
        pytest.param(
            {**fills(volumeMounts=[{"name": "v", "mountPath": "/m"}]), "volumes": [{"name": "v", "emptyDir": {}}]},
            {**fills(volumeMounts=[{"name": "w", "mountPath": "/m"}]), "volumes": [{"name": "w", "emptyDir": {}}]},
            id="one-mount-path",
        ),
        pytest.param(
            fills(env=[{"name": "E", "value": "1"}]), fills(env=[{"name": "E", "value": "2"}]), id="one-variable"
        ),
        pytest.param(
            fills(resources={"requests": {"cpu": "1"}}), fills(resources={"requests": {"cpu": "2"}}), id="one-request"
        ),
        pytest.param(
            fills(resources={"limits": {"cpu": "1"}}), fills(resources={"limits": {"cpu": "2"}}), id="one-limit"
        ),
        pytest.param(fills(readinessProbe=PROBE), fills(readinessProbe=PROBE), id="one-probe"),
        pytest.param({"convert": [{"name": "web"}]}, {"convert": [{"name": "web"}]}, id="one-conversion"),
        pytest.param(
            {"sidecars": [sidecar("s", before=["t"])]}, {"sidecars": [sidecar("t", before=["s"])]}, id="a-cycle"
        ),
    ],
)
def test_of_two_policies_that_claim_the_same_the_later_is_withheld(first: Json, second: Json) -> None:
    spec = {"containers": [container(), container("web")]}
    bodies = [policy("a", **first), policy("b", **second), policy("c", sidecars=[sidecar("other")])]
    for order in itertools.permutations(bodies):
        done = decide(spec, *order, may_convert=True)

        assert [one.ref.name for one in done.policies] == ["a", "c"]
        (held,) = done.withheld
        assert (held.policy.ref.name, held.reason) == ("b", BlockReason.POLICY_CONFLICT)
        assert held.other is not None
        assert held.other.ref.name == "a"
        assert "SidecarPolicy shop/a" in held.message


def test_a_priority_decides() -> None:
    done = decide({}, policy("a", sidecars=[sidecar()]), policy("b", priority=1, sidecars=[sidecar()]))

    assert [one.ref.name for one in done.policies] == ["b"]


def test_without_the_winner_the_other_goes_in() -> None:
    done = decide({}, policy("b", sidecars=[sidecar()]))

    assert [one.ref.name for one in done.policies] == ["b"]


def test_udp_and_tcp_are_two_ports() -> None:
    ports = ({"containerPort": 53, "protocol": protocol} for protocol in ("TCP", "UDP"))
    done = decide({}, *(policy(f"p{i}", sidecars=[sidecar(f"s{i}", ports=[port])]) for i, port in enumerate(ports)))

    assert not done.withheld


def test_different_containers_may_be_filled_alike() -> None:
    spec = {"containers": [container(), container("web")]}
    probes = [
        policy("a", containers=[{"names": ["app"], "readinessProbe": PROBE}]),
        policy("b", containers=[{"names": ["web"], "readinessProbe": PROBE}]),
    ]

    assert not decide(spec, *probes).withheld


def test_what_the_author_has_is_no_claim() -> None:
    spec = {"containers": [container(env=[{"name": "E", "value": "author"}])]}
    asked = fills(env=[{"name": "E", "value": "ours"}])

    assert not decide(spec, policy("a", **asked), policy("b", **asked)).withheld


@pytest.mark.parametrize(
    ("spec", "asked", "reason"),
    [
        pytest.param({}, {"sidecars": [sidecar("app")]}, BlockReason.WORKLOAD_CONFLICT, id="a-container-of-that-name"),
        pytest.param(
            {"init": [container("s")]},
            {"sidecars": [sidecar("s")]},
            BlockReason.WORKLOAD_CONFLICT,
            id="an-init-container",
        ),
        pytest.param(
            {"volumes": [{"name": "v", "configMap": {"name": "x"}}]},
            {"volumes": [{"name": "v", "emptyDir": {}}]},
            BlockReason.WORKLOAD_CONFLICT,
            id="another-volume-of-that-name",
        ),
        pytest.param(
            {"containers": [container(ports=[{"containerPort": 80}])]},
            {"sidecars": [sidecar(ports=[{"containerPort": 80}])]},
            BlockReason.WORKLOAD_CONFLICT,
            id="a-port-of-the-app",
        ),
        pytest.param(
            {"init": [container("own", restartPolicy="Always", ports=[{"containerPort": 80}])]},
            {"sidecars": [sidecar(ports=[{"containerPort": 80}])]},
            BlockReason.WORKLOAD_CONFLICT,
            id="a-port-of-an-own-sidecar",
        ),
        pytest.param(
            {"hostNetwork": True},
            {"sidecars": [sidecar(ports=[{"containerPort": 80}])]},
            BlockReason.HOST_NETWORK_PORTS,
            id="ports-on-the-hosts-network",
        ),
        pytest.param({"os": {"name": "windows"}}, {"sidecars": [sidecar()]}, BlockReason.WINDOWS_PODS, id="windows"),
        pytest.param(
            {"nodeSelector": {"kubernetes.io/os": "windows"}},
            {"sidecars": [sidecar()]},
            BlockReason.WINDOWS_PODS,
            id="windows-by-node",
        ),
        pytest.param(
            {"resources": {"requests": {"cpu": "40m"}}},
            {"sidecars": [sidecar()]},
            BlockReason.POD_RESOURCES_EXCEEDED,
            id="more-requests-than-the-pods-own",
        ),
        pytest.param(
            {"resources": {"limits": {"memory": "1Mi"}}},
            fills(resources={"requests": {"memory": "2Mi"}, "limits": {"memory": "2Mi"}}),
            BlockReason.POD_RESOURCES_EXCEEDED,
            id="a-limit-above-the-pods-own",
        ),
        pytest.param(
            {
                "resources": {"requests": {"cpu": "120m"}},
                "init": [container("i", resources={"requests": {"cpu": "100m"}})],
            },
            {"sidecars": [sidecar()]},
            BlockReason.POD_RESOURCES_EXCEEDED,
            id="an-init-container-beside-the-sidecar",
        ),
        pytest.param(
            {},
            {"sidecars": [sidecar(volumeMounts=[{"name": "v", "mountPath": "/v"}])]},
            BlockReason.VOLUME_MISSING,
            id="a-sidecars-mount-without-volume",
        ),
        pytest.param(
            {},
            fills(volumeMounts=[{"name": "v", "mountPath": "/v"}]),
            BlockReason.VOLUME_MISSING,
            id="a-filled-mount-without-volume",
        ),
        pytest.param(
            {}, {"convert": [{"name": "app"}]}, BlockReason.WORKLOAD_CONFLICT, id="converting-the-only-container"
        ),
        pytest.param(
            {"containers": [container(), container("web", restartPolicy="Never")]},
            {"convert": [{"name": "web"}]},
            BlockReason.WORKLOAD_CONFLICT,
            id="converting-one-that-must-not-restart",
        ),
        pytest.param(
            {"init": [container("a"), container("b")]},
            {"sidecars": [sidecar(after=["b"], before=["a"])]},
            BlockReason.WORKLOAD_CONFLICT,
            id="wishes-against-the-authors-order",
        ),
    ],
)
def test_a_workload_may_stand_against_a_policy(spec: Json, asked: Json, reason: BlockReason) -> None:
    done = decide(spec, policy("p", **asked), policy("q", containers=[]), may_convert=True)

    assert [(held.policy.ref.name, held.reason) for held in done.withheld] == [("p", reason)]
    assert [one.ref.name for one in done.policies] == ["q"]


def test_a_conversion_waits_for_admission() -> None:
    spec = {"containers": [container(), container("web")]}
    asked = policy(convert=[{"name": "web"}])

    (held,) = decide(spec, asked).withheld
    assert held.reason is BlockReason.ADMISSION_UNAVAILABLE
    assert not decide(spec, asked, may_convert=True).withheld
    assert not decide(spec, asked, converted=frozenset({"web"})).withheld


def test_two_policies_may_not_convert_all_containers_together() -> None:
    spec = {"containers": [container(), container("web")]}
    asked = [policy("a", convert=[{"name": "app"}]), policy("b", convert=[{"name": "web"}])]

    assert [held.policy.ref.name for held in decide(spec, *asked, may_convert=True).withheld] == ["b"]


def test_two_policies_may_not_exceed_the_pods_resources_together() -> None:
    spec = {"resources": {"requests": {"cpu": "60m"}}}
    asked = [policy("a", sidecars=[sidecar("s")]), policy("b", sidecars=[sidecar("t")])]

    assert [held.policy.ref.name for held in decide(spec, *asked).withheld] == ["b"]


@pytest.mark.parametrize(
    ("spec", "around"),
    [
        pytest.param({"volumes": [{"name": "v", "emptyDir": {}}]}, {}, id="of-the-workload"),
        pytest.param({}, {"claim_templates": frozenset({"v"})}, id="of-a-claim-template"),
    ],
)
def test_a_mount_may_name_a_volume_of_the_workload(spec: Json, around: Json) -> None:
    assert not decide(spec, policy(**fills(volumeMounts=[{"name": "v", "mountPath": "/v"}])), **around).withheld


def test_a_volume_named_like_a_claim_template_would_never_be_seen() -> None:
    asked = policy(volumes=[{"name": "v", "emptyDir": {}}])

    (held,) = decide({}, asked, claim_templates=frozenset({"v"})).withheld
    assert held.reason is BlockReason.WORKLOAD_CONFLICT


def test_a_mount_may_name_a_volume_of_a_policy_that_goes_first() -> None:
    done = decide(
        {},
        policy("a", volumes=[{"name": "v", "emptyDir": {}}]),
        policy("b", **fills(volumeMounts=[{"name": "v", "mountPath": "/v"}])),
    )

    assert not done.withheld


def test_what_the_author_has_identically_is_no_conflict() -> None:
    own = container("s", resources={"requests": {"cpu": "50m", "memory": "64Mi"}}, restartPolicy="Always")
    done = decide({"init": [own]}, policy(sidecars=[sidecar("s")]))

    assert not done.withheld
    assert done.order == ("s",)
