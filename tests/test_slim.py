"""What the operator's process does without."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOADED = "import sys, sidecarpolicy.__main__; sys.exit(sys.argv[1] in sys.modules)"


@pytest.mark.parametrize(
    "module", ["kubernetes.client", "kubernetes.dynamic", "kubernetes.aio.dynamic", "requests", "rich"]
)
def test_operator_does_not_load(module: str) -> None:
    assert subprocess.run([sys.executable, "-c", LOADED, module], check=False).returncode == 0
