"""How the operator answers admission while it injects workloads and renews its certificate."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
import urllib.request
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from prometheus_client.parser import text_string_to_metric_families as parsed

import running
from admission.reviews import review
from bench import load
from bench.calls import DRY_RUNS, Plan, Seen, create, is_injected
from bench.connection import Json
from bench.process import give_way
from bench.rolls import POLICIES, Turns
from bench.settling import listed
from running import Operator
from sidecarpolicy.admission.bundle import Bundle
from sidecarpolicy.admission.certificates import make_serving
from sidecarpolicy.api import names
from sidecarpolicy.api.webhook import installed_configuration

RATE = 200
WITHIN = 0.01
"""Seconds that one request may take in the handler: also a limit of the histogram that the operator keeps."""

_HOST = f"{names.WEBHOOK_SERVICE}.{names.NAMESPACE}.svc"
_SECRET = f"/api/v1/namespaces/{names.NAMESPACE}/secrets/{names.WEBHOOK_SECRET}"
_SERVICES = f"/api/v1/namespaces/{names.NAMESPACE}/services"
_CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
_UNASKED = "kube-public"
"""A namespace about which the API server does not ask."""
_CREATES = 200
_REVIEWS = 50
_DUE = timedelta(days=20)
"""What is left of a certificate that is to be renewed at once."""
_LOADED = '"certificate loaded"'
_PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class Admission:
    """What was seen; times in seconds."""

    seconds: float
    rate: float
    """Requests answered in a second, those that the API server asked itself among them."""
    wrong: list[str]
    """Requests that got no answer or not the patch that was due, and how."""
    in_handler: float
    """Share of them that took the handler no longer than `WITHIN`."""
    own_p99: float
    wall_p99: float
    certificates: int
    """Loaded meanwhile: the one that is due, and the one that follows it, when the operator looks once a minute."""
    injected: float
    """Templates written meanwhile, by workload."""
    create: float
    """Median of a create of which the API server asks us."""
    create_alone: float
    """Median of one of which it does not."""

    @property
    def slower(self) -> float:
        """What admission adds to a create."""
        return self.create - self.create_alone


async def measure(turns: Turns, seconds: float) -> Admission:
    """Inject the load over and over while admission is asked."""
    port = running.free_port()
    await _lead_to(turns, port)
    # In a cluster, what the operator requests is kept for it; here all of the control plane wants the same processors.
    give_way(turns.cluster.directory)
    async with turns.operator("--webhook-port", str(port)) as operator:
        await turns.inject(operator)
        await _until_asked(turns)
        asked, alone = await _creates(turns)
        plan = await _plan(turns, operator, port, seconds)
        await _make_due(turns)
        loaded, before, generations = operator.log.count(_LOADED), _within(operator), await turns.generations()
        rolling = asyncio.create_task(_inject_over_and_over(turns))
        seen = await _called(plan, turns.scratch / "calls.json")
        rolling.cancel()
        after = _within(operator)
        injected = (await turns.generations() - generations) / turns.count
        loaded = operator.log.count(_LOADED) - loaded
        await turns.restore(operator)
    await _take_away(turns)
    within, answered = (late - early for late, early in zip(after, before, strict=True))
    return Admission(
        seconds=seconds,
        rate=answered / seconds,
        wrong=seen.wrong,
        in_handler=within / answered,
        own_p99=_p99(seen.owns),
        wall_p99=_p99(seen.walls),
        certificates=loaded,
        injected=injected,
        create=asked,
        create_alone=alone,
    )


async def _lead_to(turns: Turns, port: int) -> None:
    """Have the API server call the operator as the manifests say, but for the Service: there is no network of pods."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": names.WEBHOOK_SERVICE},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }
    await turns.admin.request("DELETE", f"{_SERVICES}/{names.WEBHOOK_SERVICE}")
    await turns.admin.request("POST", _SERVICES, service)
    configuration = installed_configuration()
    configuration["webhooks"][0]["clientConfig"]["service"]["port"] = port
    await turns.admin.request("POST", _CONFIGURATIONS, configuration)


async def _take_away(turns: Turns) -> None:
    await turns.admin.request("DELETE", f"{_CONFIGURATIONS}/{names.WEBHOOK_CONFIGURATION}")


async def _until_asked(turns: Turns) -> None:
    while not is_injected(await create(turns.admin, _new(0))):
        await asyncio.sleep(_PAUSE)


async def _creates(turns: Turns) -> tuple[float, float]:
    """Return the medians of creates, with and without us being asked, taken in turns."""
    times: list[list[float]] = [[], []]
    for number in range(_CREATES):
        for place, namespace in enumerate((load.namespaces()[0], _UNASKED)):
            body = _new(number)
            body["metadata"]["namespace"] = namespace
            began = time.monotonic()
            await create(turns.admin, body)
            times[place].append(time.monotonic() - began)
    return median(times[0]), median(times[1])


async def _plan(turns: Turns, operator: Operator, port: int, seconds: float) -> Plan:
    """Ask about workloads that are new, and about updates that would wipe our part of those that are there."""
    bodies, _ = await listed(turns.admin)
    reviews = [review(_new(number), namespace=_new(number)["metadata"]["namespace"]) for number in range(_REVIEWS)]
    reviews += [
        review(_wiped(body), "UPDATE", body, namespace=body["metadata"]["namespace"]) for body in bodies[:_REVIEWS]
    ]
    for number, each in enumerate(reviews):
        each["request"]["uid"] = str(number)
    return Plan(
        kubeconfig=str(turns.cluster.kubeconfig),
        pid=operator.pid,
        port=port,
        host=_HOST,
        trust=(await _secret(turns))["ca.crt"].decode(),
        rate=RATE - DRY_RUNS,
        seconds=seconds,
        reviews=reviews,
        dry_runs=[_new(number) for number in range(_REVIEWS)],
    )


def _new(number: int) -> Json:
    body = load.deployment(number, load.MANY)
    body["metadata"]["name"] = f"new-{number}"
    return body


def _wiped(body: Json) -> Json:
    template = body["spec"]["template"]
    spec = {**template["spec"], "initContainers": None}
    return {**body, "spec": {**body["spec"], "template": {**template, "spec": spec}}}


async def _secret(turns: Turns) -> dict[str, bytes]:
    found = await turns.admin.request("GET", _SECRET)
    return {key: base64.b64decode(value) for key, value in found["data"].items()}


async def _make_due(turns: Turns) -> None:
    """Put a certificate of the same authority into the Secret that is to be renewed when the operator looks."""
    bundle = Bundle.read(await _secret(turns))
    serving = make_serving(bundle.authority, [_HOST], _DUE, datetime.now(UTC))  # noqa: TID251 - the real clock
    data = {key: base64.b64encode(value).decode() for key, value in replace(bundle, serving=serving).data.items()}
    await turns.admin.request("PATCH", _SECRET, {"data": data}, "application/merge-patch+json")


def _within(operator: Operator) -> tuple[float, float]:
    """Return how many requests the handler answered in time so far, and how many at all."""
    with urllib.request.urlopen(f"http://127.0.0.1:{operator.port}/metrics") as answer:
        text = answer.read().decode()
    [histogram] = [one for one in parsed(text) if one.name == "sidecarpolicy_admission_duration_seconds"]
    counts = {sample.labels.get("le", sample.name): sample.value for sample in histogram.samples}
    return counts[str(WITHIN)], counts["+Inf"]


async def _inject_over_and_over(turns: Turns) -> None:
    """Change what the policy asks whenever everybody carries it, back and forth."""
    path, asked = f"{POLICIES}/{load.POLICY}", (turns.turn + 1, turns.turn)
    while True:
        for turn in asked:
            patch = {"spec": load.policy(turn)["spec"]}
            changed = await turns.admin.request("PATCH", path, patch, "application/merge-patch+json")
            await turns.wait_until_ready(changed)


async def _called(plan: Plan, path: Path) -> Seen:
    path.write_text(json.dumps(asdict(plan)))
    command = [sys.executable, "-m", "bench.calls", str(path)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the caller ended with {process.returncode}")
    return Seen(**json.loads(output))


def _p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]
