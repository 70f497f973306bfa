"""What policies make of workloads, one folder per situation: policies, a workload as served, and what is wanted.

`pytest --refresh-golden` rewrites what is wanted; the diff is the review.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders import asking
from serving import as_served, written
from sidecarpolicy.planning import record
from sidecarpolicy.planning.asking import Asking
from sidecarpolicy.planning.assess import Assessment, assess
from sidecarpolicy.planning.authorship import Author
from sidecarpolicy.planning.template.clash import Surroundings
from sidecarpolicy.planning.template.desired import desired
from sidecarpolicy.planning.trust import trusted
from sidecarpolicy.planning.workload import KINDS, template_of

Json = dict[str, Any]

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/workload.yaml"))


class _Dumper(yaml.SafeDumper):
    """YAML as a person writes it: texts of several lines as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def documents(path: Path) -> list[Json]:
    return [one for one in yaml.safe_load_all(path.read_text()) if one] if path.exists() else []


def served(case: Path) -> tuple[Json, Asking]:
    """Return the workload of a case and what is asked of it; `earlier.yaml` has revisions that policies had before."""
    (body,) = documents(case / "workload.yaml")
    policies, earlier = documents(case / "policies.yaml"), documents(case / "earlier.yaml")
    for one in (*policies, *earlier):
        if one["kind"] == "SidecarPolicy":
            one["metadata"].setdefault("namespace", body["metadata"]["namespace"])
    return as_served(body), asking(*policies, earlier=tuple(earlier), may_convert=True)


def answer(body: Json, asked: Asking) -> Json:
    """Return what the head says of a workload; the template is also that of a Job as it would be created."""
    one = assess(body, asked, {})
    assert one is not None
    template = template_of(body)
    stored = record.parse(body["metadata"].get("annotations", {}).get("sidecarpolicy.dev/applied"))
    made = desired(
        template,
        trusted(template, stored, asked.history, one.ref.namespace),
        [policy for policy in asked.policies if policy.ref in one.states],
        asked.history.contents,
        Author(body, KINDS[one.ref.kind].template),
        Surroundings(may_convert=True),
    )
    return {
        "states": {str(ref): _state(one, ref) for ref in one.states},
        "notes": [f"{note.policy}: {note.reason}: {note.message}" for note in one.notes],
        "record": json.loads(record.dump(made.record)) if made.record.parts else None,
        "template": json.loads(json.dumps(made.template)),
    }


def _state(one: Assessment, ref: Any) -> str:
    state = one.states[ref]
    return f"{state.standing.value}: {state.reason}: {state.message}" if state.reason else state.standing.value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_template_becomes_what_is_wanted(case: Path, refresh_golden: bool) -> None:
    got, wanted = answer(*served(case)), case / "want.yaml"
    if refresh_golden:
        wanted.write_text(yaml.dump(got, Dumper=_Dumper, sort_keys=False, width=120))

    assert got == yaml.safe_load(wanted.read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_change_leads_to_what_is_wanted_and_is_the_last(case: Path) -> None:
    body, asked = served(case)
    one = assess(body, asked, {})
    assert one is not None
    if one.change is None:
        return
    after = written(body, one.change)
    again = assess(after, asked, {})

    assert as_served(_with(body, answer(body, asked)["template"]))["spec"] == after["spec"]
    assert again is None or again.change is None


def _with(body: Json, template: Json) -> Json:
    after: Json = json.loads(json.dumps(body))
    place = after
    for step in KINDS[body["kind"]].template[:-1]:
        place = place[step]
    place["template"] = template
    return after
