"""The real API server asks us about what users send: as it words its questions, and what it makes of our answers."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from admission.reviews import Meter
from builders import asking, policy, sidecar
from cluster.objects import Json, cron_job, deployment, template
from cluster.test_match_conditions import in_force, job
from localcluster.certificates import Authority
from sidecarpolicy.admission import server
from sidecarpolicy.admission.mutate import Mutator
from sidecarpolicy.api import names
from sidecarpolicy.api.webhook import PATH
from sidecarpolicy.cluster.client import JSON_PATCH, MERGE_PATCH, Client
from sidecarpolicy.cluster.resources import path_of
from sidecarpolicy.planning.assess import assess
from sidecarpolicy.planning.workload import template_of

FILL = {
    "names": ["*"],
    "volumeMounts": [{"name": "logs", "mountPath": "/var/log/app"}],
    "resources": {"requests": {"cpu": "0.1", "memory": "128Mi"}, "limits": {"memory": "1024Mi"}},
    "livenessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 20},
}


@dataclass(frozen=True, slots=True)
class Admitting:
    client: Client
    namespace: str
    policy: Json
    meter: Meter

    async def create(self, body: Json) -> Json:
        body = {**body, "metadata": {**body["metadata"], "namespace": self.namespace}}
        path = path_of({**body, "metadata": {"name": "x", **body["metadata"]}}).rpartition("/")[0]
        return await self.client.request("POST", path, body=body)

    async def patch(self, body: Json, patch: Any) -> Json:
        kind = JSON_PATCH if isinstance(patch, list) else MERGE_PATCH
        return await self.client.request("PATCH", path_of(body), body=patch, content_type=kind)

    def is_left_alone_by_the_controller(self, body: Json) -> bool:
        one = assess(body, asking(self.policy, may_convert=True), {})
        return one is not None and one.change is None


@pytest.fixture
async def admitting(client: Client, namespace: str) -> AsyncIterator[Admitting]:
    meter, authority = Meter(), Authority()
    asked = policy(
        namespace=namespace,
        sidecars=[sidecar(volumeMounts=[{"name": "logs", "mountPath": "/logs"}])],
        volumes=[{"name": "logs", "emptyDir": {"sizeLimit": "1024Mi"}}],
        containers=[FILL],
        convert=[{"name": "envoy"}],
    )
    mutator = Mutator(lambda: asking(asked), lambda _: {}, meter)
    bundle = base64.b64encode(authority.certificate.encode()).decode()
    async with server.serve(mutator, authority.server().context(), 0, "127.0.0.1") as port:
        there = {"url": f"https://127.0.0.1:{port}{PATH}", "caBundle": bundle}
        async with in_force(client, namespace, there):
            one = Admitting(client, namespace, asked, meter)
            probed = await one.create({**deployment("probed"), "metadata": {"name": "probed", "annotations": OPT_OUT}})
            while not meter.counts:
                query = {"fieldManager": names.PROBE_MANAGER, "dryRun": "All"}
                await client.request("PATCH", path_of(probed), query=query, body={}, content_type=MERGE_PATCH)
            meter.counts.clear()
            yield one


OPT_OUT = {names.INJECT_ANNOTATION: "false"}


def stateful_set() -> Json:
    body = deployment("db")
    return {**body, "kind": "StatefulSet", "spec": {**body["spec"], "serviceName": "db"}}


def daemon_set() -> Json:
    body = deployment("agent")
    return {**body, "kind": "DaemonSet", "spec": {key: body["spec"][key] for key in ("selector", "template")}}


def with_nulls() -> Json:
    body = deployment("nulls")
    body["spec"]["template"]["spec"] |= {"initContainers": None, "volumes": None}
    body["spec"]["template"]["metadata"]["annotations"] = None
    return body


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(deployment(), id="Deployment"),
        pytest.param(stateful_set(), id="StatefulSet"),
        pytest.param(daemon_set(), id="DaemonSet"),
        pytest.param(cron_job(), id="CronJob"),
        pytest.param(job(), id="Job"),
        pytest.param({**job(), "metadata": {"generateName": "import-"}}, id="generateName"),
        pytest.param(with_nulls(), id="nulls"),
    ],
)
async def test_a_workload_is_born_with_the_sidecar(admitting: Admitting, body: Json) -> None:
    made = await admitting.create(body)

    assert [one["name"] for one in template_of(made)["spec"]["initContainers"]] == ["shipper"]
    assert made["metadata"].get("generation", 1) == 1
    assert admitting.is_left_alone_by_the_controller(made)
    assert admitting.meter.counts == {(body["kind"], "CREATE", "injected"): 1}


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param({"initContainers": None}, id="init-containers"),
        pytest.param({"volumes": None}, id="volumes"),
        pytest.param({"initContainers": None, "volumes": None}, id="both"),
    ],
)
async def test_what_a_command_tears_is_mended_in_its_request(admitting: Admitting, patch: Json) -> None:
    made = await admitting.create(deployment())
    after = await admitting.patch(made, {"spec": {"template": {"spec": patch}}})

    assert after["spec"] == made["spec"]
    assert after["metadata"]["generation"] == 1
    assert admitting.meter.counts[("Deployment", "UPDATE", "repaired")] >= 1


async def test_a_converted_container_that_is_listed_again_stays_converted(admitting: Admitting) -> None:
    body = deployment()
    envoy = {"name": "envoy", "image": "envoy:1"}
    body["spec"]["template"]["spec"]["containers"].append(envoy)
    made = await admitting.create(body)
    after = await admitting.patch(made, [{"op": "add", "path": "/spec/template/spec/containers/-", "value": envoy}])

    assert after["spec"] == made["spec"]
    assert after["metadata"]["generation"] == 1
    assert [one["name"] for one in template_of(made)["spec"]["initContainers"]] == ["shipper", "envoy"]


@pytest.mark.parametrize(
    "own",
    [
        pytest.param({"livenessProbe": {"httpGet": {"port": 8080}}}, id="a-probe-of-another-kind"),
        pytest.param({"resources": {"limits": {"memory": "64Mi"}}}, id="a-limit-below-our-request"),
    ],
)
async def test_a_value_of_the_authors_that_ours_would_make_invalid_is_taken(admitting: Admitting, own: Json) -> None:
    made = await admitting.create(deployment())
    container = {"name": "app", "image": "nginx:1.27", **own}
    manifest = {**deployment(), "spec": {**deployment()["spec"], "template": template(**own)}}
    query = {"fieldManager": "kubectl", "force": "true"}
    after = await admitting.client.request(
        "PATCH", path_of(made), query=query, body=manifest, content_type="application/apply-patch+yaml"
    )
    (app,) = template_of(after)["spec"]["containers"]

    for field, value in container.items():
        assert keeps(app[field], value)
    assert after["metadata"]["generation"] == 2
    assert admitting.is_left_alone_by_the_controller(after)


def keeps(there: Any, value: Any) -> bool:
    if isinstance(value, dict):
        return all(keeps(there.get(key), item) for key, item in value.items())
    return bool(there == value)


async def test_opting_out_undoes_at_once(admitting: Admitting) -> None:
    plain = await admitting.create({**deployment("plain"), "metadata": {"name": "plain", "annotations": OPT_OUT}})
    made = await admitting.create(deployment("web"))
    after = await admitting.patch(made, {"metadata": {"annotations": OPT_OUT}})

    assert json.dumps(after["spec"]["template"]["spec"]) == json.dumps(plain["spec"]["template"]["spec"])
    assert names.RECORD_ANNOTATION not in after["metadata"]["annotations"]
