"""What is known of every workload that policies have to do with: a slim assessment, and the last look at its pods."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from sidecarpolicy.api.policy import Json
from sidecarpolicy.api.reasons import BlockReason
from sidecarpolicy.planning.assess import Asking, Assessment, Standing, State, assess, assess_again
from sidecarpolicy.planning.patch import Change
from sidecarpolicy.planning.pods import Failing, Look, Sound
from sidecarpolicy.planning.policy import PolicyRef
from sidecarpolicy.planning.progress import Progress, Stage, progress
from sidecarpolicy.planning.selection import Labels
from sidecarpolicy.planning.status import Row
from sidecarpolicy.planning.workload import Ref, ref_of

_IN_FLUX = (Stage.UPDATING, Stage.FAILED)
_LOOK_AGAIN = timedelta(seconds=2)
_LOOK_AT_SLOW = timedelta(seconds=5)
"""A workload on its way is looked at only after this long: most are settled by then."""
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_LONGEST_LEAVE = timedelta(minutes=10)
"""A workload that was restored and does not come up for so long must not keep others from being restored."""
_GONE = 1000
"""Uids of workloads that are gone: an answer or a page that is older than their end must not bring them back."""
_SLOW_AT_ONCE = 25
"""Looks at workloads on their way, for each pass: when thousands are, looking at all of them slows them down."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What the pods said, of which state of the workload, and when."""

    seen: int
    look: Look
    at: datetime


@dataclass(frozen=True, slots=True)
class Hold:
    """A change that waits for a while, as `state` says to its policies if it has something to say."""

    change: Change
    until: datetime
    state: State | None = None
    seen: int | None = None
    """The state of the workload that it is about; None if no other state makes a difference."""

    def holds(self, one: Assessment, now: datetime) -> bool:
        """Tell whether what a workload needs is still the same change, and it is still too soon for it."""
        same = one.change is not None and (one.uid, one.change.wish) == (self.change.uid, self.change.wish)
        return same and self.seen in (None, one.seen) and now < self.until


@dataclass(slots=True)
class Fleet:
    """The assessments by workload, and which workloads each policy has to do with."""

    known: dict[Ref, Assessment] = field(default_factory=dict)
    by_policy: defaultdict[PolicyRef, set[Ref]] = field(default_factory=lambda: defaultdict(set))
    started: set[Ref] = field(default_factory=set)
    """Their change is on its way to the API server."""
    looking: set[Ref] = field(default_factory=set)
    holds: dict[Ref, Hold] = field(default_factory=dict)
    _leaving: dict[Ref, tuple[datetime, frozenset[PolicyRef]]] = field(default_factory=dict)
    """Workloads that were just restored and still replace pods: nothing on them tells any more of which policies."""
    _looked: dict[Ref, Looked] = field(default_factory=dict)
    _gone: deque[str] = field(default_factory=lambda: deque(maxlen=_GONE))

    def observe(self, body: Json, asking: Asking, labels: Labels) -> set[PolicyRef]:
        """Take in a workload as the API server gave it; return the policies that it concerns or concerned.

        One that has not changed is assessed again where what is asked has. A list may be older than an answer or an
        event, and passes the workload over: so whatever comes first after a change of what is asked has to see to it.
        """
        ref, uid, version = ref_of(body), body["metadata"]["uid"], int(body["metadata"]["resourceVersion"])
        if uid in self._gone:
            return set()
        if ref in self._leaving and progress(body).stage not in _IN_FLUX:
            return {*self._leaving.pop(ref)[1], *self.observe(body, asking, labels)}
        before = self.known.get(ref)
        same = before is not None and before.asking == asking.number
        if before is not None and (version < before.version or (version == before.version and same)):
            return set()
        if "deletionTimestamp" in body["metadata"]:
            return self.forget(ref, uid)
        after = assess_again(before, body) if before is not None and same else None
        return self._set(ref, before, after or assess(body, asking, labels))

    def forget(self, ref: Ref, uid: str) -> set[PolicyRef]:
        """The workload is gone; one that has its name by now is not."""
        self._gone.append(uid)
        known = self.known.get(ref)
        if known is not None and known.uid != uid:
            return set()
        self._leaving.pop(ref, None)
        return self._set(ref, known, None)

    def _set(self, ref: Ref, before: Assessment | None, after: Assessment | None) -> set[PolicyRef]:
        concerned: set[PolicyRef] = set()
        for one in (before, after):
            if one is not None:
                concerned |= one.states.keys()
        if after is None:
            self.known.pop(ref, None)
            self._looked.pop(ref, None)
            self.holds.pop(ref, None)
        else:
            self.known[ref] = after
        for policy in concerned:
            if after is not None and policy in after.states:
                self.by_policy[policy].add(ref)
            else:
                self.by_policy[policy].discard(ref)
        return concerned

    def left(self, one: Assessment, now: datetime) -> None:
        """Remember that a workload replaces pods to lose what policies added."""
        gone = frozenset(ref for ref, state in one.states.items() if state.standing is Standing.RESTORING)
        if gone:
            self._leaving[one.ref] = (now, gone)

    def leaving(self, now: datetime) -> Counter[PolicyRef]:
        """How many workloads still replace pods to lose what each policy added."""
        under_way = (policies for since, policies in self._leaving.values() if now - since < _LONGEST_LEAVE)
        return Counter(policy for policies in under_way for policy in policies)

    def rows(self, policy: PolicyRef, now: datetime) -> list[Row]:
        """Return the workloads of one policy with what was last seen of their pods."""
        return [self._row(self.known[ref], now) for ref in self.by_policy[policy]]

    def _row(self, one: Assessment, now: datetime) -> Row:
        looked = self._looked.get(one.ref)
        held = self._held(one, now)
        look = looked.look if looked is not None and looked.seen == one.seen else None
        return Row(_as_held(one, held.state) if held is not None and held.state is not None else one, look)

    def _held(self, one: Assessment, now: datetime) -> Hold | None:
        hold = self.holds.get(one.ref)
        return hold if hold is not None and hold.holds(one, now) else None

    def startable(self, now: datetime) -> Iterator[Assessment]:
        """Yield every assessment; a change that has to wait is left out of it, and failing pods count as failed."""
        for one in self.known.values():
            looked = self._looked.get(one.ref)
            if looked is not None and looked.seen == one.seen and isinstance(looked.look, Failing):
                one = replace(one, progress=Progress(Stage.FAILED, looked.look.message, looked.look.reason))
            yield replace(one, change=None) if one.change is not None and self._held(one, now) else one

    def due(self, now: datetime) -> list[Assessment]:
        """Return workloads in whose pods there is something to see now: all that settled, and some that take long."""
        due = [one for one in self.known.values() if self.is_due(one, now)]
        slow = sorted((one for one in due if one.in_flux), key=lambda one: self._since(one) or _LONG_AGO)
        return [one for one in due if not one.in_flux] + slow[:_SLOW_AT_ONCE]

    def is_due(self, one: Assessment, now: datetime) -> bool:
        """Tell whether there is something to see in a workload's pods now."""
        if one.asked is None or one.ref in self.looking or not _is_carrying(one):
            return False
        if one.progress.stage is not Stage.SETTLED:
            since = self._since(one)
            return one.in_flux and (since is None or now - since > _LOOK_AT_SLOW)
        looked = self._fresh(one)
        return looked is None or (not isinstance(looked.look, Sound) and now - looked.at > _LOOK_AGAIN)

    def _fresh(self, one: Assessment) -> Looked | None:
        """Return the last look at a workload as it is now."""
        looked = self._looked.get(one.ref)
        return looked if looked is not None and looked.seen == one.seen else None

    def _since(self, one: Assessment) -> datetime | None:
        """Return since when nobody has looked at a workload on its way."""
        looked = self._fresh(one)
        return looked.at if looked is not None else one.progress.since

    def saw(self, one: Assessment, look: Look, now: datetime) -> Look | None:
        """Remember what the pods said, and return what they said before."""
        before = self._looked.get(one.ref)
        self._looked[one.ref] = Looked(one.seen, look, now)
        return before.look if before is not None else None

    def trust(self, policies: frozenset[PolicyRef], now: datetime) -> None:
        """Take workloads as seen that a status written by us before said were settled, as they still are."""
        for one in self.known.values():
            if one.states and one.states.keys() <= policies and one.progress.stage is Stage.SETTLED:
                self.saw(one, Sound(), now)

    def hold(self, change: Change, until: datetime, state: State | None = None) -> None:
        """Have a change wait until then, or until the workload or what is asked of it changes."""
        one = self.known.get(change.ref)
        if one is not None:
            self.holds[change.ref] = Hold(one.change or change, until, state, one.seen)

    def give_up(self, change: Change, until: datetime, state: State) -> None:
        """Have a change wait until then, whatever becomes of the workload, or until something else is asked of it."""
        self.holds[change.ref] = Hold(change, until, state)

    def release(self, now: datetime) -> set[PolicyRef]:
        """Forget the holds that are over; return the policies whose workloads they left alone."""
        over = [self.known[ref] for ref in self.holds if ref in self.known and not self._held(self.known[ref], now)]
        for one in over:
            del self.holds[one.ref]
        return {policy for one in over for policy in one.states}

    @property
    def moving(self) -> set[PolicyRef]:
        """The policies that have a workload on its way, or one that has to be looked at again."""
        return {policy for one in self.known.values() if self._is_moving(one) for policy in one.states}

    def _is_moving(self, one: Assessment) -> bool:
        if one.change is not None or (one.in_flux and _is_carrying(one)):
            return True
        return _is_unseen(one, self._looked.get(one.ref))

    @property
    def applied(self) -> frozenset[str]:
        """Every revision that a workload carries."""
        return frozenset(revision for one in self.known.values() for revision in one.applied)


def blocked(reason: BlockReason, message: str) -> State:
    """Return the state of a workload whose change is refused."""
    return State(Standing.BLOCKED, reason, message)


def _as_held(one: Assessment, state: State) -> Assessment:
    states = {ref: state if there.is_moving else there for ref, there in one.states.items()}
    return replace(one, states=states, change=None)


def _is_carrying(one: Assessment) -> bool:
    return any(state.standing is Standing.UP_TO_DATE for state in one.states.values())


def _is_unseen(one: Assessment, looked: Looked | None) -> bool:
    if one.asked is None or not _is_carrying(one) or one.progress.stage is not Stage.SETTLED:
        return False
    return looked is None or looked.seen != one.seen or not isinstance(looked.look, Sound)
