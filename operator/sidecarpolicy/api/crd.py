"""Renders what is installed from the code: `python -m sidecarpolicy.api.crd [--check] [DIRECTORY]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from sidecarpolicy.api import names
from sidecarpolicy.api.policy import ClusterPolicySpec, Json, PolicySpec
from sidecarpolicy.api.rules import tightened
from sidecarpolicy.api.schema import model_schema
from sidecarpolicy.api.status import Status
from sidecarpolicy.api.webhook import installed_configuration

_HEADER = "# Rendered from operator/sidecarpolicy/api by `python -m sidecarpolicy.api.crd`: change it there.\n"

_READY = '.status.conditions[?(@.type=="Ready")]'

_COLUMNS: tuple[Json, ...] = (
    {"name": "Ready", "type": "string", "jsonPath": f"{_READY}.status"},
    {"name": "Reason", "type": "string", "jsonPath": f"{_READY}.reason"},
    {"name": "Matched", "type": "integer", "jsonPath": ".status.matched"},
    {"name": "UpToDate", "type": "integer", "jsonPath": ".status.upToDate"},
    {"name": "Failed", "type": "integer", "jsonPath": ".status.failed"},
    {"name": "Blocked", "type": "integer", "jsonPath": ".status.blocked"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    # In `-o wide` only.
    {"name": "Message", "type": "string", "jsonPath": f"{_READY}.message", "priority": 1},
)
_ABOUT = "Gives the workloads of {where} native sidecars, probes and limits, and restores them when it goes."
_WHERE = {names.POLICY_KIND: "its namespace", names.CLUSTER_POLICY_KIND: "any namespace"}


def policy_crd() -> Json:
    """Return the CRD of the namespaced kind."""
    spec = tightened(model_schema(PolicySpec))
    return _crd(names.POLICY_KIND, names.POLICY_PLURAL, "scp", "Namespaced", spec)


def cluster_policy_crd() -> Json:
    """Return the CRD of the cluster-wide kind."""
    spec = tightened(model_schema(ClusterPolicySpec))
    return _crd(names.CLUSTER_POLICY_KIND, names.CLUSTER_POLICY_PLURAL, "cscp", "Cluster", spec)


def render() -> dict[str, str]:
    """Return the text of each file by its path."""
    crds = (policy_crd(), cluster_policy_crd())
    files = {f"crds/{crd['spec']['names']['plural']}.yaml": crd for crd in crds}
    files["manifests/base/webhook.yaml"] = installed_configuration()
    return {path: _HEADER + _text(body) for path, body in files.items()}


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or with --check tell which are not current."""
    parser = argparse.ArgumentParser(prog="python -m sidecarpolicy.api.crd", description=main.__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), help="the checkout; here by default")
    parser.add_argument("--check", action="store_true", help="write nothing, and fail where a file is not current")
    chosen = parser.parse_args(arguments)
    files = {chosen.directory / name: text for name, text in render().items()}
    stale = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if not chosen.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[path])
        print(f"{path} {'is not current: run `tox run -e crds`' if chosen.check else 'is written'}")
    return 1 if chosen.check and stale else 0


def _crd(kind: str, plural: str, short: str, scope: str, spec: Json) -> Json:
    schema = {
        "type": "object",
        "description": _ABOUT.format(where=_WHERE[kind]),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": {**spec, "description": "What is asked, and of which workloads."},
            "status": model_schema(Status),
        },
    }
    version = {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": list(_COLUMNS),
        "schema": {"openAPIV3Schema": schema},
    }
    called = {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": kind.lower(),
        "shortNames": [short],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{names.GROUP}"},
        "spec": {"group": names.GROUP, "scope": scope, "names": called, "versions": [version]},
    }


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's own signature
        return True


def _text(body: Json) -> str:
    return yaml.dump(body, Dumper=_Plain, sort_keys=False, width=1000)


if __name__ == "__main__":
    sys.exit(main())
