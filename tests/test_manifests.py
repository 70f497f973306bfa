"""What `kubectl apply -k` installs: whole, in one go, and again without a difference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster import LocalCluster

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


@pytest.mark.parametrize("folder", [pytest.param(folder, id=folder or "base") for folder in KUSTOMIZATIONS])
def test_everything_is_labelled_as_ours_and_stays_in_our_namespace(cluster: LocalCluster, folder: str) -> None:
    objects = [item["metadata"] for item in rendered(cluster, folder) if item["kind"] != "CustomResourceDefinition"]

    assert {item.get("namespace", "sidecarpolicy-system") for item in objects} == {"sidecarpolicy-system"}
    assert {item["labels"]["app.kubernetes.io/name"] for item in objects} == {"sidecarpolicy"}
