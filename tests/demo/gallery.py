"""Every example, applied as it is: each policy becomes Ready."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml
from rich.table import Table
from rich.text import Text

from demo.screen import BUSY, GOOD, Screen
from demo.sight import Json, Sight, condition, is_ready, look
from localcluster import LocalCluster

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMESPACE = "examples"


def show(cluster: LocalCluster, screen: Screen) -> None:
    """Apply all examples and show how each policy becomes Ready; raises Late where one does not."""
    names = sorted(path.parent.name for path in EXAMPLES.glob("*/policy.yaml"))
    screen.chapter(
        "Every example",
        f"The {len(names)} folders of examples/, in one namespace that enforces the restricted level of Pod Security:"
        " the policies first, then the workloads.",
    )
    cluster.create_namespace(NAMESPACE)
    cluster.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    cluster.apply(*_objects("policy.yaml"), namespace=NAMESPACE)
    cluster.kubectl("wait", f"--namespace={NAMESPACE}", "--for=condition=Accepted", "sidecarpolicies", "--all")
    cluster.apply(*_objects("workload.yaml"), namespace=NAMESPACE)
    sight = screen.watch(lambda: look(cluster, NAMESPACE), _table, _is_done, "every example is Ready", seconds=90)
    if not screen.is_live:
        screen.show(_table(sight))


def _objects(file: str) -> Iterator[Json]:
    for path in sorted(EXAMPLES.glob(f"*/{file}")):
        yield from yaml.safe_load_all(path.read_text())


def _is_done(sight: Sight) -> bool:
    jobs = [one.body for one in sight.workloads.values() if one.body["kind"] == "Job"]
    completed = all(body.get("status", {}).get("succeeded") == 1 for body in jobs)
    return completed and sight.is_settled and all(map(_has_acted, sight.policies.values()))


def _has_acted(policy: Json) -> bool:
    return is_ready(policy) and condition(policy, "WorkloadsUpToDate")["reason"] == "UpToDate"


def _table(sight: Sight) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="bold dim", pad_edge=False)
    for column in ("EXAMPLE", "READY", "REASON", "MESSAGE"):
        table.add_column(column, no_wrap=column != "MESSAGE")
    for name, policy in sight.policies.items():
        ready = condition(policy, "Ready")
        status = Text(ready["status"], style=GOOD if _has_acted(policy) else BUSY)
        table.add_row(name, status, ready["reason"], Text(ready.get("message", "")))
    return table
