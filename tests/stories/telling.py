"""The stories of the table told side by side, so that all of them wait together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from localcluster.audit import Write
from stories.actions import CASES, Case
from stories.author import Action, Author, Done, Json, Together, manifest, named
from stories.ours import POLICY, policy
from stories.stage import Pair, Stage, check
from stories.view import generations
from world import World

_AT_ONCE = 4
"""Commands: kubectl waits for its own start more than for the API server."""
_ALL_AT_ONCE = {"maxConcurrent": "100%"}


class Mode(Enum):
    """Whether admission serves when the users act."""

    OFF = "off"
    ON = "on"


@dataclass(slots=True)
class Story:
    """One case in the hands of one author, and what was seen of it."""

    case: Case
    stage: Stage
    pair: Pair
    begun: Json = field(default_factory=dict)
    """The workload at rest before anybody does anything."""
    earlier: frozenset[str] = frozenset()
    """The generations before the action."""
    done: Done = field(default_factory=lambda: Done([], -1))
    twin_done: Done | None = None
    """None where another story has the same twin."""
    body: Json = field(default_factory=dict)
    """The workload at rest after the action."""
    new: frozenset[str] = frozenset()
    """Its generations since the action."""
    writes: set[str] = field(default_factory=set)
    """What the operator did to it after the action."""
    late: set[str] = field(default_factory=set)
    """What it did when it looked once more."""
    replaced: Json = field(default_factory=dict)
    """The workload at rest after its author has replaced what could not be applied."""
    left: tuple[Json, Json] = field(default_factory=lambda: ({}, {}))
    """The workload and its twin after the policy has gone."""

    @property
    def author(self) -> Author:
        """Who acts."""
        return self.pair.author

    def of_it(self, writes: Iterable[Write]) -> set[str]:
        """Those of the writes that are about its workload."""
        return {f"{write.verb} at {write.time}" for write in writes if write.name == self.author.name}


class Telling:
    """All stories in one namespace where workloads are injected that were there, and in one where they are born so."""

    def __init__(
        self, mode: Mode, injected: Stage, born: Stage | None = None, *, cases: Sequence[Case] = CASES, **asked: Any
    ) -> None:
        self._asked = asked
        self._injected = injected
        self._born = born
        self._stages = [injected, *([born] if born else [])]
        self._twins = Together()
        self.stories = [
            Story(case, injected, Pair(Author(injected.world, way, body), self._twin(way, body)))
            for number, case in enumerate(cases)
            for kind in case.kinds
            for way in case.ways
            if mode is Mode.ON or way in {**case.off, **case.fails}
            for body in [named(manifest(kind, **case.start), f"{kind.lower()}-{number}-{way}")]
        ]
        if born:
            self.stories += [
                Story(one.case, born, Pair(Author(born.world, one.author.way, one.author.body), one.pair.other))
                for one in self.stories
                if not one.case.needs_earlier
            ]
        for stage in self._stages:
            stage.pairs = tuple(story.pair for story in self.stories if story.stage is stage)

    def _twin(self, way: str, body: Json) -> Author:
        return Author(self._injected.beside, way, body, self._twins)

    def tell(self) -> None:
        """Tell them from the creation of the workloads to the end of the policy."""
        self._begin()
        self._have_all_do(lambda case: (case.before, case.before))
        self._rest()
        self._act()
        self._replace_what_failed()
        self._look_once_more()
        self._end()

    def _end(self) -> None:
        for stage in self._stages:
            stage.delete_policy()
        for stage, stories in self._by_stage():
            here, beside = stage.view(), stage.view_beside()
            for story in stories:
                story.left = here.of(story.author), beside.of(story.pair.other)

    def _by_stage(self) -> list[tuple[Stage, list[Story]]]:
        return [(stage, [story for story in self.stories if story.stage is stage]) for stage in self._stages]

    def _begin(self) -> None:
        _apply(self._injected.beside, [pair.other for pair in self._injected.pairs])
        _apply(self._injected.world, [pair.author for pair in self._injected.pairs])
        for stage in self._stages:
            stage.world.create(policy(rollout=_ALL_AT_ONCE, **self._asked))
        if self._born:
            self._born.world.until_ready(POLICY)
            _apply(self._born.world, [pair.author for pair in self._born.pairs])
        self._rest()
        for stage, stories in self._by_stage():
            here = stage.view()
            for story in stories:
                story.begun = here.of(story.author)

    def _have_all_do(self, actions: Callable[[Case], tuple[Action, Action]]) -> None:
        """Have all authors do their action, and those of the twins what comes to the same."""

        def do(story: Story) -> None:
            action, twin = actions(story.case)
            story.done = action(story.author)
            # Workloads that were injected and some that were born so have their twins in common.
            if story.stage is self._injected:
                story.twin_done = twin(story.pair.other)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(do, self.stories))
        self._twins.send(self._injected.beside)

    def _rest(self) -> None:
        for stage in self._stages:
            stage.rest()

    def _act(self) -> None:
        for stage, stories in self._by_stage():
            found = generations(stage.world)
            for story in stories:
                story.earlier = found[story.author.name]
        mark = self._mark()
        self._have_all_do(lambda case: (case.action, case.twin or case.action))
        self._rest()
        for stage, stories in self._by_stage():
            here, found, writes = stage.view(), generations(stage.world), stage.writes(mark)
            for story in stories:
                story.body = here.of(story.author)
                story.new = found[story.author.name] - story.earlier
                story.writes = story.of_it(writes)

    def _mark(self) -> int:
        return self._injected.world.cluster.audit_log.mark()

    def _replace_what_failed(self) -> None:
        failed = [story for story in self.stories if story.done.returncode]
        for story in failed:
            check(story.author.replaces())
        if failed:
            self._rest()
        for story in failed:
            story.replaced = story.pair.body

    def _look_once_more(self) -> None:
        mark = self._mark()
        self._rest()
        for stage, stories in self._by_stage():
            writes = stage.writes(mark)
            for story in stories:
                story.late = story.of_it(writes)


def _apply(world: World, authors: Iterable[Author]) -> None:
    """Have authors apply their manifests together."""
    together = Together()
    for author in authors:
        replace(author, together=together).applies()
    together.send(world)
