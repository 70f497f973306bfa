"""Who may write which policy: users, rights and attempts, and what each user reads."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.objects import Json
from localcluster import LocalCluster
from localcluster.waiting import until
from sidecarpolicy.api import names
from stories import readme

TABLE: Json = yaml.safe_load((Path(__file__).parent / "authority.yaml").read_text())
RBAC = "rbac.authorization.k8s.io"
KINDS = {names.POLICY_KIND: names.POLICY_PLURAL, names.CLUSTER_POLICY_KIND: names.CLUSTER_POLICY_PLURAL}

# All rows share one namespace with its users.
pytestmark = [pytest.mark.usefixtures("installed"), pytest.mark.xdist_group("authority")]


def policy(name: str, spec: Json, kind: str = names.POLICY_KIND) -> Json:
    """A policy that selects nothing, with a sidecar that is changed as `spec.sidecar` says; null removes."""
    requests = {"cpu": "50m", "memory": "64Mi"}
    one = {"name": "shipper", "image": "fluent/fluent-bit:3.2", "resources": {"requests": requests}}
    changes = {key: value for key, value in spec.items() if key != "sidecar"}
    whole = {"selector": {"matchLabels": {"a": "b"}}, "sidecars": [one | spec.get("sidecar", {})], **changes}
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": whole}


@pytest.fixture(scope="module")
def here(cluster: LocalCluster, installed: None) -> Iterator[str]:
    """A namespace with all users of the table, and policies that an administrator made."""
    name = f"authority-{uuid.uuid4().hex[:10]}"
    cluster.create_namespace(name)
    bound = [item for user, given in TABLE["users"].items() for item in rights(user, given, name)]
    stored = [policy("plain", {}), policy("privileged", {"sidecar": {"securityContext": {"privileged": True}}})]
    cluster.apply(*bound, *stored, role_of_the_readme(name), namespace=name)
    # Aggregation is a controller's work, and an admission policy is heard of a moment later.
    until(lambda: attempt(cluster, name, {"who": "editor", "get": names.POLICY_PLURAL}).returncode == 0)
    until(lambda: attempt(cluster, name, {"who": "writer", "create": {}}).returncode != 0)
    yield name
    cluster.delete_namespace(name)
    everywhere = [item for item in bound if item["kind"] == "ClusterRoleBinding"]
    cluster.kubectl("delete", "clusterrolebinding", *(item["metadata"]["name"] for item in everywhere))


def role_of_the_readme(namespace: str) -> Json:
    """The one that lets somebody write what is dangerous."""
    [text] = readme.blocks("### Who may do what", "yaml")
    role: Json = yaml.safe_load(text)
    return {**role, "metadata": {**role["metadata"], "namespace": namespace}}


def rights(user: str, given: Json, namespace: str) -> Iterator[Json]:
    """The roles and bindings that make a user what the table says."""
    rules = [
        {"apiGroups": [group], "resources": resources.split(", "), "verbs": verbs.split(", ")}
        for group, resources, verbs in given.get("rights", [])
    ]
    if rules:
        yield rbac("Role", user, namespace, rules=rules)
        yield binding("RoleBinding", user, "Role", user, namespace)
    for role in given.get("roles", []):
        yield binding("RoleBinding", user, "ClusterRole", role, namespace)
    for role in given.get("own-roles", []):
        yield binding("RoleBinding", user, "Role", role, namespace)
    for role in given.get("everywhere", []):
        yield binding("ClusterRoleBinding", user, "ClusterRole", role, "")


def binding(kind: str, user: str, role_kind: str, role: str, namespace: str) -> Json:
    to = {"apiGroup": RBAC, "kind": role_kind, "name": role}
    subjects = [{"apiGroup": RBAC, "kind": "User", "name": user}]
    return rbac(kind, f"{user}-{role}", namespace, roleRef=to, subjects=subjects)


def rbac(kind: str, name: str, namespace: str, **fields: Any) -> Json:
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": metadata, **fields}


def attempt(cluster: LocalCluster, here: str, row: Json) -> subprocess.CompletedProcess[str]:
    """Have a user try what a row says, without a trace."""
    as_user = (f"--as={row['who']}", f"--namespace={row.get('in', here)}")
    arguments, stdin = command(row, here)
    return cluster.run_kubectl(*arguments, *as_user, stdin=stdin, check=False)


def command(row: Json, here: str) -> tuple[list[str], str | None]:
    """What kubectl is told, and given to read."""
    dry, kind = "--dry-run=server", row.get("kind", names.POLICY_KIND)
    if "create" in row:
        body = json.dumps(policy("new", row["create"], kind)).replace("{here}", here)
        return ["create", "--filename=-", dry], body
    if "create-revision" in row:
        return ["create", "--filename=-", dry], json.dumps(revision(row["create-revision"]))
    if "patch" in row:
        sub = [f"--subresource={row['subresource']}"] if "subresource" in row else []
        change = f"--patch={json.dumps(row['with'])}"
        return ["patch", KINDS[kind], row["patch"], "--type=merge", change, *sub, dry], None
    if "delete" in row:
        return ["delete", KINDS[kind], row["delete"], dry], None
    return ["get", row["get"]], None


def revision(policy: str) -> Json:
    """What the operator would take for an earlier revision of a policy."""
    metadata = {"name": f"{policy}-0123456789", "labels": {f"{names.GROUP}/policy-uid": "some"}}
    return {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": metadata, "revision": 1, "data": {}}


@pytest.mark.parametrize("row", [pytest.param(row, id=row["case"]) for row in TABLE["attempts"]])
def test_a_user_may_do_what_they_may_do_to_the_workloads(cluster: LocalCluster, here: str, row: Json) -> None:
    done = attempt(cluster, here, row)

    if "answer" in row:
        assert row["answer"].replace("{here}", here) in done.stderr
        assert done.stderr.startswith("Error from server (Forbidden)")
    else:
        assert done.returncode == 0, done.stderr


def test_every_user_of_the_table_tries_something() -> None:
    tried = {row["who"] for row in TABLE["attempts"]}

    assert set(TABLE["users"]) == {who for who in tried if not who.startswith("system:")}


def test_binding_of_the_readme_is_taken(cluster: LocalCluster) -> None:
    [block] = readme.blocks("### Who may do what")

    done = readme.run(cluster, f"{block.rstrip()} --dry-run=server")

    assert done.returncode == 0, done.stderr
