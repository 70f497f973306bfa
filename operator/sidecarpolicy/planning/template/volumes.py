"""The volumes that policies add."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sidecarpolicy.api.policy import Json
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


def remove(spec: Json, names: Collection[str]) -> tuple[Json, dict[str, Json]]:
    """Return the pod spec without our volumes, and what they held; what the author mounts as well stays."""
    mounted = {
        mount["name"]
        for container in (*spec.get("containers", ()), *spec.get("initContainers", ()))
        for mount in container.get("volumeMounts", ())
    }
    volumes = spec.get("volumes") or []
    taken = {volume["name"]: volume for volume in volumes if volume["name"] in names and volume["name"] not in mounted}
    if not taken:
        return spec, {}
    rest = [volume for volume in volumes if volume["name"] not in taken]
    without = {key: value for key, value in spec.items() if key != "volumes"}
    # The API server stores no empty list of volumes.
    return ({**spec, "volumes": rest} if rest else without), taken
