"""What can go wrong between a client and the API server, and the rules that say when."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Request:
    """What a rule may look at."""

    method: str
    path: str
    user_agent: str
    is_watch: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """The proxy answers by itself: 429, 500, 504, with the seconds of Retry-After if given."""

    status: int
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Delay:
    """The answer comes late."""

    time: timedelta


@dataclass(frozen=True, slots=True)
class CloseWatch:
    """A watch ends after a time, as the API server's own end when it restarts. Other requests pass."""

    after: timedelta


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection breaks before the API server has heard."""


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """The connection breaks after the API server has done what was asked: the client cannot know."""


@dataclass(frozen=True, slots=True)
class Blackhole:
    """Nothing comes back, ever."""


Fault = Answer | Delay | CloseWatch | Cut | LoseAnswer | Blackhole


@dataclass(frozen=True, slots=True)
class Rule:
    """A fault and the requests that it meets; what is not given matches all."""

    fault: Fault
    methods: frozenset[str] = frozenset()
    path: str = ""
    user_agent: str = ""
    watches: bool | None = None
    chance: float = 1.0
    times: int | None = None

    def matches(self, request: Request) -> bool:
        """Say whether the fault may meet this request; `path` and `user_agent` are regular expressions."""
        return (
            (not self.methods or request.method in self.methods)
            and (self.watches is None or self.watches == request.is_watch)
            and re.search(self.path, request.path) is not None
            and re.search(self.user_agent, request.user_agent) is not None
        )


@dataclass(slots=True)
class Faults:
    """The rules in force and the dice; the same seed and requests meet the same faults."""

    dice: random.Random
    _rules: Sequence[Rule] = ()
    _met: dict[int, int] = field(default_factory=dict)

    def use(self, *rules: Rule) -> None:
        """Replace the rules; their counts begin anew."""
        self._rules = rules
        self._met = {}

    def for_request(self, request: Request) -> Fault | None:
        """Return the fault of the first rule that matches, has times left and whose dice fall so."""
        for number, rule in enumerate(self._rules):
            spent = rule.times is not None and self._met.get(number, 0) >= rule.times
            if not spent and rule.matches(request) and self.dice.random() < rule.chance:
                self._met[number] = self._met.get(number, 0) + 1
                return rule.fault
        return None
