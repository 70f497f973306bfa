"""The API server's own words on a policy, before any workload hears of it."""

from __future__ import annotations

import pytest

from cluster.objects import Json
from localcluster import LocalCluster
from sidecarpolicy.api.policy import PolicySpec
from sidecarpolicy.cluster.client import Client, Forbidden, connect
from sidecarpolicy.cluster.preflight import Sound, Unsound, preflight


def spec(**fields: object) -> PolicySpec:
    return PolicySpec.model_validate({"selector": {}, **fields})


def sidecar(name: str = "shipper", **fields: object) -> Json:
    return {"name": name, "image": "fluent/fluent-bit:3.2", **fields}


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(spec(sidecars=[sidecar()]), id="a-sidecar"),
        pytest.param(spec(sidecars=[sidecar("app")]), id="a-sidecar-of-any-name"),
        pytest.param(spec(sidecars=[sidecar(position="Last")], initContainers=[sidecar("setup")]), id="both-kinds"),
        pytest.param(
            spec(sidecars=[sidecar(volumeMounts=[{"name": "logs", "mountPath": "/logs"}])]),
            id="a-mount-of-a-volume-that-the-workload-has",
        ),
        pytest.param(
            spec(sidecars=[sidecar(volumeDevices=[{"name": "disk", "devicePath": "/dev/x"}])]),
            id="a-device-that-the-workload-has",
        ),
        pytest.param(
            spec(
                sidecars=[sidecar(volumeMounts=[{"name": "logs", "mountPath": "/logs"}])],
                volumes=[{"name": "logs", "emptyDir": {"sizeLimit": "64Mi"}}],
                containers=[
                    {
                        "names": ["web", "*"],
                        "volumeMounts": [{"name": "logs", "mountPath": "/var/log"}],
                        "readinessProbe": {"tcpSocket": {"port": "http"}},
                        "resources": {"requests": {"cpu": "100m"}},
                    }
                ],
            ),
            id="everything",
        ),
        pytest.param(spec(convert=[{"name": "envoy", "position": "First"}]), id="nothing-of-its-own"),
    ],
)
async def test_a_good_policy_is_sound(client: Client, namespace: str, asked: PolicySpec) -> None:
    assert await preflight(client, namespace, asked) == Sound()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        pytest.param(
            spec(sidecars=[{"name": "shipper"}], initContainers=[sidecar("setup")]),
            "spec.sidecars[0].image: Required value",
            id="no-image",
        ),
        pytest.param(
            spec(initContainers=[sidecar("setup", readinessProbe={"tcpSocket": {"port": 80}})]),
            "spec.initContainers[0].readinessProbe: Forbidden:"
            " may not be set for init containers without restartPolicy=Always",
            id="a-probe-of-an-ordinary-init-container",
        ),
        pytest.param(
            spec(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]),
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
            id="two-sources-of-a-volume",
        ),
        pytest.param(
            spec(containers=[{"names": ["*"], "livenessProbe": {"tcpSocket": {"port": 0}}}]),
            "spec.containers[0].livenessProbe.tcpSocket.port: Invalid value: 0: must be between 1 and 65535, inclusive",
            id="a-port-of-a-probe",
        ),
        pytest.param(
            spec(sidecars=[sidecar(imagee="x")]),
            'PodTemplate in version "v1" cannot be handled as a PodTemplate:'
            ' strict decoding error: unknown field "spec.sidecars[0].imagee"',
            id="a-field-that-this-api-server-does-not-know",
        ),
        pytest.param(
            spec(sidecars=[{"name": "a"}, {"name": "b"}]),
            "spec.sidecars[0].image: Required value; spec.sidecars[1].image: Required value",
            id="every-fault-is-named",
        ),
    ],
)
async def test_a_bad_policy_is_told_in_its_own_field_names(
    client: Client, namespace: str, asked: PolicySpec, message: str
) -> None:
    assert await preflight(client, namespace, asked) == Unsound(message)


async def test_nothing_is_created(cluster: LocalCluster, client: Client, namespace: str) -> None:
    await preflight(client, namespace, spec(sidecars=[sidecar()]))

    assert cluster.get("podtemplates", f"--namespace={namespace}")["items"] == []


async def test_who_may_not_ask_is_told_so(cluster: LocalCluster, namespace: str) -> None:
    async with connect(str(cluster.kubeconfig_for(namespace, "default"))) as nobody:
        with pytest.raises(Forbidden, match='cannot create resource "podtemplates"'):
            await preflight(nobody, namespace, spec(sidecars=[sidecar()]))
