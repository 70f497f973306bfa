"""The policy kinds as the API server serves them: defaults, sentences, columns and the status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.objects import Json, policy
from localcluster import LocalCluster
from localcluster.connection import MERGE
from localcluster.waiting import until
from sidecarpolicy.api import names
from sidecarpolicy.api.crd import cluster_policy_crd, policy_crd
from sidecarpolicy.api.policy import ClusterPolicySpec, PolicySpec
from sidecarpolicy.cluster.resources import RESOURCES

pytestmark = pytest.mark.usefixtures("policies")

ENTRY = {
    "kind": "Deployment",
    "namespace": "shop",
    "name": "web",
    "reason": "CrashLoop",
    "message": "sidecar shipper of pod web-1 waits",
    "since": "2026-01-01T00:00:00Z",
}
CONDITION = {
    "type": "Ready",
    "status": "False",
    "reason": "RollingOut",
    "message": "7 of 12 settled",
    "observedGeneration": 1,
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}
STATUS = {
    "observedGeneration": 1,
    "revision": "0123456789",
    "conditions": [CONDITION],
    "matched": 12,
    "upToDate": 9,
    "updating": 1,
    "outdated": 3,
    "blocked": 2,
    "failed": 1,
    "finished": 0,
    "failures": [ENTRY],
    "blocks": [ENTRY],
    "notes": [ENTRY],
}


TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
"""What kubectl asks for, and prints as it comes."""


def with_sentences(schema: Json, path: str) -> Iterator[tuple[str, str]]:
    """Every field that has a description, with the path that `kubectl explain` takes."""
    for name, child in schema.get("properties", {}).items():
        if "description" in child:
            yield f"{path}.{name}", child["description"]
        yield from with_sentences(child.get("items", child), f"{path}.{name}")


def as_one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("crd", [pytest.param(policy_crd(), id="scp"), pytest.param(cluster_policy_crd(), id="cscp")])
def test_kubectl_explain_shows_a_sentence_for_every_field(cluster: LocalCluster, crd: Json) -> None:
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    sentences = dict(with_sentences(schema, crd["spec"]["names"]["plural"]))
    parents = sorted({path.rpartition(".")[0] for path in sentences})

    shown = {parent: as_one_line(explained(cluster, parent)) for parent in parents}

    missing = [path for path, sentence in sentences.items() if sentence not in shown[path.rpartition(".")[0]]]
    assert missing == []


def explained(cluster: LocalCluster, path: str) -> str:
    # The documentation of a new kind is served some seconds after the kind.
    return until(lambda: cluster.run_kubectl("explain", path, check=False).stdout)


def test_the_fields_of_core_containers_are_there_without_sentences(cluster: LocalCluster) -> None:
    assert "FIELD: image <string>" in explained(cluster, "scp.spec.sidecars.image")


@pytest.mark.parametrize(
    ("kind", "model"), [(names.POLICY_KIND, PolicySpec), (names.CLUSTER_POLICY_KIND, ClusterPolicySpec)]
)
@pytest.mark.parametrize(
    "rollout",
    [
        pytest.param({}, id="no-rollout"),
        pytest.param({"rollout": None}, id="rollout-null"),
        pytest.param({"rollout": {"progressDeadline": None}}, id="deadline-null"),
        pytest.param({"rollout": {"maxConcurrent": "25%"}}, id="a-part-of-rollout"),
    ],
)
def test_the_defaults_of_the_api_server_are_those_of_the_models(
    cluster: LocalCluster, kind: str, model: type[PolicySpec], rollout: Json
) -> None:
    body = policy(kind=kind)
    body["spec"] |= rollout
    stored = json.loads(create(cluster, body))["spec"]

    written = {key: without_nulls(value) for key, value in body["spec"].items() if value is not None}
    assert model.model_validate(stored) == model.model_validate(written)
    assert {"kinds", "priority", "mode", "paused", "rollout", "deletion"} <= stored.keys()
    assert stored["rollout"].keys() == {"maxConcurrent", "progressDeadline"}


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return value


def create(cluster: LocalCluster, body: Json) -> str:
    return cluster.kubectl("create", "--filename=-", "--dry-run=server", "--output=json", stdin=json.dumps(body))


@pytest.fixture
def status(cluster: LocalCluster, namespace: str) -> str:
    """The path of a policy's status. The operator of this run writes it too, so that it is only ever tried."""
    cluster.apply(policy(), namespace=namespace)
    where = RESOURCES[names.POLICY_KIND].path(namespace, "log-shipper")
    return f"{where}/status?dryRun=All&fieldManager=test"


def test_columns_say_how_far_a_policy_is(cluster: LocalCluster, status: str) -> None:
    shown = cluster.ask("PATCH", status, {"status": STATUS}, kind=MERGE, accept=TABLE)

    titles = [one["name"] for one in shown["columnDefinitions"] if not one["priority"]]
    assert titles == ["Name", "Ready", "Reason", "Matched", "UpToDate", "Failed", "Blocked", "Age"]
    [row] = shown["rows"]
    values = dict(zip((one["name"] for one in shown["columnDefinitions"]), row["cells"], strict=True))
    assert [values[title] for title in titles[:-1]] == ["log-shipper", "False", "RollingOut", 12, 9, 1, 2]
    assert values["Message"] == CONDITION["message"]


def test_the_whole_status_is_stored(cluster: LocalCluster, status: str) -> None:
    assert cluster.ask("PATCH", status, {"status": STATUS}, kind=MERGE)["status"] == STATUS
