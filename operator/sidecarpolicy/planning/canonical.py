"""Values as the API server stores them, so that what it gave back compares equal to what was asked."""

from __future__ import annotations

from typing import Any

from sidecarpolicy.api import quantity
from sidecarpolicy.api.policy import QUANTITIES, QUANTITY_MAPS, Json

_TEXT_MAPS = frozenset({"labels", "annotations", "matchLabels", "nodeSelector", "volumeAttributes", "options"})
"""Maps of the user's own keys, where an empty text is a value."""

_DROPPED_WHEN_FALSE = frozenset({"readOnly", "stdin", "stdinOnce", "tty"})
_DROPPED_WHEN_ZERO = frozenset(
    {
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
        "hostPort",
        "partition",
    }
)
_KEPT_WHEN_EMPTY = frozenset({"storageClassName", "volumeAttributesClassName", "service", "type"})
"""Texts that core/v1 has as pointers; every other empty one is not stored."""

_PROBE_DEFAULTS = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


def canonical(value: Any) -> Any:
    """Return the value with quantities in canonical form and without what the API server does not store."""
    match value:
        case dict():
            return {key: _field(key, item) for key, item in value.items() if _is_stored(key, item)}
        case list():
            return [canonical(item) for item in value]
        case _:
            return value


def _field(key: str, value: Any) -> Any:
    if key in QUANTITY_MAPS and isinstance(value, dict):
        return {name: quantity.canonical(amount) for name, amount in value.items()}
    if key in QUANTITIES and isinstance(value, str | int):
        return quantity.canonical(value)
    return value if key in _TEXT_MAPS else canonical(value)


def _is_stored(key: str, value: Any) -> bool:
    """Tell whether the API server keeps a value that may be the zero of its type (omitempty, no pointer)."""
    match value:
        case None | []:
            return False
        case "":
            return key in _KEPT_WHEN_EMPTY
        case False:
            return key not in _DROPPED_WHEN_FALSE
        case 0:
            return key not in _DROPPED_WHEN_ZERO
        case {} if not value:
            return key not in QUANTITY_MAPS and key not in _TEXT_MAPS
        case _:
            return True


def probe(asked: Json) -> Json:
    """Return the probe with the defaults that the API server fills in (pkg/apis/core/v1/defaults.go)."""
    stored = canonical(asked)
    handlers = {name: _handler(name, value) for name, value in stored.items() if isinstance(value, dict)}
    return {**_PROBE_DEFAULTS, **stored, **handlers}


def _handler(name: str, handler: Json) -> Json:
    match name:
        case "httpGet":
            return {"path": "/", "scheme": "HTTP", **handler}
        case "grpc":
            return {"service": "", **handler}
        case _:
            return handler
