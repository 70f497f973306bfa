"""The head on its own: what it wants of the load, and how many workloads a second it judges."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.connection import Json
from bench.load import LABEL
from sidecarpolicy.planning.assess import Asking, assess
from sidecarpolicy.planning.patch import Change
from sidecarpolicy.planning.policy import Policy, read_policy
from sidecarpolicy.planning.trust import History


def asking(policy: Json | None, before: Json | None = None) -> Asking:
    """Return what one policy asks; what `before` asked is known, so that it can be taken away."""
    known = [_read(one) for one in (policy, before) if one is not None]
    history = History(
        {one.revision: one.content for one in known}, {one.revision: frozenset({one.ref}) for one in known}
    )
    return Asking(policies=(_read(policy),) if policy else (), history=history, server=(1, 36))


def _read(policy: Json) -> Policy:
    return read_policy(
        {**policy, "metadata": {**policy["metadata"], "uid": policy["metadata"]["name"], "generation": 1}}
    )


def changes(bodies: Iterable[Json], asked: Asking) -> Iterator[Change]:
    """Yield the change of every workload that needs one."""
    for body in bodies:
        found = assess(body, asked, LABEL)
        if found is not None and found.change is not None:
            yield found.change


def write(path: Path, wanted: Iterable[Change]) -> int:
    """Write the patches of changes for the bare loop to send; return how many."""
    lines = [json.dumps({"path": _path(change), "body": change.body.decode()}) for change in wanted]
    path.write_text("\n".join(lines))
    return len(lines)


def _path(change: Change) -> str:
    return f"/apis/apps/v1/namespaces/{change.ref.namespace}/deployments/{change.ref.name}"


def speed(bodies: list[Json], asked: Asking) -> float:
    """Return how many workloads are judged and their patches written in a second."""
    began = time.perf_counter()
    found = sum(1 for _ in changes(bodies, asked))
    return found / (time.perf_counter() - began)
