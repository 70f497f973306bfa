"""Workloads that are created while admission serves: born with what the policy asks, and never written again."""

from __future__ import annotations

from stories.author import BOTH, Author, manifest, named
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
