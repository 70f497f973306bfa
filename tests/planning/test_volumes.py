"""The volumes that policies add."""

from __future__ import annotations

from sidecarpolicy.planning.authorship import Author
from sidecarpolicy.planning.template import volumes

LOGS = {"name": "logs", "emptyDir": {}}
DATA = {"name": "data", "configMap": {"name": "x", "defaultMode": 420}}
NOBODY = Author({}, ("spec", "template"))


def test_ours_stand_behind_the_authors() -> None:
    assert volumes.add({"volumes": [DATA]}, [LOGS], {}, {})["volumes"] == [DATA, LOGS]


def test_what_the_api_server_filled_in_stays() -> None:
    wanted = {"name": "data", "configMap": {"name": "x"}}

    assert volumes.add({}, [wanted], {"data": DATA}, {})["volumes"] == [DATA]


def test_an_empty_list_is_not_left_behind() -> None:
    spec, taken = volumes.remove({"containers": [], "volumes": [LOGS]}, {"logs"}, NOBODY)

    assert spec == {"containers": []}
    assert taken == {"logs": LOGS}


def test_a_volume_that_the_author_mounts_as_well_stays() -> None:
    app = {"name": "app", "volumeMounts": [{"name": "logs", "mountPath": "/own"}]}
    spec, taken = volumes.remove({"containers": [app], "volumes": [LOGS]}, {"logs"}, NOBODY)

    assert spec["volumes"] == [LOGS]
    assert not taken


def test_a_block_device_of_the_author_keeps_its_volume() -> None:
    app = {"name": "app", "volumeDevices": [{"name": "logs", "devicePath": "/dev/x"}]}

    assert volumes.remove({"containers": [app], "volumes": [LOGS]}, {"logs"}, NOBODY)[0]["volumes"] == [LOGS]


def test_a_volume_that_the_authors_manifest_lists_stays() -> None:
    fields: dict[str, object] = {"f:spec": {"f:template": {"f:spec": {"f:volumes": {'k:{"name":"logs"}': {}}}}}}
    author = Author(
        {"metadata": {"managedFields": [{"manager": "helm", "operation": "Apply", "fieldsV1": fields}]}},
        ("spec", "template"),
    )

    assert volumes.remove({"containers": [], "volumes": [LOGS]}, {"logs"}, author)[0]["volumes"] == [LOGS]
