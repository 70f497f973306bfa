"""What alerts, the dashboard and the README say of metrics, held against what a running operator tells."""

from __future__ import annotations

import json
import re
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families as parsed

from controller.manifests import job, policy
from localcluster import LocalCluster
from localcluster.waiting import until
from running import Operator
from sidecarpolicy.api import names
from sidecarpolicy.api.reasons import BlockReason, ConditionType, FailureReason, Reason
from world import World

Json = dict[str, Any]
Labels = dict[str, frozenset[str]]

ROOT = Path(__file__).parents[1]
OVERLAY = ROOT / "manifests/overlays/prometheus"
OURS = "sidecarpolicy_"
OF_OTHERS = "apiserver_admission_webhook_fail_open_count"
OF_THE_API_SERVER = {OF_OTHERS: frozenset({"name", "type"})}
OF_THE_TARGET = frozenset({"pod"})
"""What Prometheus adds to what it hears."""
WORDS = {
    "type": frozenset(map(str, ConditionType)),
    "level": frozenset({"warning", "error", "critical"}),
    "name": frozenset({names.WEBHOOK}),
    "status": frozenset({"True", "False", "Unknown"}),
    "reason": frozenset(map(str, [*Reason, *BlockReason, *FailureReason])),
}
"""What a label may say, where nothing else knows."""


def rules() -> list[Json]:
    body = yaml.safe_load((OVERLAY / "rules.yaml").read_text())
    return [rule for group in body["spec"]["groups"] for rule in group["rules"]]


def dashboard() -> Json:
    body: Json = json.loads((OVERLAY / "dashboard.json").read_text())
    return body


def queries() -> Iterator[tuple[str, str]]:
    """Every query of the dashboard, with the legend that names its labels."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"].replace("$__rate_interval", "5m"), target.get("legendFormat", "")
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
            assert found is not None
            yield f"sum by ({found[2]}) ({found[1]})", ""


def said_of() -> dict[str, tuple[str, str]]:
    """Every expression, with the text that may name its labels, by where it stands."""
    alerts = {rule["alert"]: (rule["expr"], " ".join(rule["annotations"].values())) for rule in rules()}
    return alerts | {f"dashboard-{number}": each for number, each in enumerate(queries())}


SAID = said_of()


def in_readme() -> Labels:
    """The table of the README: the labels of every metric."""
    rows = re.findall(r"^\| `(sidecarpolicy_\w+)` \| (.*?) ?\|", (ROOT / "README.md").read_text(), re.MULTILINE)
    return {name: frozenset(re.findall(r"\w+", labels)) for name, labels in rows}


def told(operator: Operator) -> Labels:
    """Every metric of a running operator, with the labels of its samples."""
    found: defaultdict[str, frozenset[str]] = defaultdict(frozenset)
    for family in parsed(metrics_of(operator)):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] |= {label for sample in family.samples for label in sample.labels} - {"le"}
    return found


def metrics_of(operator: Operator) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{operator.port}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
    return text


def told_of(operator: Operator, namespace: str) -> dict[str, dict[tuple[str, ...], float]]:
    """What a running operator tells of the policies of a namespace."""
    found: defaultdict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
    for family in parsed(metrics_of(operator)):
        for sample in family.samples:
            labels = dict(sample.labels)
            if labels.pop("policy_namespace", None) == namespace and sample.value:
                found[sample.name.removeprefix(OURS)][tuple(labels.values())] = sample.value
    return found


def nodes(expression: str) -> list[promql_parser.Expr]:
    """An expression and all of its parts; ValueError where it is none."""
    found: list[promql_parser.Expr] = []

    def visit(node: promql_parser.Expr) -> bool:
        found.append(node)
        return True

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


def named(expression: str) -> list[tuple[str, list[promql_parser.Matcher]]]:
    """The metrics that an expression asks for, as they are declared, with what it asks of their labels."""
    selectors = [node for node in nodes(expression) if isinstance(node, promql_parser.VectorSelector)]
    return [((one.name or "").removesuffix("_bucket"), one.matchers.matchers) for one in selectors]


def kept(expression: str) -> set[str]:
    """The labels that an expression groups or joins by."""
    found: set[str] = set()
    for node in nodes(expression):
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            found |= set(node.modifier.labels)
        if isinstance(node, promql_parser.BinaryExpr) and node.modifier and node.modifier.matching:
            found |= set(node.modifier.matching.labels)
    return found - {"le"}


@pytest.mark.parametrize(("expression", "text"), [pytest.param(*each, id=name) for name, each in SAID.items()])
def test_what_is_asked_for_is_told(operator: Operator, expression: str, text: str) -> None:
    metrics, known = named(expression), {**told(operator), **in_readme(), **OF_THE_API_SERVER}
    labels = frozenset[str]().union(OF_THE_TARGET, *(known[metric] for metric, _ in metrics))
    matchers = [(metric, each) for metric, asked in metrics for each in asked]

    assert metrics
    assert [each.name for metric, each in matchers if each.name not in known[metric]] == []
    assert kept(expression) <= labels
    assert {name for pair in re.findall(r"\$labels\.(\w+)|{{(\w+)}}", text) for name in pair if name} <= labels


@pytest.mark.parametrize("expression", [pytest.param(each[0], id=name) for name, each in SAID.items()])
def test_what_labels_are_compared_with_is_a_word_of_ours(expression: str) -> None:
    asked = [each for _, matchers in named(expression) for each in matchers if each.name in WORDS]
    unknown = {word for each in asked for word in each.value.split("|") if word not in WORDS[each.name]}

    assert unknown == set()


@pytest.mark.parametrize("rule", [pytest.param(each, id=each["alert"]) for each in rules()])
def test_an_alert_says_what_is_wrong_and_what_to_do(rule: Json) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"].keys() == {"summary", "description"}
    assert rule["annotations"]["summary"].endswith(".")


def test_the_readme_lists_what_is_told(operator: Operator) -> None:
    ours = {name: labels for name, labels in told(operator).items() if name.startswith(OURS)}
    listed = in_readme()

    assert ours.keys() == listed.keys()
    # Of what has not happened to this operator, no label is told.
    assert {name: listed[name] for name, labels in ours.items() if labels} == {
        name: labels for name, labels in ours.items() if labels
    }


def test_policies_are_told_of_while_they_are_there(world: World, operator: Operator) -> None:
    world.apply(job(), policy())
    stalled = ("log-shipper", "Blocked", "True", "Stalled")
    until(lambda: stalled in told_of(operator, world.namespace)["policy_condition"])
    ours = told_of(operator, world.namespace)

    assert ours["workloads"] == {("log-shipper", "blocked"): 1}
    assert ours["workloads_blocked"] == {("log-shipper", "TemplateImmutable"): 1}

    world.delete("SidecarPolicy", "log-shipper")
    until(lambda: not told_of(operator, world.namespace))


def test_the_api_server_tells_of_whom_it_does_not_reach(world: World) -> None:
    configuration = webhook_that_is_not_there(world.namespace)
    world.cluster.kubectl("apply", "--filename=-", stdin=json.dumps(configuration))
    try:
        until(lambda: fails_open(world))
        [labels] = fails_open(world)
    finally:
        world.cluster.kubectl("delete", "mutatingwebhookconfiguration", world.namespace)

    assert {OF_OTHERS: frozenset(labels)} == OF_THE_API_SERVER


def webhook_that_is_not_there(namespace: str) -> Json:
    webhook = {
        "name": f"{namespace}.sidecarpolicy.dev",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Ignore",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration"}
    return {**kind, "metadata": {"name": namespace}, "webhooks": [webhook]}


def fails_open(world: World) -> list[dict[str, str]]:
    """Create something, and return the labels of what the API server tells of the webhook that it should have asked."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "one-"}}
    world.create(body)
    text = world.cluster.kubectl("get", "--raw=/metrics")
    [lines] = [list(family.samples) for family in parsed(text) if family.name == OF_OTHERS] or [[]]
    return [sample.labels for sample in lines if sample.labels["name"] == f"{world.namespace}.sidecarpolicy.dev"]


def test_the_overlay_finds_our_pods_and_port(cluster: LocalCluster) -> None:
    rendered = yaml.load_all(cluster.kubectl("kustomize", str(OVERLAY)), Loader=yaml.CSafeLoader)
    by_kind = {item["kind"]: item for item in rendered if item["metadata"]["name"].startswith("sidecarpolicy")}
    monitor, template = by_kind["PodMonitor"]["spec"], by_kind["Deployment"]["spec"]["template"]
    ports = {port["name"] for container in template["spec"]["containers"] for port in container["ports"]}

    assert monitor["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert monitor["jobLabel"] in template["metadata"]["labels"]
    assert {endpoint["port"] for endpoint in monitor["podMetricsEndpoints"]} <= ports
    assert json.loads(by_kind["ConfigMap"]["data"]["dashboard.json"]) == dashboard()
    assert "PrometheusRule" in by_kind
