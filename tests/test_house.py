"""What holds of the project as a whole: rights, generated files, examples and the layout."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecarpolicy.api import names
from sidecarpolicy.api.validation import problems
from sidecarpolicy.cluster.resources import Permissions, own_permissions, permissions
from sidecarpolicy.planning.policy import read_policy, read_spec

ROOT = Path(__file__).parents[1]
POLICIES = sorted(ROOT.glob("examples/*/policy.yaml"))


def rules(kind: str) -> list[Any]:
    """The rules that the manifests give the operator, in the whole cluster or in its own namespace."""
    roles = yaml.safe_load_all((ROOT / "manifests/base/rbac.yaml").read_text())
    return [rule for role in roles if role["kind"] == kind for rule in role["rules"]]


def granted(kind: str) -> Permissions:
    """The verbs that the manifests give the operator, by API group and resource."""
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for rule in rules(kind):
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found[group, resource] |= set(rule["verbs"])
    return {key: frozenset(verbs) for key, verbs in found.items()}


def test_operator_has_the_rights_that_it_needs_and_no_more() -> None:
    assert granted("ClusterRole") == permissions()
    assert granted("Role") == own_permissions()


def test_operator_has_rights_in_its_own_namespace_on_its_own_objects_only() -> None:
    # What is created has no name yet, for RBAC.
    assert [rule for rule in rules("Role") if "resourceNames" not in rule and rule["verbs"] != ["create"]] == []


def test_definitions_are_those_of_the_models() -> None:
    command = [sys.executable, "-m", "sidecarpolicy.api.crd", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", [pytest.param(path, id=path.parent.name) for path in POLICIES])
def test_example_is_valid(path: Path) -> None:
    [body] = [item for item in yaml.safe_load_all(path.read_text()) if item["apiVersion"] == names.API_VERSION]
    body["metadata"] |= {"namespace": "default"}

    assert problems(read_spec(body)) == []
    assert read_policy(body).content


@pytest.mark.parametrize("path", [pytest.param(path, id=path.parent.name) for path in POLICIES])
def test_example_fixes_the_version_of_every_image(path: Path) -> None:
    files = [path, path.parent / "workload.yaml"]
    images = [image for file in files for body in yaml.safe_load_all(file.read_text()) for image in images_in(body)]

    assert images
    assert [image for image in images if ":" not in image or image.endswith(":latest")] == []


def images_in(value: Any) -> list[str]:
    if isinstance(value, list):
        return [image for item in value for image in images_in(item)]
    if not isinstance(value, dict):
        return []
    mine = [value["image"]] if isinstance(value.get("image"), str) else []
    return [*mine, *(image for item in value.values() for image in images_in(item))]


def test_operator_is_a_source_root_and_no_package() -> None:
    # As a package it would hide the module of the standard library.
    assert not (ROOT / "operator/__init__.py").exists()
