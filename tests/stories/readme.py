"""The README's commands, run as its reader runs them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from localcluster import LocalCluster, binaries

ROOT = Path(__file__).parents[2]


def blocks(heading: str, language: str = "sh") -> list[str]:
    """Return the blocks in a language under a heading, as they stand there."""
    _, found, rest = (ROOT / "README.md").read_text().partition(f"\n{heading}\n")
    assert found, f"the README has no {heading}"
    section = re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)


def run(cluster: LocalCluster, block: str) -> subprocess.CompletedProcess[str]:
    """Run a block in the project's folder, with the cluster's administrator as kubectl's user."""
    programs = Path(binaries.find()["kubectl"]).parent
    environment = os.environ | {
        "KUBECONFIG": str(cluster.kubeconfig),
        "KUBECACHEDIR": str(cluster.directory / "kubectl-cache"),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
    }
    command = ["bash", "-c", f"set -o pipefail\n{block}"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
