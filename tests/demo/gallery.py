"""Every example, applied as it is: which policy becomes Ready, and which is blocked, why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from rich.table import Table
from rich.text import Text

from demo.screen import BAD, BUSY, GOOD, Screen
from demo.sight import Json, Sight, condition, is_ready, look
from demo.story import Different
from localcluster import LocalCluster

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMESPACE = "examples"
BLOCKED = {
    "cloud-sql-proxy-job": "TemplateImmutable",
    "convert-legacy": "AdmissionUnavailable",
    "job-with-sidecar": "TemplateImmutable",
}
"""Until admission exists."""


def show(cluster: LocalCluster, screen: Screen) -> None:
    """Apply all examples at once and show what becomes of each; raises Different where one surprises."""
    names = sorted(path.parent.name for path in EXAMPLES.glob("*/policy.yaml"))
    screen.chapter(
        "Every example",
        f"The {len(names)} folders of examples/, in one namespace that enforces the restricted level of Pod Security.",
        f"{len(BLOCKED)} of them cannot be done before there is a webhook, and say so.",
    )
    cluster.create_namespace(NAMESPACE)
    cluster.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    cluster.apply(*_objects(), namespace=NAMESPACE)
    sight = screen.watch(lambda: look(cluster, NAMESPACE), _table, _is_decided, "every example is decided", seconds=90)
    if not screen.is_live:
        screen.show(_table(sight))
    surprises = [name for name in names if _outcome(sight.policies[name]) != BLOCKED.get(name, "Ready")]
    if surprises:
        raise Different(f"these examples are not as expected: {', '.join(surprises)}")


def _objects() -> Iterator[Json]:
    for path in sorted(EXAMPLES.glob("*/*.yaml")):
        for item in yaml.safe_load_all(path.read_text()):
            yield _lasting(item)


def _lasting(item: Json) -> Json:
    """Keep a Job's pods running: simulated ones complete at once, and a finished Job wants nothing any more."""
    if item["kind"] == "Job":
        metadata = item["spec"]["template"].setdefault("metadata", {})
        metadata.setdefault("annotations", {})["sidecarpolicy.test/runs-for"] = "1h"
    return item


def _is_decided(sight: Sight) -> bool:
    return sight.is_settled and all(map(_outcome, sight.policies.values()))


def _outcome(policy: Json) -> str:
    """Return Ready, or why it is blocked; nothing while something is under way."""
    if is_ready(policy):
        return "Ready"
    blocked: list[dict[str, Any]] = policy.get("status", {}).get("blocks", [])
    stalled = condition(policy, "Stalled")["status"] == "True"
    return str(blocked[0]["reason"]) if blocked and stalled else ""


def _table(sight: Sight) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="bold dim", pad_edge=False)
    for column in ("EXAMPLE", "READY", "REASON"):
        table.add_column(column, no_wrap=column != "REASON")
    for name, policy in sight.policies.items():
        table.add_row(name, *_verdict(policy))
    return table


def _verdict(policy: Json) -> tuple[Text, str]:
    ready, outcome = condition(policy, "Ready"), _outcome(policy)
    if outcome in ("", "Ready"):
        return Text(ready["status"], style=GOOD if outcome else BUSY), ready["reason"]
    return Text(ready["status"], style=BAD), f"{outcome}: {policy['status']['blocks'][0]['message']}"
