"""Values as the API server stores them."""

from __future__ import annotations

from typing import Any

import pytest

from sidecarpolicy.planning.canonical import canonical, probe

DEFAULTS = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        pytest.param({"requests": {"cpu": "0.1"}}, {"requests": {"cpu": "100m"}}, id="a-tenth-is-100m"),
        pytest.param({"limits": {"memory": "1024Mi"}}, {"limits": {"memory": "1Gi"}}, id="1024Mi-is-1Gi"),
        pytest.param({"limits": {"cpu": 2}}, {"limits": {"cpu": "2"}}, id="a-number-is-a-text"),
        pytest.param({"emptyDir": {"sizeLimit": "1.5Gi"}}, {"emptyDir": {"sizeLimit": "1536Mi"}}, id="size-limits"),
        pytest.param({"a": None, "b": 1}, {"b": 1}, id="nulls-are-not-stored"),
        pytest.param({"command": [], "args": ["x"]}, {"args": ["x"]}, id="empty-lists-are-not-stored"),
        pytest.param({"args": [""]}, {"args": [""]}, id="an-empty-argument-is-one"),
        pytest.param({"value": ""}, {}, id="an-empty-value-is-not-stored"),
        pytest.param({"readOnly": False}, {}, id="read-only-false-is-not-stored"),
        pytest.param(
            {"allowPrivilegeEscalation": False}, {"allowPrivilegeEscalation": False}, id="false-of-a-pointer-is-stored"
        ),
        pytest.param({"runAsUser": 0}, {"runAsUser": 0}, id="zero-of-a-pointer-is-stored"),
        pytest.param({"hostPort": 0}, {}, id="zero-of-a-number-is-not-stored"),
        pytest.param({"emptyDir": {}}, {"emptyDir": {}}, id="an-empty-source-is-stored"),
        pytest.param({"securityContext": {}}, {"securityContext": {}}, id="an-empty-context-is-stored"),
        pytest.param({"limits": {}, "requests": {}}, {}, id="empty-amounts-are-not-stored"),
        pytest.param({"labels": {"a": ""}}, {"labels": {"a": ""}}, id="an-empty-label-value-is-one"),
        pytest.param({"storageClassName": ""}, {"storageClassName": ""}, id="no-storage-class-is-said-by-a-text"),
        pytest.param(
            {"future": {"x": [1, {"y": True}]}}, {"future": {"x": [1, {"y": True}]}}, id="unknown-fields-stay"
        ),
    ],
)
def test_a_value_is_what_the_api_server_stores(asked: Any, stored: Any) -> None:
    assert canonical(asked) == stored
    assert canonical(stored) == stored


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        pytest.param({"tcpSocket": {"port": 1}}, {"tcpSocket": {"port": 1}, **DEFAULTS}, id="times-and-thresholds"),
        pytest.param(
            {"httpGet": {"port": 1}, "periodSeconds": 5},
            {"httpGet": {"port": 1, "path": "/", "scheme": "HTTP"}, **DEFAULTS, "periodSeconds": 5},
            id="path-and-scheme",
        ),
        pytest.param({"grpc": {"port": 1}}, {"grpc": {"port": 1, "service": ""}, **DEFAULTS}, id="grpc-service"),
        pytest.param(
            {"exec": {"command": ["x"]}, "initialDelaySeconds": 0, "timeoutSeconds": 0},
            {"exec": {"command": ["x"]}, **DEFAULTS},
            id="zeros-become-defaults",
        ),
        pytest.param(
            {"httpGet": {"port": 1, "path": "", "httpHeaders": []}},
            {"httpGet": {"port": 1, "path": "/", "scheme": "HTTP"}, **DEFAULTS},
            id="empty-path-and-headers",
        ),
    ],
)
def test_a_probe_has_the_defaults_of_the_api_server(asked: Any, stored: Any) -> None:
    assert probe(asked) == stored
    assert probe(stored) == stored
