"""Namespaces as they come and go: their labels, which cluster-wide policies select by."""

from __future__ import annotations

from dataclasses import dataclass, field

from sidecarpolicy.api.policy import Json
from sidecarpolicy.planning.selection import Labels


@dataclass(slots=True)
class Namespaces:
    """The labels of every namespace, and whose workloads were told of before it was.

    A namespace that is not known has unknown labels, not none: a selector may well ask for the absence of a label.
    """

    _known: dict[str, tuple[str, Labels]] = field(default_factory=dict)
    """The uid, since a name comes back, and the labels."""
    _awaited: set[str] = field(default_factory=set)

    def labels(self, name: str) -> Labels | None:
        """Return a namespace's labels; None where it has yet to be told of, and is awaited from now on."""
        known = self._known.get(name)
        if known is None:
            self._awaited.add(name)
            return None
        return known[1]

    def put(self, body: Json) -> bool:
        """Know a namespace; tell whether its workloads were looked at with other labels."""
        metadata = body["metadata"]
        before = self._known.get(metadata["name"])
        self._known[metadata["name"]] = (metadata["uid"], metadata.get("labels") or {})
        return before is not None and before[1] != self._known[metadata["name"]][1]

    def is_awaited(self, name: str) -> bool:
        """Tell, once, whether workloads of a namespace were passed over since it was not known."""
        awaited = name in self._awaited
        self._awaited.discard(name)
        return awaited

    def drop(self, body: Json) -> None:
        """Know a namespace no more; one that has its name by now stays."""
        metadata = body["metadata"]
        if self._known.get(metadata["name"], ("", {}))[0] == metadata["uid"]:
            del self._known[metadata["name"]]
