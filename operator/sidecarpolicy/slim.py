"""Keeps what we never use of `kubernetes` out of the process: a fifth of its memory, and a third of its start.

Importing any part of it imports nearly all of it, the synchronous client and Requests too, because its packages list
their parts; kopf imports it only to recognise its models, which we never give to kopf. Import this module first.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

_PACKAGES = ("kubernetes", "kubernetes.aio")


def _bare(name: str, directory: Path) -> ModuleType:
    """Return a package whose parts can be imported, without what its own __init__ would import."""
    package = ModuleType(name)
    package.__path__ = [str(directory)]
    return package


def _slim() -> None:
    found = importlib.util.find_spec(_PACKAGES[0])
    if found is None or found.origin is None or _PACKAGES[0] in sys.modules:
        return
    root = Path(found.origin).parent
    for name in _PACKAGES:
        sys.modules[name] = _bare(name, root.joinpath(*name.split(".")[1:]))
    # What `from kubernetes.client import ...` in kopf takes for "not installed".
    sys.modules["kubernetes.client"] = None  # type: ignore[assignment] # what the import system documents for it
    importlib.import_module("kopf")
    del sys.modules["kubernetes.client"]


_slim()
