"""The story in chapters; what should be true at the end of each is checked, not only shown."""

from __future__ import annotations

import difflib
import json
from pathlib import Path

import yaml

from demo.screen import Screen, Until, scene
from demo.sight import Sight, Workload, condition, is_ready, look
from localcluster import LocalCluster

SCENES = Path(__file__).parent / "scenes"
SHOP = "shop"
POLICY = "log-shipper"
RIVAL = "vector-shipper"
JOB = "job/stock-import"
NEW_DEPLOYMENT = "deployment/gifts"
NEW_JOB = "job/gift-export"
SHOWN = "deployment/catalog"


class Different(Exception):  # noqa: N818 - what happened, in one word
    """The cluster is not as the story says."""


class Story:
    """One telling, in one cluster."""

    def __init__(self, cluster: LocalCluster, screen: Screen) -> None:
        self._cluster = cluster
        self._screen = screen

    def tell(self) -> None:
        """Tell all of it; raises Different or Late where the world does not follow."""
        before = self._others_run_workloads()
        self._a_policy_is_applied()
        after = self._workloads_roll_out()
        self._what_there_is_now(before, after)
        self._what_is_new()
        self._what_cannot_be()
        self._the_policy_goes(before)

    def _watch(self, until: Until, what: str) -> Sight:
        return self._screen.watch(lambda: look(self._cluster, SHOP), scene, until, what)

    def _apply(self, scene: str) -> str:
        return self._cluster.kubectl("apply", f"--namespace={SHOP}", f"--filename={SCENES / scene}")

    def _others_run_workloads(self) -> Sight:
        self._screen.chapter(
            "Other teams run their workloads",
            "Four carry the label [bold]logs=shipped[/], intranet and a Job do not. Nobody knows of sidecars yet.",
        )
        self._cluster.create_namespace(SHOP)
        self._apply("shop.yaml")
        return self._watch(lambda sight: sight.is_settled, "the workloads run")

    def _a_policy_is_applied(self) -> None:
        self._screen.chapter("The platform team applies one object")
        self._screen.yaml((SCENES / "log-shipper.yaml").read_text())
        self._screen.command("kubectl apply -f log-shipper.yaml", self._apply("log-shipper.yaml"))

    def _workloads_roll_out(self) -> Sight:
        self._screen.chapter(
            "The workloads roll out, two at a time",
            "Each by its own controller's rolling update. The policy says Ready only when pods run what it asks.",
        )
        return self._watch(
            lambda sight: sight.is_settled and is_ready(sight.policies[POLICY]), f"{POLICY} becomes Ready"
        )

    def _what_there_is_now(self, before: Sight, after: Sight) -> None:
        self._screen.chapter("What there is now", f"One change of each template. The one of {SHOWN}:")
        self._screen.yaml(_difference(before.workloads[SHOWN], after.workloads[SHOWN]), "diff")
        for line in (f"get pods -n {SHOP}", f"get sidecarpolicies -n {SHOP}"):
            self._screen.command(f"kubectl {line}", self._cluster.kubectl(*line.split()))
        for name, one in after.workloads.items():
            selected = "logs" in one.body["metadata"]["labels"]
            _expect(("+shipper" in one.containers) == selected, f"{name} has {', '.join(one.containers)}")

    def _what_is_new(self) -> None:
        self._screen.chapter(
            "What is new is born with it",
            "A team applies a Deployment and a Job as it always did, and the API server asks the operator while it"
            " creates them. The Deployment makes one ReplicaSet, not two; the Job completes, and its sidecar stops.",
        )
        self._apply("newcomers.yaml")
        sight = self._watch(_are_there, "the Deployment runs and the Job is complete")
        line = f"get replicasets,jobs,pods -n {SHOP} -l team=gifts"
        shown = self._cluster.kubectl(*line.split())
        self._screen.command(f"kubectl {line}", shown.replace("\n\n", "\n"))
        made = [row for row in shown.splitlines() if row.startswith("replicaset.apps/gifts-")]
        _expect(len(made) == 1, f"{NEW_DEPLOYMENT} has made {len(made)} ReplicaSets")
        for name in (NEW_DEPLOYMENT, NEW_JOB):
            containers = sight.workloads[name].containers
            _expect(containers[0] == "+shipper", f"{name} has {', '.join(containers)}")

    def _what_cannot_be(self) -> None:
        self._screen.chapter(
            "What cannot be is said",
            "A Job that runs already gets the label, and another policy brings a sidecar of the same name:",
        )
        self._screen.yaml((SCENES / "rival.yaml").read_text())
        self._cluster.kubectl("label", f"--namespace={SHOP}", JOB, "logs=shipped")
        self._apply("rival.yaml")
        sight = self._watch(_is_said, "the Job and the conflict are reported")
        for one in sight.policies[POLICY]["status"]["blocks"]:
            self._screen.say(f"[red]blocked[/] {one['reason']}: {one['message']}")
        self._screen.say("", "The Job ends, the other policy is withdrawn:")
        self._cluster.kubectl("delete", f"--namespace={SHOP}", JOB, f"sidecarpolicy/{RIVAL}")
        self._watch(lambda now: is_ready(now.policies[POLICY]), f"{POLICY} is Ready again")

    def _the_policy_goes(self, before: Sight) -> None:
        self._screen.chapter("The policy goes, and so does all that it added")
        deleted = self._cluster.kubectl("delete", f"--namespace={SHOP}", "--wait=false", "sidecarpolicy", POLICY)
        self._screen.command(f"kubectl delete -n {SHOP} --wait=false sidecarpolicy {POLICY}", deleted)
        after = self._watch(lambda sight: sight.is_settled and not sight.policies, "the workloads are restored")
        self._screen.say("Compared with chapter 1, as the API server has them:")
        for name, one in after.workloads.items():
            if name in before.workloads:
                self._compare(before.workloads[name], one)
        if any(name.startswith("job/") for name in after.workloads):
            self._screen.say("A Job keeps what it has until it ends, since nobody can change its template.")

    def _compare(self, before: Workload, after: Workload) -> None:
        same_template = json.dumps(before.template) == json.dumps(after.template)
        _expect(same_template, f"{after.name} is not as it was:\n{_difference(before, after)}")
        _expect(before.revisions == after.revisions, f"{after.name} has pods of {after.revisions}")
        size, revision = len(json.dumps(after.template)), ", ".join(after.revisions)
        self._screen.say(f"[green]✓[/] {after.name:20} same template, {size} bytes; pods of {revision}")


def _are_there(sight: Sight) -> bool:
    job = sight.workloads.get(NEW_JOB)
    completed = job is not None and job.body.get("status", {}).get("succeeded") == 1
    return completed and sight.is_settled and is_ready(sight.policies[POLICY])


def _is_said(sight: Sight) -> bool:
    policies = sight.policies
    conflicted = [condition(policies[name], "Conflicted")["status"] == "True" for name in (POLICY, RIVAL)]
    return all(conflicted) and bool(policies[POLICY]["status"].get("blocks"))


def _difference(before: Workload, after: Workload) -> str:
    old, new = (yaml.safe_dump(one.template, sort_keys=False).splitlines() for one in (before, after))
    return "\n".join(list(difflib.unified_diff(old, new, lineterm="", n=1))[2:])


def _expect(fact: object, otherwise: str) -> None:
    if not fact:
        raise Different(otherwise)
