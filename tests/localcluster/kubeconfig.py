"""Kubeconfig files that carry everything inside, so that a copy works anywhere on this machine."""

import base64
from pathlib import Path
from typing import Any

import yaml

from localcluster.certificates import Pair


def with_certificate(server: str, authority: str, pair: Pair) -> dict[str, Any]:
    """Return a kubeconfig for the holder of a client certificate."""
    user = {"client-certificate-data": _encoded(pair.certificate), "client-key-data": _encoded(pair.key)}
    return _kubeconfig(server, authority, user)


def with_token(server: str, authority: str, token: str, namespace: str) -> dict[str, Any]:
    """Return a kubeconfig for the bearer of a token."""
    return _kubeconfig(server, authority, {"token": token}, namespace)


def write(path: Path, content: dict[str, Any]) -> Path:
    """Write a kubeconfig that nobody else may read."""
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def _kubeconfig(server: str, authority: str, user: dict[str, str], namespace: str = "default") -> dict[str, Any]:
    cluster = {"server": server, "certificate-authority-data": _encoded(authority.encode())}
    context = {"cluster": "local", "user": "local", "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": cluster}],
        "users": [{"name": "local", "user": user}],
        "contexts": [{"name": "local", "context": context}],
        "current-context": "local",
    }


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()
