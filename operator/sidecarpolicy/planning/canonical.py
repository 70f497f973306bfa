"""Values as the API server stores them, so that what it gave back compares equal to what was asked."""

from __future__ import annotations

from typing import Any

from sidecarpolicy.api import quantity
from sidecarpolicy.api.policy import Json

_QUANTITY_MAPS = frozenset({"requests", "limits"})
_QUANTITIES = frozenset({"sizeLimit", "divisor"})
_PROBE_DEFAULTS = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


def canonical(value: Any) -> Any:
    """Return the value with every quantity below it in canonical form and without nulls."""
    match value:
        case dict():
            return {key: _field(key, item) for key, item in value.items() if item is not None}
        case list():
            return [canonical(item) for item in value]
        case _:
            return value


def _field(key: str, value: Any) -> Any:
    if key in _QUANTITY_MAPS and isinstance(value, dict):
        return {name: quantity.canonical(amount) for name, amount in value.items()}
    if key in _QUANTITIES and isinstance(value, str | int):
        return quantity.canonical(value)
    return canonical(value)


def probe(asked: Json) -> Json:
    """Return the probe with the defaults that the API server fills in (pkg/apis/core/v1/defaults.go)."""
    handlers = {name: _handler(name, value) for name, value in asked.items() if isinstance(value, dict)}
    return {**_PROBE_DEFAULTS, **{name: value for name, value in asked.items() if value}, **handlers}


def _handler(name: str, handler: Json) -> Json:
    match name:
        case "httpGet":
            return {"path": "/", "scheme": "HTTP", **handler}
        case "grpc":
            return {"service": "", **handler}
        case _:
            return handler
