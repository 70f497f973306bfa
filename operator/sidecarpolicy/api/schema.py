"""Structural schemas, as a CRD wants them: from pydantic models and from what Kubernetes publishes of core/v1."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any

from pydantic import BaseModel

from sidecarpolicy.api.policy import Json

CORE_VERSION = "v1.36.0-local"
"""Which Kubernetes the schemas of Container, Volume and their parts are from."""

QUANTITY: Json = {
    "x-kubernetes-int-or-string": True,
    "minimum": 0,
    "maxLength": 64,
    "pattern": r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?$",
}

_KEPT = frozenset(
    {"additionalProperties", "default", "description", "enum", "format", "items", "properties", "required", "type"}
    | {"maxItems", "maxLength", "maxProperties", "maximum", "minItems", "minLength", "minimum", "pattern"}
)
_DROPPED_EXTENSIONS = ("x-kubernetes-patch-", "x-kubernetes-unions")
_PREFIX = "io.k8s.api.core.v1."
_ATOMS: dict[str, Json] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": QUANTITY,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"x-kubernetes-int-or-string": True},
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
}


def model_schema(model: type[BaseModel]) -> Json:
    """Return the structural schema of one of our models."""
    raw = model.model_json_schema()
    return _ours(raw, raw.get("$defs", {}))


def core_schema(name: str) -> Json:
    """Return the structural schema of a type of core/v1, such as Container, without descriptions."""
    return _core({"$ref": f"#/$defs/{_PREFIX}{name}"})


def _ours(node: Json, definitions: Json) -> Json:
    node = _flat(node, definitions)
    result = {key: value for key, value in node.items() if _is_kept(key)}
    if isinstance(result.get("additionalProperties"), bool):
        # `extra` of a model: the API server prunes what is not in the schema.
        del result["additionalProperties"]
    if result.get("default", 0) in (None, [], {}):
        del result["default"]
    if isinstance(result.get("default"), dict):
        # The defaults within it apply then, one by one.
        result["default"] = {}
    elif "default" in result and "description" in result:
        # kubectl explain shows no default.
        result["description"] += f" Default: {_said(result['default'])}."
    result = _nested(result, lambda child: _ours(child, definitions))
    if "items" in result and "description" in result:
        # kubectl explain shows both, one after the other.
        result["items"].pop("description", None)
    return _on_core(core_schema(node["x-core"]), result) if "x-core" in node else result


def _said(default: Any) -> str:
    if isinstance(default, list):
        return ", ".join(map(str, default))
    return default if isinstance(default, str) else json.dumps(default)


def _flat(node: Json, definitions: Json) -> Json:
    """Resolve a reference, and a choice: between one thing and null, or between an integer and a string."""
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        return _flat({**target, **{key: value for key, value in node.items() if key != "$ref"}}, definitions)
    choices = [choice for choice in node.get("anyOf", ()) if choice != {"type": "null"}]
    if not choices:
        return node
    merged = {key: value for choice in choices for key, value in choice.items()}
    if len(choices) > 1:
        del merged["type"]
        merged["x-kubernetes-int-or-string"] = True
    return _flat({**merged, **{key: value for key, value in node.items() if key != "anyOf"}}, definitions)


def _on_core(core: Json, ours: Json) -> Json:
    """Lay our own fields over those of a core/v1 type."""
    result = {**core, **ours}
    if "properties" in core:
        result["properties"] = {**core["properties"], **ours.get("properties", {})}
        result["required"] = sorted({*core.get("required", ()), *ours.get("required", ())})
    return result


def _core(node: Json) -> Json:
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        return dict(_ATOMS.get(name) or _core(_definitions()[name]))
    result = {key: value for key, value in node.items() if _is_kept(key) and key not in ("description", "default")}
    if isinstance(result.get("type"), list):
        result["type"] = next(kind for kind in result["type"] if kind != "null")
    result = _nested(result, _core)
    if "protocol" in result.get("x-kubernetes-list-map-keys", ()):
        # The key of a list has to be there.
        result["items"]["properties"]["protocol"]["default"] = "TCP"
    return result


def _nested(node: Json, convert: Callable[[Json], Json]) -> Json:
    result = dict(node)
    for key in ("items", "additionalProperties"):
        if isinstance(result.get(key), dict):
            result[key] = convert(result[key])
    if "properties" in result:
        result["properties"] = {name: convert(child) for name, child in result["properties"].items()}
    return result


def _is_kept(key: str) -> bool:
    return key in _KEPT or (key.startswith("x-kubernetes-") and not key.startswith(_DROPPED_EXTENSIONS))


@cache
def _definitions() -> Json:
    package = resources.files("kubernetes_validate")
    path = package / "kubernetes-json-schema" / CORE_VERSION / "_definitions.json"
    definitions: Json = json.loads(path.read_text())["$defs"]
    return definitions
