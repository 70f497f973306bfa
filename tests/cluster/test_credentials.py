"""Every way to be somebody to the API server, and to stay it when tokens change."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from kubernetes.aio.config import incluster_config

from cluster.objects import Json
from localcluster import LocalCluster
from sidecarpolicy.cluster import read
from sidecarpolicy.cluster.client import Client, ClusterError, Forbidden, connect

Authenticate = Callable[[Path], Json]

CONTEXTS = """
contexts:
- {name: b, context: {cluster: b}}
- {name: a, context: {cluster: a}}
"""
PLUGIN = """#!/bin/sh
printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}' "$(cat "$1")"
"""


@pytest.fixture
def token(cluster: LocalCluster, namespace: str) -> str:
    return cluster.kubectl("create", "token", "default", f"--namespace={namespace}").strip()


def by_file(token: Path) -> Json:
    return {"tokenFile": str(token)}


def by_plugin(token: Path) -> Json:
    plugin = token.with_name("plugin")
    plugin.write_text(PLUGIN)
    plugin.chmod(0o755)
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(plugin),
            "args": [str(token)],
            "interactiveMode": "Never",
        }
    }


def kubeconfig(cluster: LocalCluster, directory: Path, user: Json, **changes: str) -> Path:
    """The cluster's kubeconfig, with another user."""
    content = json.loads(cluster.kubectl("config", "view", "--minify", "--raw", "--output=json"))
    content["users"][0]["user"] = user
    content["clusters"][0]["cluster"].update(changes)
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(content))
    return path


async def who_am_i(client: Client) -> str:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = await client.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=body)
    return str(answer["status"]["userInfo"]["username"])


async def test_a_client_certificate_serves(cluster: LocalCluster) -> None:
    async with connect(str(cluster.kubeconfig)) as client:
        assert await read.version(client) >= (1, 30)


@pytest.mark.parametrize(
    "authenticate", [pytest.param(by_file, id="token-in-a-file"), pytest.param(by_plugin, id="exec-plugin")]
)
async def test_a_token_that_is_no_longer_taken_is_read_again(
    cluster: LocalCluster, namespace: str, token: str, tmp_path: Path, authenticate: Authenticate
) -> None:
    file = tmp_path / "token"
    file.write_text("outdated")
    path = kubeconfig(cluster, tmp_path, authenticate(file))
    async with connect(str(path)) as client:
        file.write_text(token)

        assert await who_am_i(client) == f"system:serviceaccount:{namespace}:default"


async def test_a_pod_is_its_service_account(
    cluster: LocalCluster, namespace: str, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, authority = cluster.endpoint()
    host, port = server.removeprefix("https://").split(":")
    files = {"token": "outdated", "ca.crt": authority}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    # The one place where pods differ from this machine.
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    async with connect() as client:
        (tmp_path / "token").write_text(token)

        assert await who_am_i(client) == f"system:serviceaccount:{namespace}:default"


async def test_a_token_that_is_never_taken_is_forbidden(cluster: LocalCluster, tmp_path: Path) -> None:
    async with connect(str(kubeconfig(cluster, tmp_path, {"token": "wrong"}))) as client:
        with pytest.raises(Forbidden, match="Unauthorized"):
            await who_am_i(client)


async def test_another_context_may_be_chosen(cluster: LocalCluster, namespace: str, token: str, tmp_path: Path) -> None:
    path = kubeconfig(cluster, tmp_path, {"token": "wrong"})
    content = yaml.safe_load(path.read_text())
    [current] = content["contexts"]
    content["users"].append({"name": "team", "user": {"token": token}})
    content["contexts"].append({"name": "team", "context": {**current["context"], "user": "team"}})
    path.write_text(yaml.safe_dump(content))

    async with connect(str(path), "team") as client:
        assert await who_am_i(client) == f"system:serviceaccount:{namespace}:default"


async def test_the_name_of_the_certificate_may_differ(cluster: LocalCluster, tmp_path: Path) -> None:
    path = kubeconfig(cluster, tmp_path, {"token": "wrong"}, **{"tls-server-name": "kubernetes.default.svc"})

    async with connect(str(path)) as client:
        with pytest.raises(Forbidden, match="Unauthorized"):
            await who_am_i(client)


@pytest.mark.parametrize(
    ("content", "context", "message"),
    [
        pytest.param(None, None, "there is no kubeconfig at", id="no-file"),
        pytest.param("{", None, "cannot read from .*/config how to reach a cluster", id="no-yaml"),
        pytest.param("", None, "cannot read from .*/config how to reach a cluster", id="empty"),
        pytest.param("kind: Config", None, "has no current context, nor any other", id="no-context"),
        pytest.param(CONTEXTS, "c", "has no context c, choose by --context among a, b", id="unknown-context"),
        pytest.param(CONTEXTS + "current-context: c", None, "has no context c, choose", id="unknown-current-context"),
        pytest.param(CONTEXTS, None, "has no current context, choose by --context among a, b", id="no-current-context"),
    ],
)
async def test_a_kubeconfig_of_no_use_is_told(
    tmp_path: Path, content: str | None, context: str | None, message: str
) -> None:
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)

    with pytest.raises(ClusterError, match=message):
        async with connect(str(path), context):
            pass


async def test_the_environment_names_several_kubeconfigs(
    cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join((str(tmp_path / "none"), str(cluster.kubeconfig))))

    async with connect() as client:
        assert await read.version(client) >= (1, 30)
