"""What the API server refuses of a policy beyond types: CEL rules, and bounds that core/v1's own schemas lack.

Every rule has to fit the cost budget of API servers from 1.30 on, which is why the lists that rules walk have bounds,
and why requests above limits are judged by a ValidatingAdmissionPolicy instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sidecarpolicy.api.policy import DNS_LABEL, Json

Rule = tuple[str, str]
"""A CEL expression that has to hold, and what a user reads where it does not."""

_LISTS = ("sidecars", "initContainers", "convert", "volumes", "containers")
_FILLS = ("volumeMounts", "env", "resources", "startupProbe", "readinessProbe", "livenessProbe")
_PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "sleep", "tcpSocket")


def _any(fields: Iterable[str]) -> str:
    return " || ".join(f"has(self.{field})" for field in fields)


def _one_of(fields: Iterable[str]) -> str:
    return f"[{', '.join(f'has(self.{field})' for field in fields)}].exists_one(given, given)"


ASKS: Rule = (
    " || ".join(f"(has(self.{field}) && self.{field}.size() > 0)" for field in _LISTS),
    "the policy asks for nothing: give sidecars, initContainers, convert, volumes or containers",
)
UNIQUE: Rule = (
    "!has(self.sidecars) || !has(self.initContainers)"
    " || self.sidecars.all(s, !self.initContainers.exists(i, i.name == s.name))",
    "a name stands in sidecars and in initContainers: every name may be given once",
)
UNIQUE_CONVERTED: Rule = (
    "!has(self.convert) || self.convert.all(c,"
    " !(has(self.sidecars) && self.sidecars.exists(s, s.name == c.name))"
    " && !(has(self.initContainers) && self.initContainers.exists(i, i.name == c.name)))",
    "a name in convert is also the name of a sidecar or init container: every name may be given once",
)
REQUESTS: Rule = (
    "has(self.resources) && has(self.resources.requests)"
    " && 'cpu' in self.resources.requests && 'memory' in self.resources.requests",
    "set resources.requests.cpu and resources.requests.memory:"
    " without them an autoscaler on utilisation stops for the whole workload",
)
POSITION: Rule = (
    "!(has(self.position) && (has(self.before) || has(self.after)))",
    "give position or before/after, not both",
)
NOT_ITSELF: Rule = (
    "!(has(self.before) && self.name in self.before) && !(has(self.after) && self.name in self.after)",
    "before and after name other containers: remove the container's own name",
)
NO_RESTART_RULES: Rule = (
    "!has(self.restartPolicyRules)",
    "remove restartPolicyRules: a sidecar always restarts",
)
NO_TERMINAL: Rule = (
    "!(has(self.stdin) && self.stdin) && !(has(self.stdinOnce) && self.stdinOnce) && !(has(self.tty) && self.tty)",
    "remove stdin, stdinOnce and tty: nothing can be attached to an injected container",
)
NO_PROBES: Rule = (
    "!has(self.readinessProbe) && !has(self.livenessProbe) && !has(self.startupProbe) && !has(self.lifecycle)",
    "an ordinary init container has no probes and no lifecycle: move it to sidecars or remove them",
)
NO_RESTART_POLICY: Rule = (
    "!has(self.restartPolicy)",
    "remove restartPolicy: what restarts always belongs in sidecars",
)
ONE_HANDLER: Rule = (_one_of(_PROBE_HANDLERS), f"give exactly one of {', '.join(_PROBE_HANDLERS)}")
ONE_HOOK: Rule = (_one_of(_HOOK_HANDLERS), f"give exactly one of {', '.join(_HOOK_HANDLERS)}")
ONE_SUCCESS: Rule = (
    "!has(self.successThreshold) || self.successThreshold == 1",
    "successThreshold of a startup or liveness probe must be 1: remove it",
)
NO_GRACE: Rule = (
    "!has(self.terminationGracePeriodSeconds)",
    "a readiness probe never stops a container: remove terminationGracePeriodSeconds",
)
FILLS: Rule = (
    _any(_FILLS),
    f"this entry gives the containers nothing: set {', '.join(_FILLS[:-1])} or {_FILLS[-1]}",
)
VALUES: Rule = (
    "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
    "operators In and NotIn need values; Exists and DoesNotExist take none",
)
DURATION: Rule = (
    "self.matches('^([0-9]{1,6}(ms|s|m|h))+$') && self.matches('[1-9]')",
    "give a time such as 30s, 10m or 1h30m",
)


_SPEC_RULES: Mapping[str, tuple[Rule, ...]] = {
    "": (ASKS, UNIQUE, UNIQUE_CONVERTED),
    "sidecars[]": (REQUESTS, POSITION, NOT_ITSELF, NO_RESTART_RULES, NO_TERMINAL),
    "initContainers[]": (POSITION, NOT_ITSELF, NO_RESTART_RULES, NO_RESTART_POLICY, NO_TERMINAL, NO_PROBES),
    "convert[]": (POSITION, NOT_ITSELF),
    "containers[]": (FILLS,),
    **{
        f"{field}.{probe}": (ONE_HANDLER, rule)
        for field in ("sidecars[]", "containers[]")
        for probe, rule in (("startupProbe", ONE_SUCCESS), ("livenessProbe", ONE_SUCCESS), ("readinessProbe", NO_GRACE))
    },
    "sidecars[].lifecycle.postStart": (ONE_HOOK,),
    "sidecars[].lifecycle.preStop": (ONE_HOOK,),
    "rollout.progressDeadline": (DURATION,),
}

_PORT: Json = {"minimum": 1, "maximum": 65535}
_PROBE_BOUNDS: Mapping[str, Json] = {
    "httpGet.port": _PORT,
    "httpGet.scheme": {"enum": ["HTTP", "HTTPS"]},
    "tcpSocket.port": _PORT,
    "grpc.port": _PORT,
    "initialDelaySeconds": {"minimum": 0},
    "timeoutSeconds": {"minimum": 0},
    "periodSeconds": {"minimum": 0},
    "successThreshold": {"minimum": 0},
    "failureThreshold": {"minimum": 0},
}
_SPEC_BOUNDS: Mapping[str, Json] = {
    "sidecars[].restartPolicy": {"enum": ["Always"]},
    "volumes[].name": {"maxLength": 63, "pattern": DNS_LABEL},
    **{
        f"{field}.resources.{side}": {"maxProperties": 8}
        for field in ("sidecars[]", "initContainers[]", "containers[]")
        for side in ("requests", "limits")
    },
    **{
        f"{field}.{probe}.{path}": bound
        for field in ("sidecars[]", "containers[]")
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
        for path, bound in _PROBE_BOUNDS.items()
    },
}
_CONTAINER_BOUNDS: Mapping[str, Json] = {
    "": {"required": ["image", "name"]},
    "image": {"minLength": 1, "pattern": r"^\S+$"},
    "imagePullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "terminationMessagePolicy": {"enum": ["File", "FallbackToLogsOnError"]},
    "ports[].containerPort": _PORT,
    "ports[].protocol": {"enum": ["TCP", "UDP", "SCTP"]},
    "ports[].name": {"maxLength": 15, "pattern": DNS_LABEL},
}


def tightened(spec: Json) -> Json:
    """Return the schema of a spec with every rule and bound in its place; the schema given is used up."""
    volume_sources = sorted(spec["properties"]["volumes"]["items"]["properties"].keys() - {"name"})
    one_source = (_one_of(volume_sources), "give a volume exactly one source, such as emptyDir or configMap")
    _add(spec, _SPEC_RULES, _SPEC_BOUNDS)
    _add(spec, {"volumes[]": (one_source,)}, {})
    for field in ("sidecars[]", "initContainers[]"):
        _add(_at(spec, field), {}, _CONTAINER_BOUNDS)
    for field in ("selector", "namespaceSelector"):
        if field in spec["properties"]:
            _add(_at(spec, field), {"matchExpressions[]": (VALUES,)}, {})
    # A fill knows no claims on devices.
    del _at(spec, "containers[].resources")["properties"]["claims"]
    return spec


def _add(schema: Json, rules: Mapping[str, tuple[Rule, ...]], bounds: Mapping[str, Json]) -> None:
    for path, bound in bounds.items():
        _at(schema, path).update(bound)
    for path, found in rules.items():
        _at(schema, path)["x-kubernetes-validations"] = [{"rule": rule, "message": message} for rule, message in found]


def _at(schema: Json, path: str) -> Json:
    """Return the schema of a field, by a path such as `sidecars[].ports[].name`."""
    for step in path.split(".") if path else ():
        schema = schema["properties"][step.removesuffix("[]")]
        if step.endswith("[]"):
            schema = schema["items"]
    return schema
