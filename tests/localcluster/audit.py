"""What the API server was asked to write, by whom and with which tool: read from its audit log."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True)
class Write:
    """One request that changes something, as the API server answered it."""

    time: str
    user: str
    user_agent: str
    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    field_manager: str
    dry_run: bool

    @classmethod
    def of(cls, event: dict[str, Any]) -> Self:
        """Return what an audit event says."""
        target = event.get("objectRef", {})
        query = parse_qs(urlsplit(event["requestURI"]).query)
        return cls(
            time=event["requestReceivedTimestamp"],
            user=event["user"].get("username", ""),
            user_agent=event.get("userAgent", ""),
            verb=event["verb"],
            resource=target.get("resource", ""),
            subresource=target.get("subresource", ""),
            namespace=target.get("namespace", ""),
            name=target.get("name", ""),
            code=event.get("responseStatus", {}).get("code", 0),
            field_manager=query.get("fieldManager", [""])[0],
            dry_run="dryRun" in query,
        )


@dataclass(frozen=True, slots=True)
class AuditLog:
    """The log file; a mark is a place in it, from which on a test may count."""

    path: Path

    def mark(self) -> int:
        """Return the place where the log ends now."""
        return self.path.stat().st_size if self.path.exists() else 0

    def writes(self, since: int = 0, **facts: str | int | bool) -> list[Write]:
        """Return the writes after a mark whose fields equal `facts`, oldest first."""
        # Those of others need not be parsed: these stand in an event as they are.
        marks = [str(facts[name]).encode() for name in ("user", "namespace") if name in facts]
        found = (Write.of(json.loads(line)) for line in self._read(since) if all(mark in line for mark in marks))
        return [write for write in found if all(getattr(write, k) == v for k, v in facts.items())]

    def _read(self, since: int) -> Iterator[bytes]:
        with self.path.open("rb") as lines:
            lines.seek(since)
            for line in lines:
                # The last line may be half written.
                if line.endswith(b"\n"):
                    yield line
