"""Containers of the app that become native sidecars, and the way back."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sidecarpolicy.api.policy import Json
from sidecarpolicy.planning.authorship import Author
from sidecarpolicy.planning.template import merge


def take(spec: Json, names: Collection[str]) -> tuple[Json, dict[str, Json], dict[str, tuple[str, ...]]]:
    """Return the pod spec without these containers, each as a sidecar, and the names that stood before each."""
    order = [container["name"] for container in spec["containers"]]
    taken = {
        container["name"]: {**container, "restartPolicy": "Always"}
        for container in spec["containers"]
        if container["name"] in names
    }
    before = {name: tuple(order[: order.index(name)]) for name in taken}
    rest = [container for container in spec["containers"] if container["name"] not in taken]
    return {**spec, "containers": rest}, taken, before


def restore(spec: Json, converted: Mapping[str, tuple[str, ...]], author: Author) -> Json:
    """Return the pod spec with converted containers back in their places, as their author has them now.

    One that the author removed since is gone; one that the author lists among the init containers stays there.
    """
    if not converted:
        return spec
    init = list(spec.get("initContainers", ()))
    containers = list(spec["containers"])
    for name in sorted(converted, key=lambda name: len(converted[name])):
        sidecar = next((container for container in init if container["name"] == name), None)
        if sidecar is None or author.lists("initContainers", name):
            continue
        init.remove(sidecar)
        if not author.removed(name) and all(container["name"] != name for container in containers):
            app = {key: value for key, value in sidecar.items() if key != "restartPolicy"}
            containers.insert(_place(containers, converted[name]), app)
    return merge.with_list({**spec, "containers": containers}, "initContainers", init)


def _place(containers: list[Json], before: tuple[str, ...]) -> int:
    places = [index for index, container in enumerate(containers) if container["name"] in before]
    return max(places, default=-1) + 1
