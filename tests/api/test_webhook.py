"""The webhook's configuration, and the URLs at which a developer may be called."""

from __future__ import annotations

import pytest

from sidecarpolicy.api import webhook


def test_jobs_are_told_of_at_their_creation_only() -> None:
    rules = webhook.installed_configuration()["webhooks"][0]["rules"]
    told = {(operation, each) for rule in rules for operation in rule["operations"] for each in rule["resources"]}

    kinds = {"deployments", "statefulsets", "daemonsets", "cronjobs"}
    assert told == {(operation, kind) for operation in ("CREATE", "UPDATE") for kind in kinds} | {("CREATE", "jobs")}


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://host.minikube.internal:9443/mutate", id="by-name"),
        pytest.param("https://192.168.49.1:9443/mutate", id="by-address"),
        pytest.param("https://[fd00::1]:9443/mutate", id="by-address-of-version-6"),
    ],
)
def test_a_url_that_serves(url: str) -> None:
    assert webhook.checked_url(url) == url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param("http://host:9443/mutate", "by https only", id="http"),
        pytest.param("host:9443", "by https only", id="no-scheme"),
        pytest.param("https://host/mutate", "and the port", id="no-port"),
        pytest.param("https://host:0/mutate", "and the port", id="port-zero"),
        pytest.param("https://host:99999/mutate", "out of range", id="port-too-high"),
        pytest.param("https://:9443/mutate", "give the host", id="no-host"),
        pytest.param("https://[fd00::1:9443/mutate", "Invalid IPv6", id="broken-address"),
        pytest.param("https://host:9443/", "path must be /mutate", id="other-path"),
        pytest.param("https://me@host:9443/mutate", "no user", id="user"),
        pytest.param("https://host:9443/mutate?a=b", "no user, query", id="query"),
    ],
)
def test_a_url_of_no_use_is_told_with_one_that_serves(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        webhook.checked_url(url)

    assert "https://host.minikube.internal:9443/mutate" in str(caught.value)
