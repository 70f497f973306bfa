"""A policy as the head sees it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from builders import policy, read, sidecar
from sidecarpolicy.planning.policy import (
    PolicyRef,
    content_of,
    read_content,
    read_leaving,
    read_policy,
    ref_of_key,
    revision_of,
)

Json = dict[str, Any]


@pytest.mark.parametrize(
    ("change", "moves"),
    [
        pytest.param({"sidecars": [sidecar(image="x:2")]}, True, id="a-sidecar"),
        pytest.param({"volumes": [{"name": "v", "emptyDir": {}}]}, True, id="a-volume"),
        pytest.param({"priority": 5}, False, id="its-priority"),
        pytest.param({"selector": {"matchLabels": {"a": "b"}}}, False, id="its-selector"),
        pytest.param({"paused": True}, False, id="paused"),
        pytest.param({"rollout": {"maxConcurrent": 1}}, False, id="its-pace"),
        pytest.param({"volumes": [], "containers": []}, False, id="an-empty-list"),
    ],
)
def test_a_revision_is_of_what_templates_get(change: Json, moves: bool) -> None:
    before, after = policy(sidecars=[sidecar()]), policy(**{"sidecars": [sidecar()], **change})

    assert (revision_of(before["spec"]) != revision_of(after["spec"])) is moves


def test_a_kept_revision_reads_as_the_policy_did() -> None:
    body = policy(
        sidecars=[sidecar(before=["x"])],
        initContainers=[{"name": "i", "image": "i:1"}],
        convert=[{"name": "envoy", "position": "Last"}],
        volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1024Mi"}}],
        containers=[{"names": ["*"], "resources": {"requests": {"cpu": "0.1"}}}],
    )

    assert read_content(content_of(body["spec"])) == read_policy(body).content
    assert revision_of(content_of(body["spec"])) == read_policy(body).revision


def test_a_sidecar_always_restarts_and_stands_behind_the_init_containers() -> None:
    (one,) = read(policy(sidecars=[sidecar("s")], initContainers=[{"name": "i", "image": "i"}]))

    assert [item.name for item in one.content.items] == ["i", "s"]
    assert "restartPolicy" not in one.content.items[0].container
    assert one.content.items[1].container["restartPolicy"] == "Always"


def test_a_place_is_no_field_of_the_container() -> None:
    (one,) = read(policy(sidecars=[sidecar("s", before=["a"], after=["b"])]))
    (item,) = one.content.items

    assert (item.before, item.after) == (("a",), ("b",))
    assert not {"before", "after", "position"} & item.container.keys()


@pytest.mark.parametrize("namespace", ["shop", ""])
def test_a_key_names_its_policy(namespace: str) -> None:
    ref = PolicyRef(namespace, "logs")

    assert ref_of_key(ref.key, "shop") == ref
    assert str(ref) == ("SidecarPolicy shop/logs" if namespace else "ClusterSidecarPolicy logs")


def test_a_policy_acts_if_nothing_holds_it() -> None:
    assert read(policy())[0].acts
    assert not read(policy(paused=True))[0].acts
    assert not read(policy(mode="Audit"))[0].acts


NONSENSE = [
    pytest.param({"selector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}, id="an-unknown-operator"),
    pytest.param({"kinds": ["Pod"]}, id="an-unknown-kind"),
    pytest.param({"sidecars": [{"image": "x"}]}, id="a-nameless-sidecar"),
    pytest.param({"unknown": 1}, id="an-unknown-field"),
    pytest.param({"rollout": {"progressDeadline": "soon"}}, id="a-time-that-is-none"),
    pytest.param({"sidecars": [sidecar(resources={"requests": {"cpu": "much"}})]}, id="an-amount-that-is-none"),
]


@pytest.mark.parametrize("spec", NONSENSE)
def test_a_spec_that_makes_no_sense_is_a_value_error(spec: Json) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_policy(policy(**spec))


@pytest.mark.parametrize("spec", NONSENSE)
@pytest.mark.parametrize("namespace", ["shop", ""])
@pytest.mark.parametrize("deletion", ["Restore", "Keep"])
def test_what_leaves_leaves_as_it_says_also_where_the_rest_makes_no_sense(
    spec: Json, namespace: str, deletion: str
) -> None:
    one = read_leaving(policy(namespace=namespace, deleting=True, deletion=deletion, **spec))

    assert (one.deleting, one.deletion) == (True, deletion)


def test_defaults_are_those_of_the_schema() -> None:
    body = policy()
    del body["spec"]["kinds"]
    (one,) = read(body)

    assert one.kinds == {"Deployment", "StatefulSet", "Job"}
    assert one.deadline == timedelta(minutes=10)
    assert one.max_concurrent == 10
    assert one.deletion == "Restore"
