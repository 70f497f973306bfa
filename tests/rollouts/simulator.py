"""A tiny cluster of values: the loop without a network, workloads that settle, stall or crash as they are told to.

Every turn is what a pass of the operator does (assess, next wave, write) and then what the cluster does: some of the
workloads that replace pods move on, in a fixed order or in one drawn from a seed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from builders import NOW, asking, settle
from serving import written
from sidecarpolicy.api.reasons import FailureReason
from sidecarpolicy.planning.asking import Asking
from sidecarpolicy.planning.assess import Assessment, Standing, assess
from sidecarpolicy.planning.pods import Failing, Look, Sound, Starting
from sidecarpolicy.planning.policy import Policy, PolicyRef
from sidecarpolicy.planning.progress import Stage, progress
from sidecarpolicy.planning.rollout import limit, next_wave
from sidecarpolicy.planning.status import Acceptance, Row, describe
from sidecarpolicy.planning.workload import Ref, ref_of, template_of

Json = dict[str, Any]

TURN = timedelta(seconds=10)


class Fate(Enum):
    """What becomes of a workload whose template was changed."""

    SETTLES = "settles"
    STALLS = "stalls"
    CRASHES = "crashes"


def everything_settles(body: Json) -> Fate:
    """Nothing goes wrong."""
    del body
    return Fate.SETTLES


@dataclass
class Cluster:
    """The workloads, the policies, and a story of what happened."""

    workloads: dict[Ref, Json]
    policies: dict[PolicyRef, Json]
    fate: Callable[[Json], Fate] = everything_settles
    dice: random.Random | None = None
    now: datetime = NOW
    story: list[str] = field(default_factory=list)
    writes: Counter[Ref] = field(default_factory=Counter)
    statuses: dict[PolicyRef, Json] = field(default_factory=dict)
    _earlier: list[Json] = field(default_factory=list)
    _left: dict[Ref, frozenset[PolicyRef]] = field(default_factory=dict)

    def ask(self, *bodies: Json) -> None:
        """Apply policies: new ones, or new specs of those that are there."""
        for body in bodies:
            metadata = body["metadata"]
            ref = PolicyRef(metadata.get("namespace", ""), metadata["name"])
            verb = "changes" if ref in self.policies else "comes"
            self.policies[ref] = body
            self._earlier.append(body)
            self.story.append(f"{ref} {verb}")

    def remove(self, ref: PolicyRef) -> None:
        """Delete a policy."""
        body = self.policies[ref]
        going = {**body["metadata"], "deletionTimestamp": "2026-11-21T09:00:00Z"}
        self.policies[ref] = {**body, "metadata": going}
        self.story.append(f"{ref} is deleted")

    @property
    def asking(self) -> Asking:
        """What is asked now."""
        return asking(*self.policies.values(), earlier=tuple(self._earlier))

    def fleet(self) -> list[Assessment]:
        """What a look at every workload says."""
        asked = self.asking
        return [one for body in self.workloads.values() if (one := assess(body, asked, {})) is not None]

    def run(self, check: Callable[[Cluster], None], turns: int = 200) -> int:
        """Take turns until nothing happens any more; return how many it took."""
        for turn in range(turns):
            moved = self._operate()
            check(self)
            moved |= self._move_on()
            check(self)
            self._say()
            if not moved:
                return turn
            self.now += TURN
        raise AssertionError("\n".join([*self.story, "the run does not end"]))

    def _operate(self) -> bool:
        asked = self.asking
        policies = {policy.ref: policy for policy in asked.policies}
        known = self.fleet()
        wave = next_wave(policies, known, frozenset(), Counter(ref for refs in self._left.values() for ref in refs))
        before = {one.ref: one for one in known}
        for change in wave.changes:
            moving = [ref for ref, state in before[change.ref].states.items() if state.standing is Standing.RESTORING]
            self.workloads[change.ref] = written(self.workloads[change.ref], change, at=_stamp(self.now))
            self.writes[change.ref] += change.restarts
            if change.restarts:
                self._left[change.ref] = frozenset(moving)
            self.story.append(f"  write   {change.ref.name}{'' if change.restarts else ' (record only)'}")
        self._release(policies)
        return bool(wave.changes)

    def _release(self, policies: dict[PolicyRef, Policy]) -> None:
        """Let policies go that have nothing left to restore."""
        for ref, policy in policies.items():
            if policy.deleting and not any(ref in one.states for one in self.fleet()):
                del self.policies[ref]
                self.story.append(f"{ref} is gone")

    def _move_on(self) -> bool:
        """Some of the workloads that replace pods make progress."""
        moving = [ref for ref, body in self.workloads.items() if self._fate(body) and not _is_observed(body)]
        if self.dice is not None:
            moving = [ref for ref in moving if self.dice.random() < 0.5] or moving[:1]
            self.dice.shuffle(moving)
        for ref in moving:
            body, fate = self.workloads[ref], self.fate(self.workloads[ref])
            if fate is Fate.SETTLES:
                self.workloads[ref] = settle(body, **dict.fromkeys(_COUNTS, body["spec"]["replicas"]))
                self._left.pop(ref, None)
            else:
                self.workloads[ref] = settle(body, replicas=3, updatedReplicas=1, availableReplicas=2)
            self.story.append(f"  {fate.value:<7} {ref.name}")
        # Time has to pass where only a deadline can end the wait.
        return bool(moving)

    def _fate(self, body: Json) -> Fate | None:
        return self.fate(body) if progress(body).stage is not Stage.SETTLED else None

    def rows(self, ref: PolicyRef) -> list[Row]:
        """Return the workloads of a policy, looked at."""
        return [Row(one, self._look(one)) for one in self.fleet() if ref in one.states]

    def _look(self, one: Assessment) -> Look | None:
        body = self.workloads[one.ref]
        if one.asked is None:
            return None
        if self.fate(body) is Fate.CRASHES and one.asked.sidecars and _is_observed(body):
            return Failing(FailureReason.CRASH_LOOP, f"sidecar {one.asked.sidecars[0]} waits: CrashLoopBackOff")
        return Sound() if one.progress.stage is Stage.SETTLED else Starting("not ready")

    def _say(self) -> None:
        for policy in self.asking.policies:
            status = describe(policy, Acceptance(), self.rows(policy.ref), self.statuses.get(policy.ref, {}), self.now)
            self.statuses[policy.ref] = status
            ready = next(one for one in status["conditions"] if one["type"] == "Ready")
            line = f"  {policy.ref.name}: {ready['reason']}, {ready['message']}"
            if line not in self.story[-8:]:
                self.story.append(line)

    def in_flux(self) -> Iterator[tuple[Policy, int, int]]:
        """Yield, for each policy that acts, how many workloads are in flux on its account and how many may be."""
        known = self.fleet()
        for policy in self.asking.policies:
            count = sum(one.in_flux and policy.ref in one.carrying for one in known)
            count += sum(policy.ref in refs for refs in self._left.values())
            yield policy, count, limit(policy, sum(policy.ref in one.states for one in known))

    def ready(self, ref: PolicyRef) -> str:
        """Return the reason of a policy's Ready condition."""
        conditions = {one["type"]: one for one in self.statuses[ref]["conditions"]}
        return str(conditions["Ready"]["reason"])

    def templates(self) -> dict[Ref, Json]:
        """Return every template."""
        return {ref: template_of(body) for ref, body in self.workloads.items()}


_COUNTS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")


def _is_observed(body: Json) -> bool:
    return bool(body["status"]["observedGeneration"] == body["metadata"]["generation"])


def _stamp(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def cluster(bodies: list[Json], **rest: Any) -> Cluster:
    """A cluster with these workloads, and no policy yet."""
    return Cluster({ref_of(body): body for body in bodies}, {}, **rest)
