"""The JSON Patch that brings a workload from its template to the one wanted, guarded against everybody else's writes."""

from __future__ import annotations

from dataclasses import dataclass

from sidecarpolicy.planning.workload import Ref


@dataclass(frozen=True, slots=True)
class Change:
    """One workload to write: kept as the bytes that are sent, so that ten thousand of them stay small."""

    ref: Ref
    uid: str
    body: bytes
    """A whole JSON Patch document, its guards (`test`) first."""
    restarts: bool
    """The template changes, so the workload's pods are replaced; else only the record is brought up to date."""
    fills: bool
    """Values are written into containers of the author: our claim on them is given back afterwards."""
