"""A policy's status as users read it: the schema that the CRDs are rendered from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sidecarpolicy.api.policy import Json

MOST_ENTRIES = 20
"""In each list of workloads; the messages of the conditions have the whole number."""

Count = Annotated[int, Field(ge=0)]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]

_CONDITIONS: Json = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
_ATOMIC: Json = {"x-kubernetes-list-type": "atomic"}


class Part(BaseModel):
    """What all parts of a status share."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Condition(Part):
    """One condition, as Kubernetes has them."""

    type: str = Field(description="What it is about, such as Ready.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: str = Field(description="Why, in one word.")
    message: str = Field(description="Why, in a sentence.")
    observedGeneration: Count = Field(description="The generation of the policy that it is about.")
    lastTransitionTime: Time = Field(description="Since when the status is as it is.")


class Entry(Part):
    """One workload that somebody should look at."""

    kind: str = Field(description="The workload's kind.")
    namespace: str = Field(description="The workload's namespace.")
    name: str = Field(description="The workload's name.")
    reason: str = Field(description="Why, in one word.")
    message: str = Field(description="Why, in a sentence.")
    since: Time = Field(description="Since when.")


class Status(Part):
    """What a policy has done, is doing and cannot do."""

    observedGeneration: Count | None = Field(
        default=None, description="The generation of the policy that all of this is about."
    )
    revision: str | None = Field(default=None, description="The hash of what the policy asks of templates.")
    conditions: list[Condition] = Field(
        default=[], json_schema_extra=_CONDITIONS, description="Accepted, WorkloadsUpToDate, Ready and others."
    )
    matched: Count | None = Field(
        default=None, description="How many workloads the policy selects, but for those that opted out."
    )
    upToDate: Count | None = Field(default=None, description="How many of them have the revision in their template.")
    updating: Count | None = Field(
        default=None, description="How many of those with the revision have not settled yet."
    )
    outdated: Count | None = Field(default=None, description="How many still wait for their change.")
    blocked: Count | None = Field(default=None, description="How many of them cannot be changed.")
    failed: Count | None = Field(default=None, description="How many of those with the revision do not come up.")
    finished: Count | None = Field(default=None, description="How many are Jobs that have ended and are left alone.")
    failures: list[Entry] = Field(
        default=[],
        max_length=MOST_ENTRIES,
        json_schema_extra=_ATOMIC,
        description="Workloads with the revision that do not come up, and why.",
    )
    blocks: list[Entry] = Field(
        default=[],
        max_length=MOST_ENTRIES,
        json_schema_extra=_ATOMIC,
        description="Workloads that cannot be changed, and why.",
    )
    notes: list[Entry] = Field(
        default=[],
        max_length=MOST_ENTRIES,
        json_schema_extra=_ATOMIC,
        description="What the policy asks and a workload does not get, or its owner should know.",
    )
