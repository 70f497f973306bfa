"""What namespaces hold at one moment, read kind by kind: asking for each workload would take most of the time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from stories.author import Author, Json
from world import World


class View:
    """The workloads of some authors in one namespace."""

    def __init__(self, world: World, kinds: Iterable[str]) -> None:
        self._bodies = {(kind, item["metadata"]["name"]): item for kind in kinds for item in world.list(kind)}

    def of(self, author: Author) -> Json:
        """The workload of one author."""
        return self._bodies[author.kind, author.name]


def generations(world: World) -> Mapping[str, frozenset[str]]:
    """The ReplicaSets of each workload, or the ControllerRevisions of other kinds, by the workload's name."""
    found: dict[str, set[str]] = defaultdict(set)
    for kind in ("ReplicaSet", "ControllerRevision"):
        for item in world.list(kind, "app"):
            found[item["metadata"]["labels"]["app"]].add(item["metadata"]["name"])
    return defaultdict(frozenset, {name: frozenset(names) for name, names in found.items()})
