"""Which policies act on a workload, and in what order."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from sidecarpolicy.api.policy import LabelSelector, Requirement
from sidecarpolicy.planning.policy import Policy
from sidecarpolicy.planning.workload import Ref

Labels = Mapping[str, str]


def matches(selector: LabelSelector, labels: Labels) -> bool:
    """Tell whether a label selector selects these labels (apimachinery, labels.Selector)."""
    return all(labels.get(key) == value for key, value in selector.matchLabels.items()) and all(
        _meets(requirement, labels) for requirement in selector.matchExpressions
    )


def _meets(requirement: Requirement, labels: Labels) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            # A label that is not there is not in the list either.
            return value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None


def asks_only(selector: LabelSelector, key: str) -> bool:
    """Tell whether a label selector asks for no label but one."""
    asked = {*selector.matchLabels, *(requirement.key for requirement in selector.matchExpressions)}
    return asked <= {key}


def acts_on(policy: Policy, ref: Ref, labels: Labels, namespace_labels: Labels) -> bool:
    """Tell whether a policy selects a workload."""
    if ref.kind not in policy.kinds or not matches(policy.selector, labels):
        return False
    if policy.namespace_selector is None:
        return policy.ref.namespace == ref.namespace
    return matches(policy.namespace_selector, namespace_labels)


def in_order(policies: Iterable[Policy]) -> list[Policy]:
    """Return the policies, the one that wins a conflict first."""
    return sorted(policies, key=lambda policy: policy.rank)


def chooses(globs: Iterable[str], name: str) -> bool:
    """Tell whether one of the globs names the container."""
    return any(_pattern(glob).match(name) for glob in globs)


@lru_cache(maxsize=1024)
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(glob))
