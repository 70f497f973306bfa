"""What holds of the project as a whole: rights, generated files, examples and the layout."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecarpolicy.api import names
from sidecarpolicy.api.validation import problems
from sidecarpolicy.cluster.resources import Right, rights
from sidecarpolicy.planning.policy import read_policy, read_spec

ROOT = Path(__file__).parents[1]
POLICIES = sorted(ROOT.glob("examples/*/policy.yaml"))


def granted(kind: str) -> dict[Right, frozenset[str]]:
    """What the manifests give the operator, in the whole cluster or in its own namespace."""
    found: defaultdict[Right, set[str]] = defaultdict(set)
    for role in yaml.safe_load_all((ROOT / "manifests/base/rbac.yaml").read_text()):
        for rule in role["rules"] if role["kind"] == kind else ():
            for each in itertools.product(rule["apiGroups"], rule["resources"], rule.get("resourceNames", [""])):
                found[Right(*each)] |= set(rule["verbs"])
    return {key: frozenset(verbs) for key, verbs in found.items()}


@pytest.mark.xdist_group("house")
def test_groups_of_tests_stay_together(request: pytest.FixtureRequest) -> None:
    by_group = request.config.getoption("loadgroup", False)

    assert request.node.nodeid.endswith("@house") or not by_group


@pytest.mark.parametrize(("kind", "own"), [("ClusterRole", False), ("Role", True)])
def test_operator_has_the_rights_that_it_needs_and_no_more(kind: str, own: bool) -> None:
    assert granted(kind) == rights(own=own)


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
