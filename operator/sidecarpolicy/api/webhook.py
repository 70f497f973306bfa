"""The MutatingWebhookConfiguration: of which writes the API server tells us, and how it treats our silence."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from sidecarpolicy.api import names
from sidecarpolicy.api.policy import Json

PATH = "/mutate"
TIMEOUT = 3
"""Seconds: what a user's command waits at most for us."""

_RULES = (
    (["CREATE", "UPDATE"], "apps", ["deployments", "statefulsets", "daemonsets"]),
    (["CREATE", "UPDATE"], "batch", ["cronjobs"]),
    # The template of a Job that exists cannot be changed.
    (["CREATE"], "batch", ["jobs"]),
)

_MANAGER = "request.?options.?fieldManager.orValue('')"
_IS_PROBE = f"{_MANAGER} == '{names.PROBE_MANAGER}'"
_CONTROLLER = "o.?controller.orValue(false) && !(o.kind == 'CronJob' && o.apiVersion.startsWith('batch/'))"
_REVISION = f".?template.?metadata.?annotations[?'{names.REVISION_ANNOTATION}'].hasValue()"
_CARRIES_OURS = (
    f"o.metadata.?annotations[?'{names.RECORD_ANNOTATION}'].hasValue()"
    f" || o.spec{_REVISION} || o.spec.?jobTemplate.?spec{_REVISION}"
)
_WATCHED_ANNOTATIONS = f"['{names.RECORD_ANNOTATION}', '{names.INJECT_ANNOTATION}']"
_DIFFERS = (
    f"object.spec != oldObject.spec || {_WATCHED_ANNOTATIONS}"
    ".exists(a, object.metadata.?annotations[?a] != oldObject.metadata.?annotations[?a])"
)

# Every call costs a user's command a millisecond or two, so the API server calls only for what may need us.
_CONDITIONS = {
    "not-written-by-us": f"{_MANAGER} != '{names.FIELD_MANAGER}'",
    "not-made-by-a-controller": (
        f"request.operation != 'CREATE' || {_IS_PROBE}"
        f" || !object.metadata.?ownerReferences.orValue([]).exists(o, {_CONTROLLER})"
    ),
    "changes-what-carries-ours": (
        f"request.operation != 'UPDATE' || {_IS_PROBE}"
        f" || ([object, oldObject].exists(o, {_CARRIES_OURS}) && ({_DIFFERS}))"
    ),
}


def installed_configuration() -> Json:
    """Return the configuration of the manifests: by our Service; the operator itself adds whom to trust."""
    service = {"namespace": names.NAMESPACE, "name": names.WEBHOOK_SERVICE, "path": PATH, "port": 443}
    excluded = names.SYSTEM_NAMESPACES | {names.NAMESPACE}
    return configuration(names.WEBHOOK_CONFIGURATION, {"service": service}, excluded)


def configuration(name: str, client_config: Json, excluded_namespaces: Iterable[str]) -> Json:
    """Return a configuration that reaches us as the client config says, for all but the namespaces given."""
    webhook = {
        "name": names.WEBHOOK,
        "clientConfig": client_config,
        "admissionReviewVersions": ["v1"],
        # What we cannot answer goes through, and is found by the controller.
        "failurePolicy": "Ignore",
        "timeoutSeconds": TIMEOUT,
        # Another webhook may undo what ours placed.
        "reinvocationPolicy": "IfNeeded",
        "sideEffects": "None",
        "matchPolicy": "Equivalent",
        "namespaceSelector": {
            "matchExpressions": [
                {"key": names.NAMESPACE_LABEL, "operator": "NotIn", "values": sorted(excluded_namespaces)}
            ]
        },
        "rules": [_rule(*each) for each in _RULES],
        "matchConditions": [{"name": name, "expression": text} for name, text in _CONDITIONS.items()],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": names.FIELD_MANAGER}},
        "webhooks": [webhook],
    }


def checked_url(text: str) -> str:
    """Return a URL at which an API server may call us; raises ValueError with what is wrong and how it looks."""
    wanted = f"such as https://host.minikube.internal:9443{PATH}"
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise ValueError(f"{error}; give a URL {wanted}") from None
    if url.scheme != "https":
        raise ValueError(f"the API server calls webhooks by https only; give a URL {wanted}")
    if not url.hostname or not url.hostname.isascii() or not port:
        raise ValueError(f"give the host, as the cluster's API server knows this machine, and the port, {wanted}")
    if url.path != PATH:
        raise ValueError(f"the path must be {PATH}, {wanted}")
    if url.username is not None or url.query or url.fragment:
        raise ValueError(f"the API server takes no user, query or fragment in it; give a URL {wanted}")
    return text


def _rule(operations: list[str], group: str, resources: list[str]) -> Json:
    return {
        "operations": operations,
        "apiGroups": [group],
        "apiVersions": ["v1"],
        "resources": resources,
        "scope": "Namespaced",
    }
