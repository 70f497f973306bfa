"""The stories of the table told side by side, so that all of them wait together."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from localcluster.audit import Write
from stories.actions import CASES, Case
from stories.author import BOTH, SERVER, Action, Author, Done, Json, manifest, named
from stories.ours import POLICY, policy
from stories.stage import Pair, Stage, check
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
    earlier: set[str] = field(default_factory=set)
    """The generations before the action."""
    done: Done = field(default_factory=lambda: Done([], -1))
    twin_done: Done | None = None
    """None where another story has the same twin."""
    body: Json = field(default_factory=dict)
    """The workload at rest after the action."""
    new: set[str] = field(default_factory=set)
    """Its generations since the action."""
    writes: set[str] = field(default_factory=set)
    """What the operator did to it after the action."""
    late: set[str] = field(default_factory=set)
    """What it did when it looked once more."""
    replaced: Json = field(default_factory=dict)
    """The workload at rest after its author has replaced what could not be applied."""

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
        self.stories = [
            Story(case, injected, Pair(Author(injected.world, way, body), Author(injected.beside, way, body)))
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

    def tell(self) -> None:
        """Tell them from the creation of the workloads to the end of the policy."""
        self._begin()
        self._have_all_do(lambda case: (case.before, case.before))
        self._rest()
        self._act()
        self._replace_what_failed()
        self._look_once_more()
        for stage in self._stages:
            stage.delete_policy()

    def _begin(self) -> None:
        _apply(self._injected.beside, [pair.other for pair in self._injected.pairs])
        _apply(self._injected.world, [pair.author for pair in self._injected.pairs])
        for stage in self._stages:
            stage.world.create(policy(rollout=_ALL_AT_ONCE, **self._asked))
        if self._born:
            self._born.world.until_ready(POLICY)
            _apply(self._born.world, [pair.author for pair in self._born.pairs])
        self._rest()
        for story in self.stories:
            story.begun = story.pair.body

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

    def _rest(self) -> None:
        for stage in self._stages:
            stage.rest()

    def _act(self) -> None:
        for story in self.stories:
            story.earlier = story.pair.generations()
        mark = self._mark()
        self._have_all_do(lambda case: (case.action, case.twin or case.action))
        self._rest()
        for story in self.stories:
            story.body = story.pair.body
            story.new = story.pair.generations() - story.earlier
            story.writes = story.of_it(story.stage.writes(mark))

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
        for story in self.stories:
            story.late = story.of_it(story.stage.writes(mark))


def _apply(world: World, authors: Iterable[Author]) -> None:
    """Have authors apply their manifests, all of one way together."""
    authors = list(authors)
    for way in BOTH:
        items = [author.body for author in authors if author.way == way]
        flags = ["--server-side"] if way == SERVER else []
        world.kubectl(
            "apply", *flags, "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        )
