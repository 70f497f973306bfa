"""Records that an older template meets: nothing of the author's is taken for ours, whoever brought it back."""

from __future__ import annotations

from localcluster.waiting import until
from sidecarpolicy.api import names
from stories.actions import limits
from stories.author import BOTH, CLIENT, applying, manifest, nothing, patching_pod, running, template_in, within
from stories.stage import Pair, Stage, a_second_look_writes_nothing, about, are_ours, leaves_no_trace

SETS = (manifest("StatefulSet"), manifest("DaemonSet"))
ALL = (manifest(), *SETS)
UNDO = running("rollout", "undo", "{}")
NEWER = {"images": {"shipper": "shipper:2", "agent": "agent:1"}}


def test_rollout_undo_to_an_older_policy_goes_forward_again(stage: Stage) -> None:
    pairs = stage.set([CLIENT], *ALL)
    stage.rest_with(image="shipper:2")
    generations = [pair.generations() for pair in pairs]

    stage.rest_after(UNDO, nothing)

    are_ours(stage, NEWER)
    assert [pair.generations() for pair in pairs] == generations
    a_second_look_writes_nothing(stage)
    leaves_no_trace(stage)


def test_older_template_of_a_paused_policy_is_restored_exactly(stage: Stage) -> None:
    stage.set([CLIENT], *ALL)
    stage.rest_with(image="shipper:2")
    pause(stage)

    stage.do(UNDO, nothing)
    stage.do(applying(within(image="app:2")))

    leaves_no_trace(stage)


def test_our_old_value_set_by_the_author_after_a_rollout_undo_stays(stage: Stage) -> None:
    stage.set(BOTH, *ALL)
    pause(stage)

    stage.do(UNDO, nothing)
    stage.do(applying(within(resources=limits("256Mi"))))

    leaves_no_trace(stage)


def test_our_old_value_patched_by_somebody_after_a_rollout_undo_stays(stage: Stage) -> None:
    stage.set([CLIENT], *ALL)
    pause(stage)

    stage.do(UNDO, nothing)
    stage.do(patching_pod(containers=[{"name": "app", "resources": limits("256Mi")}]))

    leaves_no_trace(stage)


def test_what_was_kept_stays_after_a_rollout_undo(stage: Stage) -> None:
    pairs = stage.set([CLIENT], *ALL, deletion="Keep")
    kept = [template_in(pair.body) for pair in pairs]
    stage.delete_policy()

    assert [template_in(pair.body) for pair in pairs] == kept
    assert not any(has_record(pair) for pair in pairs)

    stage.do(running("set", "image", "{}", "app=app:2"))
    stage.settle()
    stage.do(UNDO)
    stage.look_with_another_policy()
    until(lambda: not any(has_record(pair) for pair in pairs))

    for pair, before in zip(pairs, kept, strict=True):
        with about(pair):
            assert template_in(pair.body) == before


def has_record(pair: Pair) -> bool:
    return names.RECORD_ANNOTATION in pair.body["metadata"]["annotations"]


def pause(stage: Stage) -> None:
    """Have the policy start nothing new; the operator knows it when the status does."""
    stage.change(paused=True)
    stage.wait()
