"""Workloads that are created while admission serves: born with what the policy asks, and never written again."""

from __future__ import annotations

from localcluster.waiting import until
from sidecarpolicy.api import names
from stories.author import BOTH, CLIENT, Author, Json, manifest, named, nothing, running, template_in
from stories.ours import OURS, shown
from stories.stage import Stage, about, are_ours, leaves_no_trace

MANIFESTS = tuple(manifest(kind) for kind in ("Deployment", "StatefulSet", "DaemonSet", "CronJob"))


def test_every_kind_is_born_in_one_generation_and_goes_without_a_trace(admitted: Stage) -> None:
    mark = admitted.world.cluster.audit_log.mark()
    pairs = admitted.bear(BOTH, *MANIFESTS)

    admitted.rest()

    are_ours(admitted)
    assert admitted.writes(mark) == []
    for pair in pairs:
        with about(pair):
            assert pair.body["metadata"]["generation"] == 1
            assert len(pair.generations()) == (0 if pair.author.kind == "CronJob" else 1)
    leaves_no_trace(admitted)


def test_kubectl_shows_what_will_be_added_and_then_nothing_to_change(admitted: Stage) -> None:
    pairs = admitted.bear(BOTH, manifest("Deployment"), manifest("CronJob"))

    for pair in pairs:
        with about(pair):
            author = pair.author
            another = Author(author.world, author.way, named(author.body, "another"))
            assert shown(another.previews()) == OURS
            assert author.compares() == ""
    assert admitted.world.list("ReplicaSet", "app=another") == []


def test_who_was_born_with_it_or_opts_out_is_told(admitted: Stage) -> None:
    [pair] = admitted.bear([CLIENT], manifest())
    name = pair.author.name

    until(lambda: (name, "SidecarsInjected") in events(admitted))
    admitted.do(running("annotate", "{}", f"{names.INJECT_ANNOTATION}=false"), nothing)
    until(lambda: (name, "SidecarsRestored") in events(admitted))


def events(stage: Stage) -> set[tuple[str, str]]:
    """About which workloads there are which Events."""
    return {(item["regarding"]["name"], item["reason"]) for item in stage.world.list("Event")}


def test_without_admission_the_operator_does_it_in_a_second_rollout_and_an_event_says_so(stage: Stage) -> None:
    [pair] = stage.bear([CLIENT], manifest())

    until(lambda: shown(pair.body) == OURS)
    stage.rest()

    are_ours(stage)
    assert len(pair.generations()) == 2
    until(lambda: (pair.author.name, "SidecarsInjected") in events(stage))


def opted_out() -> Json:
    body = manifest()
    body["metadata"]["annotations"] = {names.INJECT_ANNOTATION: "false"}
    return body


def test_a_workload_whose_author_keeps_policies_away_is_born_as_it_was_written(admitted: Stage) -> None:
    mark = admitted.world.cluster.audit_log.mark()
    pairs = admitted.bear(BOTH, opted_out())

    admitted.rest()

    assert admitted.writes(mark) == []
    for pair in pairs:
        with about(pair):
            assert template_in(pair.body) == template_in(pair.twin)
            assert len(pair.generations()) == 1


def test_an_author_who_keeps_policies_away_later_undoes_it_in_that_request(admitted: Stage) -> None:
    [pair] = admitted.bear([CLIENT], manifest())
    mark = admitted.world.cluster.audit_log.mark()

    admitted.do(running("annotate", "{}", f"{names.INJECT_ANNOTATION}=false"), nothing)

    assert template_in(pair.body) == template_in(pair.twin)
    admitted.rest()
    assert names.RECORD_ANNOTATION not in pair.body["metadata"]["annotations"]
    assert admitted.writes(mark) == []
