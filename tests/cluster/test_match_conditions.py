"""Of which writes the API server tells us, by the conditions in the webhook's configuration."""

from __future__ import annotations

import base64
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from answering import Webhook
from cluster.objects import Json, cron_job, deployment, template
from localcluster.certificates import Authority
from sidecarpolicy.api import names
from sidecarpolicy.api.webhook import configuration
from sidecarpolicy.cluster.client import JSON_PATCH, MERGE_PATCH, Client
from sidecarpolicy.cluster.resources import path_of

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
RECORDED = {names.RECORD_ANNOTATION: "{}"}
REVISED = {names.REVISION_ANNOTATION: "log-shipper=1"}


class Cluster:
    """One namespace, and what the API server tells of it."""

    def __init__(self, client: Client, namespace: str, webhook: Webhook) -> None:
        self._client = client
        self._namespace = namespace
        self._webhook = webhook

    @property
    def told(self) -> set[str]:
        """Operations and kinds; a patch that meets a controller's write of the status is admitted again."""
        return {f"{each.operation} {each.kind}" for each in self._webhook.told}

    def forget(self) -> None:
        self._webhook.told.clear()

    async def create(self, body: Json, manager: str = "kubectl") -> Json:
        metadata = {"namespace": self._namespace, **body["metadata"]}
        where = path_of({**body, "metadata": metadata}).rpartition("/")[0]
        query = {"fieldManager": manager}
        return await self._client.request("POST", where, query=query, body={**body, "metadata": metadata})

    async def patch(
        self, body: Json, patch: Any, manager: str = "kubectl", *, part: str = "", dry: bool = False
    ) -> None:
        query = {"fieldManager": manager} | ({"dryRun": "All"} if dry else {})
        kind = JSON_PATCH if isinstance(patch, list) else MERGE_PATCH
        await self._client.request("PATCH", path_of(body) + part, query=query, body=patch, content_type=kind)


@pytest.fixture
async def told(client: Client, namespace: str) -> AsyncIterator[Cluster]:
    """A cluster whose API server calls us; it has told nothing yet."""
    webhook, authority = Webhook(), Authority()
    cluster = Cluster(client, namespace, webhook)
    bundle = base64.b64encode(authority.certificate.encode()).decode()
    async with (
        webhook.answering(authority.server().context()),
        in_force(client, namespace, {"url": webhook.url, "caBundle": bundle}),
    ):
        probed = await cluster.create(deployment("probed"), names.FIELD_MANAGER)
        while not cluster.told:
            await cluster.patch(probed, [], names.PROBE_MANAGER, dry=True)
        cluster.forget()
        yield cluster


@asynccontextmanager
async def in_force(client: Client, namespace: str, client_config: Json) -> AsyncIterator[None]:
    """The configuration as installed, narrowed to one namespace so that other tests go on undisturbed."""
    body = configuration(f"test-{uuid.uuid4().hex[:10]}", client_config, names.SYSTEM_NAMESPACES)
    only = {"key": names.NAMESPACE_LABEL, "operator": "In", "values": [namespace]}
    body["webhooks"][0]["namespaceSelector"]["matchExpressions"].append(only)
    await client.request("POST", CONFIGURATIONS, body=body)
    try:
        yield
    finally:
        await client.request("DELETE", f"{CONFIGURATIONS}/{body['metadata']['name']}")


def owned(body: Json, kind: str, api_version: str, *, controller: bool = True) -> Json:
    owner = {"apiVersion": api_version, "kind": kind, "name": "owner", "uid": str(uuid.uuid4())}
    return {**body, "metadata": {**body["metadata"], "ownerReferences": [{**owner, "controller": controller}]}}


def job(name: str = "import") -> Json:
    pods = template()
    pods["spec"]["restartPolicy"] = "Never"
    spec = {"suspend": True, "template": {"spec": pods["spec"]}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def recorded(body: Json) -> Json:
    return {**body, "metadata": {**body["metadata"], "annotations": RECORDED}}


def revised(body: Json) -> Json:
    """With the mark in its template and the record lost."""
    spec = body["spec"]["jobTemplate"]["spec"] if body["kind"] == "CronJob" else body["spec"]
    spec["template"]["metadata"]["annotations"] = REVISED
    return body


@pytest.mark.parametrize(
    ("body", "is_told"),
    [
        pytest.param(deployment(), True, id="a-deployment"),
        pytest.param(cron_job(), True, id="a-cron-job"),
        pytest.param(job(), True, id="a-job"),
        pytest.param(owned(job(), "CronJob", "batch/v1"), True, id="a-job-of-a-cron-job"),
        pytest.param(owned(job(), "CronJob", "other.dev/v1"), False, id="a-job-of-anothers-cron-job"),
        pytest.param(owned(job(), "JobSet", "jobset.x-k8s.io/v1"), False, id="a-job-of-another-controller"),
        pytest.param(owned(deployment(), "App", "other.dev/v1"), False, id="a-deployment-of-a-controller"),
        pytest.param(owned(deployment(), "App", "other.dev/v1", controller=False), True, id="owned-but-not-controlled"),
    ],
)
async def test_creations(told: Cluster, body: Json, is_told: bool) -> None:
    await told.create(body)

    assert told.told == ({f"CREATE {body['kind']}"} if is_told else set())


REPLICAS = {"spec": {"revisionHistoryLimit": 3}}
LABEL = {"metadata": {"labels": {"team": "shop"}}}
OPT_OUT = {"metadata": {"annotations": {names.INJECT_ANNOTATION: "false"}}}
NO_RECORD = {"metadata": {"annotations": {names.RECORD_ANNOTATION: None}}}
A_RECORD = {"metadata": {"annotations": RECORDED}}
OTHER_ANNOTATION = {"metadata": {"annotations": {"team": "shop"}}}
LONG = [{"name": f"VARIABLE_{number}", "value": "x" * 100} for number in range(3000)]
SUSPEND = {"spec": {"suspend": False}}

Act = Callable[[Cluster, Json], Awaitable[None]]


def patched(patch: Json, manager: str = "kubectl", *, part: str = "", dry: bool = False) -> Act:
    async def act(cluster: Cluster, body: Json) -> None:
        await cluster.patch(body, patch, manager, part=part, dry=dry)

    return act


@pytest.mark.parametrize(
    ("body", "act", "is_told"),
    [
        pytest.param(deployment(), patched(REPLICAS), False, id="spec-of-a-workload-without-ours"),
        pytest.param(deployment(), patched(OPT_OUT), False, id="opt-out-of-a-workload-without-ours"),
        pytest.param(deployment(), patched(A_RECORD), True, id="record-given"),
        pytest.param(recorded(deployment()), patched(REPLICAS), True, id="spec"),
        pytest.param(recorded(deployment(env=LONG)), patched(REPLICAS), True, id="large-spec"),
        pytest.param(revised(deployment()), patched(REPLICAS), True, id="spec-with-a-lost-record"),
        pytest.param(revised(cron_job()), patched(REPLICAS | SUSPEND), True, id="spec-of-a-cron-job"),
        pytest.param(recorded(deployment()), patched(OPT_OUT), True, id="opt-out"),
        pytest.param(recorded(deployment()), patched(NO_RECORD), True, id="record-taken-away"),
        pytest.param(recorded(deployment()), patched(LABEL), False, id="label"),
        pytest.param(recorded(deployment()), patched(OTHER_ANNOTATION), False, id="another-annotation"),
        pytest.param(recorded(deployment()), patched({}), False, id="nothing"),
        pytest.param(recorded(deployment()), patched(REPLICAS, names.FIELD_MANAGER), False, id="our-own"),
        pytest.param(deployment(), patched({}, names.PROBE_MANAGER, dry=True), True, id="probe"),
        pytest.param(recorded(job()), patched(SUSPEND), False, id="job"),
        pytest.param(
            recorded(deployment()), patched({"spec": {"replicas": 1}}, part="/scale"), False, id="scale-subresource"
        ),
        pytest.param(
            recorded(deployment()), patched({"status": {"replicas": 1}}, part="/status"), False, id="status-subresource"
        ),
    ],
)
async def test_changes(told: Cluster, body: Json, act: Act, is_told: bool) -> None:
    created = await told.create(body, names.FIELD_MANAGER)

    await act(told, created)

    assert told.told == ({f"UPDATE {body['kind']}"} if is_told else set())
