"""What a namespace looks like right now: objects read and changed over one connection, without a kubectl for each."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from localcluster import LocalCluster
from localcluster.connection import JSON, MERGE, RefusedError, if_there
from localcluster.waiting import until
from sidecarpolicy.cluster.resources import RESOURCES

Json = dict[str, Any]

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_OTHERS = {
    "ReplicaSet": "/apis/apps/v1/{}/replicasets",
    "ConfigMap": "/api/v1/{}/configmaps",
    "Secret": "/api/v1/{}/secrets",
    "Service": "/api/v1/{}/services",
    "ServiceAccount": "/api/v1/{}/serviceaccounts",
}


class World:
    """One namespace of one cluster, as its admin sees it."""

    def __init__(self, cluster: LocalCluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self._connection = cluster.connect()

    def apply(self, *objects: Json) -> None:
        """Apply objects as a user would with `kubectl apply`, which takes long to begin: what is new needs none."""
        for number, body in enumerate(objects):
            if not self._creates(body):
                self.cluster.apply(*objects[number:], namespace=self.namespace)
                return

    def _creates(self, body: Json) -> bool:
        """Create an object as `kubectl apply` does; False where there is one, or where it is not of a kind we know."""
        if body["kind"] not in {*RESOURCES, *_OTHERS}:
            return False
        metadata = {"annotations": {}, **body["metadata"]}
        if body["kind"] in _OTHERS or RESOURCES[body["kind"]].namespaced:
            metadata["namespace"] = self.namespace
        last = json.dumps({**body, "metadata": metadata}, separators=(",", ":"), sort_keys=True) + "\n"
        annotations = {**metadata["annotations"], _LAST_APPLIED: last}
        path = f"{self._path(body['kind'])}?fieldManager=kubectl-client-side-apply&fieldValidation=Strict"
        try:
            self.ask("POST", path, {**body, "metadata": {**metadata, "annotations": annotations}})
        except RefusedError as refused:
            if refused.code != http.client.CONFLICT:
                raise
            return False
        return True

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in this namespace."""
        return self.cluster.kubectl(*arguments, f"--namespace={self.namespace}", stdin=stdin)

    def create(self, body: Json) -> Json:
        """Create an object, faster than kubectl does."""
        return self.ask("POST", self._path(body["kind"]), body)

    def get(self, kind: str, name: str) -> Json:
        """Return an object as the API server has it."""
        return self.ask("GET", self._path(kind, name))

    def find(self, kind: str, name: str) -> Json | None:
        """Return an object, or None where there is none."""
        with if_there():
            return self.get(kind, name)
        return None

    def list(self, kind: str, selector: str = "") -> list[Json]:
        """Return all objects of a kind."""
        query = f"?{urlencode({'labelSelector': selector})}" if selector else ""
        items: list[Json] = self.ask("GET", self._path(kind) + query)["items"]
        return [{"kind": kind, **item} for item in items]

    def patch(self, kind: str, name: str, body: Json, subresource: str = "") -> Json:
        """Merge a patch into an object, as `kubectl patch --type=merge` does."""
        tail = f"/{subresource}" if subresource else ""
        return self.ask("PATCH", f"{self._path(kind, name)}{tail}?fieldManager=kubectl-patch", body, MERGE)

    def delete(self, kind: str, name: str) -> None:
        """Delete an object; its finalizers are not waited for."""
        self.ask("DELETE", self._path(kind, name), {"propagationPolicy": "Background"})

    def ask(self, method: str, path: str, body: Json | None = None, kind: str = JSON) -> Json:
        """Send one request and return the answer."""
        return self._connection.ask(method, path, body, kind)

    def _path(self, kind: str, name: str = "") -> str:
        if kind in _OTHERS:
            path = _OTHERS[kind].format(f"namespaces/{self.namespace}")
            return f"{path}/{name}" if name else path
        return RESOURCES[kind].path(self.namespace, name or None)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    # What policies say.

    def until_says(self, policy: str, **conditions: str) -> Json:
        """Wait until conditions of a policy are as given, each as its status or its reason, and return the policy."""
        return self.until_policy(policy, lambda body: says(body, conditions))

    def until_policy(self, name: str, fact: Callable[[Json], Any], kind: str = "SidecarPolicy") -> Json:
        """Wait until a policy's status is of its newest spec and `fact` holds of it."""
        last: Json = {}

        def holds() -> bool:
            last.clear()
            last.update(self.get(kind, name))
            return is_current(last) and bool(fact(last))

        try:
            until(holds)
        except AssertionError:
            raise AssertionError(f"{name} says {json.dumps(last.get('status'), indent=1)}") from None
        return last

    def until_ready(self, *policies: str) -> None:
        """Wait until policies are Ready, as a user does with `kubectl wait`."""
        for name in policies:
            self.until_says(name, Ready="True")


def is_current(policy: Json) -> bool:
    """Tell whether every condition is about the newest spec."""
    conditions = (policy.get("status") or {}).get("conditions") or []
    generation = policy["metadata"]["generation"]
    return bool(conditions) and all(one["observedGeneration"] == generation for one in conditions)


def condition(policy: Json, kind: str) -> Json:
    """Return a condition of a policy; empty where it has none."""
    conditions = (policy.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == kind), {})


def says(policy: Json, wanted: Mapping[str, str]) -> bool:
    """Tell whether conditions have these statuses or reasons."""
    found = {kind: condition(policy, kind) for kind in wanted}
    return all(value in (found[kind].get("status"), found[kind].get("reason")) for kind, value in wanted.items())
