"""What the app's own containers get where they have nothing, and how it is taken away again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from builders import container, policy, read
from serving import served_template
from sidecarpolicy.api.reasons import NoteReason
from sidecarpolicy.planning import canonical
from sidecarpolicy.planning.authorship import Author
from sidecarpolicy.planning.template.fill import There, fill, unfill

Json = dict[str, Any]

TCP = canonical.probe({"tcpSocket": {"port": 8080}})
HTTP = {"ports": [{"name": "http", "containerPort": 8080}]}
NOBODY = Author({}, ("spec", "template"))


def app(**fields: Any) -> Json:
    served: Json = served_template({"spec": {"containers": [container(**fields)]}})["spec"]["containers"][0]
    return served


def rules(*asked: Json) -> Any:
    return read(policy(containers=[{"names": ["*"], **one} for one in asked]))[0].content.fills


def author_of(last_applied: Json) -> Author:
    manifest = json.dumps({"spec": {"template": {"spec": {"containers": [last_applied]}}}})
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": manifest}
    return Author({"metadata": {"annotations": annotations}}, ("spec", "template"))


@pytest.mark.parametrize(
    ("own", "asked", "wanted"),
    [
        pytest.param(
            {},
            {"requests": {"cpu": "0.1"}, "limits": {"cpu": "1"}},
            {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}},
            id="all-where-there-is-nothing",
        ),
        pytest.param(
            {"requests": {"cpu": "250m"}},
            {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}},
            {"requests": {"cpu": "250m"}, "limits": {"cpu": "1"}},
            id="a-missing-limit-beside-an-own-request",
        ),
        pytest.param(
            {"limits": {"memory": "64Mi"}},
            {"requests": {"memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            {"requests": {"memory": "64Mi"}, "limits": {"memory": "64Mi"}},
            id="a-request-never-exceeds-the-limit",
        ),
        pytest.param(
            {"requests": {"memory": "512Mi"}},
            {"limits": {"memory": "256Mi"}},
            {"requests": {"memory": "512Mi"}, "limits": {"memory": "512Mi"}},
            id="a-limit-never-falls-below-the-request",
        ),
        pytest.param({}, {"limits": {"cpu": "1"}}, {}, id="a-limit-alone-is-not-filled"),
        pytest.param(
            {"limits": {"nvidia.com/gpu": "2"}},
            {"requests": {"nvidia.com/gpu": "1"}},
            {"requests": {"nvidia.com/gpu": "2"}, "limits": {"nvidia.com/gpu": "2"}},
            id="a-device-is-requested-as-limited",
        ),
        pytest.param(
            {},
            {"requests": {"nvidia.com/gpu": "1"}},
            {"requests": {"nvidia.com/gpu": "1"}, "limits": {"nvidia.com/gpu": "1"}},
            id="a-requested-device-is-limited",
        ),
        pytest.param(
            {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}},
            {"requests": {"cpu": "5"}, "limits": {"cpu": "9"}},
            {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}},
            id="what-the-author-has-stays",
        ),
    ],
)
def test_resources_are_filled_key_by_key(own: Json, asked: Json, wanted: Json) -> None:
    container = app(resources=own)
    done = fill(container, rules({"resources": asked}))

    assert done.container["resources"] == wanted
    assert unfill(done.container, done.filled, NOBODY) == container


@pytest.mark.parametrize(
    ("own", "probe", "filled"),
    [
        pytest.param(HTTP, {"tcpSocket": {"port": "http"}}, True, id="a-declared-name"),
        pytest.param({}, {"tcpSocket": {"port": "http"}}, False, id="a-name-needs-to-be-declared"),
        pytest.param(HTTP, {"httpGet": {"port": 8080}}, True, id="a-declared-number"),
        pytest.param(HTTP, {"httpGet": {"port": 9090}}, False, id="another-number-beside-declared-ones"),
        pytest.param({}, {"httpGet": {"port": 9090}}, True, id="a-number-where-nothing-is-declared"),
        pytest.param({}, {"exec": {"command": ["true"]}}, True, id="a-command-needs-no-port"),
        pytest.param(HTTP, {"grpc": {"port": 9090}}, False, id="grpc-needs-its-port-as-well"),
        pytest.param({"readinessProbe": TCP}, {"exec": {"command": ["x"]}}, False, id="an-own-probe-stays"),
    ],
)
def test_a_probe_is_filled_where_its_port_is_declared(own: Json, probe: Json, filled: bool) -> None:
    container = app(**own)
    done = fill(container, rules({"readinessProbe": probe}))

    assert ("readinessProbe" in done.filled) is filled
    assert unfill(done.container, done.filled, NOBODY) == container


def test_a_missing_probe_port_is_noted() -> None:
    done = fill(app(), rules({"livenessProbe": {"tcpSocket": {"port": "http"}}}))

    (note,) = done.notes
    assert note[0] is NoteReason.PROBE_PORT_MISSING
    assert "livenessProbe" in note[1]


def test_a_limit_without_a_request_is_noted() -> None:
    done = fill(app(), rules({"resources": {"limits": {"cpu": "1"}}}))

    assert [reason for reason, _ in done.notes] == [NoteReason.LIMIT_WITHOUT_REQUEST]


@pytest.mark.parametrize(
    ("own", "asked", "notes"),
    [
        pytest.param([], [{"name": "logs", "mountPath": "/l"}], [], id="free"),
        pytest.param([{"name": "data", "mountPath": "/l"}], [{"name": "logs", "mountPath": "/l"}],
                     [NoteReason.MOUNT_PATH_TAKEN], id="taken-by-another-volume"),
        pytest.param([{"name": "logs", "mountPath": "/l"}], [{"name": "logs", "mountPath": "/l"}], [], id="the-same"),
    ],
)  # fmt: skip
def test_a_mount_goes_where_the_path_is_free(own: list[Json], asked: list[Json], notes: list[NoteReason]) -> None:
    container = app(volumeMounts=own)
    done = fill(container, rules({"volumeMounts": asked}))

    assert [reason for reason, _ in done.notes] == notes
    assert done.filled == ({} if own else {"volumeMounts": asked})
    assert unfill(done.container, done.filled, NOBODY) == container


def test_a_variable_of_the_author_keeps_its_value() -> None:
    container = app(env=[{"name": "A", "value": "author"}])
    done = fill(container, rules({"env": [{"name": "A", "value": "ours"}, {"name": "B", "value": "ours"}]}))

    assert done.container["env"] == [{"name": "A", "value": "author"}, {"name": "B", "value": "ours"}]
    assert [reason for reason, _ in done.notes] == [NoteReason.VARIABLE_TAKEN]
    assert unfill(done.container, done.filled, NOBODY) == container


def test_two_rules_of_one_policy_add_up() -> None:
    done = fill(
        app(),
        rules(
            {"env": [{"name": "A", "value": "1"}], "resources": {"requests": {"cpu": "1"}}},
            {"env": [{"name": "B", "value": "2"}, {"name": "A", "value": "3"}], "resources": {"limits": {"cpu": "2"}}},
        ),
    )

    assert done.filled["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    assert done.filled["resources"] == {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}


def test_what_the_api_server_fills_into_a_variable_of_ours_stays() -> None:
    asked = {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    stored = app(env=[asked])
    done = fill(app(), rules({"env": [asked]}), There(stored, {"env": [asked]}))

    assert done.container["env"] == stored["env"]


def test_a_field_that_a_new_revision_drops_goes() -> None:
    before = {"name": "logs", "mountPath": "/l", "readOnly": True}
    done = fill(
        app(),
        rules({"volumeMounts": [{"name": "logs", "mountPath": "/l"}]}),
        There(app(volumeMounts=[before]), {"volumeMounts": [before]}),
    )

    assert done.container["volumeMounts"] == [{"name": "logs", "mountPath": "/l"}]


OURS = canonical.probe({"httpGet": {"port": 8080, "path": "/healthz"}, "periodSeconds": 20})


@pytest.mark.parametrize(
    ("current", "left"),
    [
        pytest.param(OURS, None, id="ours-goes"),
        pytest.param(
            {**canonical.probe({"exec": {"command": ["x"]}}), "periodSeconds": 20},
            canonical.probe({"exec": {"command": ["x"]}}),
            id="our-period-goes-from-an-own-probe",
        ),
        pytest.param(
            {**canonical.probe({"httpGet": {"port": 9090, "path": "/healthz"}}), "periodSeconds": 20},
            canonical.probe({"httpGet": {"port": 9090, "path": "/healthz"}}),
            id="our-period-goes-where-the-port-was-changed",
        ),
        pytest.param({**OURS, "periodSeconds": 5}, {**OURS, "periodSeconds": 5}, id="our-probe-edited-is-the-authors"),
    ],
)
def test_of_a_probe_that_its_author_wrote_ours_goes(current: Json, left: Json | None) -> None:
    container = app(readinessProbe=current)
    after = unfill(container, {"readinessProbe": OURS}, NOBODY)

    assert after.get("readinessProbe") == left


def test_our_path_goes_from_a_handler_that_the_authors_apply_was_merged_into() -> None:
    container = app(readinessProbe={**OURS, "httpGet": {"port": 9090, "path": "/healthz", "scheme": "HTTP"}})
    author = author_of({"name": "app", "readinessProbe": {"httpGet": {"port": 9090}}})
    after = unfill(container, {"readinessProbe": OURS}, author)

    assert after["readinessProbe"] == canonical.probe({"httpGet": {"port": 9090}})


@pytest.mark.parametrize(
    ("wrote", "left"),
    [
        pytest.param({"resources": {"limits": {"memory": "256Mi"}}}, {"limits": {"memory": "256Mi"}}, id="the-limit"),
        pytest.param({"image": "x"}, {}, id="something-else"),
    ],
)
def test_a_value_that_the_author_set_to_exactly_ours_stays(wrote: Json, left: Json) -> None:
    container = app(resources={"requests": {"memory": "128Mi"}, "limits": {"memory": "256Mi"}})
    filled = {"resources": {"requests": {"memory": "128Mi"}, "limits": {"memory": "256Mi"}}}

    assert unfill(container, filled, author_of({"name": "app", **wrote}))["resources"] == left


@pytest.mark.parametrize(
    ("own", "filled", "left"),
    [
        pytest.param(
            {"limits": {"cpu": "2"}}, {"limits": {"cpu": "1"}}, {"limits": {"cpu": "2"}}, id="a-changed-limit"
        ),
        pytest.param(
            {"limits": {"cpu": "1"}}, {"limits": {"cpu": "1000m"}}, {}, id="the-same-amount-spelled-otherwise"
        ),
        pytest.param({}, {"limits": {"cpu": "1"}}, {}, id="a-limit-that-is-gone"),
    ],
)
def test_a_changed_value_is_the_authors(own: Json, filled: Json, left: Json) -> None:
    assert unfill(app(resources=own), {"resources": filled}, NOBODY)["resources"] == left
