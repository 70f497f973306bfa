"""What `kubectl apply -k` installs: whole, in one go, and again without a difference."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster import LocalCluster
from sidecarpolicy.api import names
from sidecarpolicy.settings import Settings, variable
from stories import readme

Json = dict[str, Any]

MANIFESTS = Path(__file__).parents[1] / "manifests"
KUSTOMIZATIONS = [
    "",
    *sorted(f"overlays/{path.parent.name}" for path in MANIFESTS.glob("overlays/*/kustomization.yaml")),
]
FOREIGN = {"cert-manager.io/v1", "monitoring.coreos.com/v1"}
"""Kinds that others bring; what is to be an object of them is not validated here."""


def rendered(cluster: LocalCluster, folder: str) -> list[Json]:
    """The objects of the whole installation, or of one of its variants."""
    return list(yaml.load_all(cluster.kubectl("kustomize", str(MANIFESTS / folder)), Loader=yaml.CSafeLoader))


@pytest.mark.parametrize("folder", [pytest.param(folder, id=folder or "base") for folder in KUSTOMIZATIONS])
def test_the_api_server_takes_everything_without_a_warning(cluster: LocalCluster, installed: None, folder: str) -> None:
    objects = rendered(cluster, folder)
    known = [item for item in objects if item["apiVersion"] not in FOREIGN]

    done = cluster.run_kubectl("apply", "--dry-run=server", "--filename=-", stdin=yaml.safe_dump_all(known))

    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == len(known)


def test_certificates_and_their_mount_fit_the_service(cluster: LocalCluster) -> None:
    objects = {(item["kind"], item["metadata"]["name"]): item for item in rendered(cluster, "overlays/cert-manager")}
    pod = objects["Deployment", "sidecarpolicy"]["spec"]["template"]["spec"]
    annotations = objects["MutatingWebhookConfiguration", names.WEBHOOK_CONFIGURATION]["metadata"]["annotations"]
    namespace, _, certificate = annotations["cert-manager.io/inject-ca-from"].partition("/")
    wanted = objects["Certificate", certificate]

    assert namespace == wanted["metadata"]["namespace"] == names.NAMESPACE
    assert wanted["spec"]["dnsNames"] == [f"{names.WEBHOOK_SERVICE}.{names.NAMESPACE}.svc"]
    assert [volume["secret"]["secretName"] for volume in pod["volumes"]] == [wanted["spec"]["secretName"]]
    assert wanted["spec"]["secretName"] != names.WEBHOOK_SECRET
    [mount] = pod["containers"][0]["volumeMounts"]
    assert pod["containers"][0]["args"] == [f"--cert-dir={mount['mountPath']}"]


@pytest.mark.parametrize("folder", [pytest.param(folder, id=folder or "base") for folder in KUSTOMIZATIONS])
def test_the_api_server_calls_where_a_container_listens(cluster: LocalCluster, folder: str) -> None:
    objects = {item["kind"]: item for item in rendered(cluster, folder)}
    container = objects["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    called = objects["MutatingWebhookConfiguration"]["webhooks"][0]["clientConfig"]["service"]
    service = objects["Service"]
    [port] = [each for each in service["spec"]["ports"] if each["port"] == called["port"]]

    assert (service["metadata"]["namespace"], service["metadata"]["name"]) == (called["namespace"], called["name"])
    assert port["targetPort"] in {each["name"] for each in container["ports"]}
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    open_ports = {each["port"] for rule in objects["NetworkPolicy"]["spec"]["ingress"] for each in rule["ports"]}
    assert open_ports == {each["containerPort"] for each in container["ports"]}


def test_the_image_is_the_one_that_the_readme_builds(cluster: LocalCluster) -> None:
    [deployment] = [item for item in rendered(cluster, "") if item["kind"] == "Deployment"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    project = tomllib.loads((MANIFESTS.parent / "pyproject.toml").read_text())["project"]
    [build] = [line for block in readme.blocks("## In the cluster") for line in block.splitlines() if "build" in line]

    assert container["image"] == f"{project['name']}:{project['version']}"
    assert build == f"docker build -t {container['image']} ."


@pytest.mark.parametrize("folder", [pytest.param(folder, id=folder or "base") for folder in KUSTOMIZATIONS])
def test_the_container_is_told_what_the_operator_knows(cluster: LocalCluster, folder: str) -> None:
    [deployment] = [item for item in rendered(cluster, folder) if item["kind"] == "Deployment"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    variables = {each["name"]: each.get("value", "from the pod") for each in container["env"]}
    flags = dict(argument.removeprefix("--").split("=") for argument in container.get("args", []))
    known = {variable(field) for field in Settings.model_fields} | {"POD_NAMESPACE"}

    settings = Settings.read(variables, **{name.replace("-", "_"): value for name, value in flags.items()})

    assert variables.keys() <= known
    assert {name.replace("-", "_") for name in flags} <= Settings.model_fields.keys()
    assert (settings.admission_port, settings.health_port) == (ports["webhook"], ports["health"])
    assert {container[probe]["httpGet"]["port"] for probe in ("readinessProbe", "livenessProbe")} == {"health"}


@pytest.mark.parametrize("folder", [pytest.param(folder, id=folder or "base") for folder in KUSTOMIZATIONS])
def test_everything_is_labelled_as_ours_and_stays_in_our_namespace(cluster: LocalCluster, folder: str) -> None:
    objects = [item["metadata"] for item in rendered(cluster, folder) if item["kind"] != "CustomResourceDefinition"]

    assert {item.get("namespace", "sidecarpolicy-system") for item in objects} == {"sidecarpolicy-system"}
    assert {item["labels"]["app.kubernetes.io/name"] for item in objects} == {"sidecarpolicy"}
