"""The programs of a control plane: KUBEBUILDER_ASSETS, else the user's cache, else compiled into it once."""

import hashlib
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from localcluster import compilation
from localcluster.locks import locked
from localcluster.toolchain import MODULE

NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kwok")


@dataclass(frozen=True, slots=True)
class Binaries:
    """Where each program is."""

    paths: dict[str, Path]

    def __getitem__(self, name: str) -> str:
        return str(self.paths[name])


def find() -> Binaries:
    """Return every program, compiling them when neither KUBEBUILDER_ASSETS nor the cache has them all."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    given = _programs(Path(assets)) if assets else {}
    if all(name in given for name in NAMES):
        return Binaries(given)
    return Binaries(_programs(compiled()) | given)


def compiled() -> Path:
    """Return the cached directory of our own programs, compiled first if need be."""
    directory = cache() / f"kubernetes-{_fingerprint()}"
    if not directory.exists():
        with locked(cache() / "build.lock", "the control plane being compiled"):
            if not directory.exists():
                compilation.compile_into(directory)
    return directory


def cache() -> Path:
    """Return the project's directory in the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "sidecarpolicy"


def _programs(directory: Path) -> dict[str, Path]:
    return {name: directory / name for name in NAMES if (directory / name).exists()}


def _fingerprint() -> str:
    parts = [(MODULE / "go.mod").read_bytes(), (MODULE / "go.sum").read_bytes()]
    parts.append(f"{platform.system()}/{platform.machine()}".encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
