"""Whether containers fit into the resources that a pod has as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from sidecarpolicy.api import quantity
from sidecarpolicy.api.policy import Json


def exceeded(spec: Json, containers: Sequence[Json], ours: Sequence[Json]) -> str | None:
    """Return the resource of which a pod's containers would have more than the pod itself; None if there is none.

    Kubernetes bounds the sum of the requests, init containers counted as they run, and each container's own limit
    (validatePodResourceConsistency). Of ours it is assumed that they stand where they ask for the most.
    """
    inits = [*ours, *spec.get("initContainers", ())]
    pod = spec["resources"]
    for name, amount in (pod.get("requests") or {}).items():
        if _effective(name, containers, inits) > quantity.parse(amount):
            return str(name)
    for name, amount in (pod.get("limits") or {}).items():
        if any(_amount("limits", name, one) > quantity.parse(amount) for one in (*containers, *ours)):
            return str(name)
    return None


def _effective(name: str, containers: Iterable[Json], inits: Iterable[Json]) -> Decimal:
    sidecars, peak = Decimal(0), Decimal(0)
    for init in inits:
        amount = _amount("requests", name, init)
        if init.get("restartPolicy") == "Always":
            sidecars += amount
        else:
            peak = max(peak, sidecars + amount)
    running = sum((_amount("requests", name, one) for one in containers), sidecars)
    return max(running, peak)


def _amount(side: str, name: str, container: Json) -> Decimal:
    return quantity.parse(((container.get("resources") or {}).get(side) or {}).get(name, 0))
