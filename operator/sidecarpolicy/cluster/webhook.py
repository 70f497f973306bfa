"""The Secret that the replicas share, and the configuration by which the API server calls and trusts us."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress

from sidecarpolicy.api import names
from sidecarpolicy.api.policy import Json
from sidecarpolicy.cluster.client import APPLY_PATCH, MERGE_PATCH, Client, Conflict, NotFound
from sidecarpolicy.cluster.resources import RESOURCES
from sidecarpolicy.cluster.write import AS_US, guarded
from sidecarpolicy.planning.workload import Ref

_SECRETS = RESOURCES["Secret"]
_CONFIGURATIONS = RESOURCES["MutatingWebhookConfiguration"]
_LAST_WAIT = 5.0
"""Seconds."""
_LAST_ATTEMPTS = 3
_PROBE = {"dryRun": "All", "fieldManager": names.PROBE_MANAGER}
_LABELS = {"app.kubernetes.io/name": names.PROBE_MANAGER}
_NEVER_CREATED = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"generateName": f"{names.PROBE_MANAGER}-"},
    "spec": {
        "replicas": 0,
        "selector": {"matchLabels": _LABELS},
        "template": {"metadata": {"labels": _LABELS}, "spec": {"containers": [{"name": "none", "image": "none"}]}},
    },
}


async def read_secret(client: Client, namespace: str) -> Json | None:
    """Return the Secret with our certificates, or None if there is none."""
    return await _get(client, _SECRETS.path(namespace, names.WEBHOOK_SECRET))


def content(secret: Json) -> dict[str, bytes]:
    """Return what a Secret holds."""
    return {key: b64decode(value) for key, value in (secret.get("data") or {}).items()}


async def save_secret(client: Client, namespace: str, data: Mapping[str, bytes], found: Json | None) -> None:
    """Write the Secret over the one that was found; where somebody else was first, theirs stays."""
    encoded = {key: b64encode(value).decode() for key, value in data.items()}
    with suppress(Conflict):
        if found is None:
            made = _secret(encoded)
            await client.request("POST", _SECRETS.path(namespace), query=AS_US, body=made, by_leader_only=False)
            return
        path = _SECRETS.path(namespace, names.WEBHOOK_SECRET)
        with suppress(NotFound):
            changed = {**found, "data": encoded}
            await client.request("PUT", path, query=AS_US, body=changed, by_leader_only=False)


async def trust(
    client: Client, authorities: bytes, *, configuration: str = names.WEBHOOK_CONFIGURATION
) -> bytes | None:
    """Have the API server trust these; return whom it trusted before, None where it is not told to call us."""
    found = await _get(client, _CONFIGURATIONS.path(name=configuration))
    webhooks = found.get("webhooks") or [] if found else []
    place = next((place for place, webhook in enumerate(webhooks) if webhook["name"] == names.WEBHOOK), None)
    if found is None or place is None:
        return None
    trusted = webhooks[place]["clientConfig"].get("caBundle")
    wanted = b64encode(authorities).decode()
    if trusted != wanted:
        path = f"/webhooks/{place}/clientConfig/caBundle"
        guards = {f"/webhooks/{place}/name": names.WEBHOOK, path: trusted}
        tests = [{"op": "test", "path": each, "value": value} for each, value in guards.items()]
        await guarded(client, found, [*tests, {"op": "add", "path": path, "value": wanted}])
    return b64decode(trusted or "")


async def serves(client: Client, ref: Ref) -> bool:
    """Tell whether the API server reaches our admission, by a dry run that asks for no change."""
    warnings: list[str] = []
    path = RESOURCES[ref.kind].path(ref.namespace, ref.name)
    with suppress(NotFound):
        await client.request("PATCH", path, query=_PROBE, body={}, content_type=MERGE_PATCH, warnings=warnings)
    return _is_answered(warnings)


async def reaches(client: Client, namespace: str) -> bool:
    """Tell whether the API server reaches our admission, by a dry run of a Deployment that is never created."""
    warnings: list[str] = []
    path = RESOURCES["Deployment"].path(namespace)
    await client.request("POST", path, query=_PROBE, body=_NEVER_CREATED, warnings=warnings)
    return _is_answered(warnings)


def _is_answered(warnings: list[str]) -> bool:
    return any(names.PROBE_ANSWER in warning for warning in warnings)


async def announce(client: Client, configuration: Json) -> None:
    """Have the API server call us as a configuration of our own says; one of that name is replaced."""
    path = _CONFIGURATIONS.path(name=configuration["metadata"]["name"])
    query = {**AS_US, "force": "true"}
    await client.request("PATCH", path, query=query, body=configuration, content_type=APPLY_PATCH, by_leader_only=False)


async def withdraw(client: Client, name: str) -> None:
    """Take back what was announced, with little patience: we are about to end."""
    path = _CONFIGURATIONS.path(name=name)
    with suppress(NotFound):
        await client.request("DELETE", path, timeout=_LAST_WAIT, attempts=_LAST_ATTEMPTS, by_leader_only=False)


async def _get(client: Client, path: str) -> Json | None:
    try:
        return await client.request("GET", path)
    except NotFound:
        return None


def _secret(encoded: Json) -> Json:
    return {
        "apiVersion": _SECRETS.api_version,
        "kind": "Secret",
        "metadata": {"name": names.WEBHOOK_SECRET, "labels": {"app.kubernetes.io/name": names.FIELD_MANAGER}},
        # So that every tool knows what is in it.
        "type": "kubernetes.io/tls",
        "data": encoded,
    }
