"""The volumes that policies add."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sidecarpolicy.api.policy import Json
from sidecarpolicy.planning.authorship import Author
from sidecarpolicy.planning.template import merge


def add(spec: Json, wanted: Sequence[Json], found: Mapping[str, Json], previous: Mapping[str, Json]) -> Json:
    """Return the pod spec with our volumes behind the author's.

    `found` is what stands there under our names now, `previous` what our last revision said of it.
    """
    if not wanted:
        return spec
    ours = [
        merge.merged_volume(found[volume["name"]], volume, previous.get(volume["name"]))
        if volume["name"] in found
        else volume
        for volume in wanted
    ]
    return {**spec, "volumes": [*spec.get("volumes", ()), *ours]}


def remove(spec: Json, names: Collection[str], author: Author) -> tuple[Json, dict[str, Json]]:
    """Return the pod spec without our volumes, and what they held; what the author lists or mounts as well stays."""
    mounted = {
        use["name"]
        for container in (*spec.get("containers", ()), *spec.get("initContainers", ()))
        for use in (*container.get("volumeMounts", ()), *container.get("volumeDevices", ()))
    }
    taken = {
        volume["name"]: volume
        for volume in spec.get("volumes", ())
        if volume["name"] in names and volume["name"] not in mounted and not author.lists("volumes", volume["name"])
    }
    if not taken:
        return spec, {}
    return merge.with_list(spec, "volumes", [one for one in spec["volumes"] if one["name"] not in taken]), taken
