"""Keeps out of the process what libraries import and we never use: a fifth of its memory, a third of its start.

Any part of `kubernetes` imports nearly all of it, the synchronous client and Requests too, because its packages list
their parts; kopf imports it only to recognise its models, which we never give to kopf. structlog imports Rich for
tracebacks with local variables, which would show tokens. Import this module first.
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


def _import_without(hidden: str, module: str) -> None:
    """Import a module that takes another for not installed."""
    if hidden not in sys.modules:
        sys.modules[hidden] = None  # type: ignore[assignment] # what the import system documents for it
        importlib.import_module(module)
        del sys.modules[hidden]


def _slim() -> None:
    _import_without("rich", "structlog")
    found = importlib.util.find_spec(_PACKAGES[0])
    if found is None or found.origin is None or _PACKAGES[0] in sys.modules:
        return
    root = Path(found.origin).parent
    for name in _PACKAGES:
        sys.modules[name] = _bare(name, root.joinpath(*name.split(".")[1:]))
    _import_without("kubernetes.client", "kopf")


_slim()
