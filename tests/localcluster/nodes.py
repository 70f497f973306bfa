"""Nodes that kwok plays: pods on them start, fail and end by the Stage files in `stages/`.

What a container does is decided by its image, so that a policy's sidecar can fail as well as an author's container.
Any tag will do where none is named.

    sidecarpolicy.test/pull-fails          waits with ImagePullBackOff
    sidecarpolicy.test/crashes             waits with CrashLoopBackOff, last ended with exit code 1;
                                           in a pod that never restarts it has ended, and the pod is Failed
    sidecarpolicy.test/oom                 waits with CrashLoopBackOff, last ended as OOMKilled;
                                           in a pod that never restarts as above
    sidecarpolicy.test/never-starts        runs, and its startup probe never succeeds
    sidecarpolicy.test/never-ready         runs, and is never ready
    sidecarpolicy.test/ready-after:3s      runs, and is ready after three seconds
    sidecarpolicy.test/ignores-sigterm     runs, and is killed (137) when a Job's pod has done its work
    anything else                          runs and is ready at once

What fails among the init containers keeps all that come after it waiting with PodInitializing, as the kubelet does.
When the containers of a Job's pod have ended its sidecars stop, and then the pod has succeeded. Annotations of a pod:

    sidecarpolicy.test/ready-after: 3s     the pod is ready after three seconds
    sidecarpolicy.test/runs-for: 3s        a Job's containers end after three seconds instead of at once

A PersistentVolumeClaim without a class gets a volume at once, so that StatefulSets with claims start.
"""

from typing import Any

COUNT = 4
CAPACITY = {"cpu": "100000", "memory": "1000Ti", "ephemeral-storage": "1000Ti", "pods": "100000"}
STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "local", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "sidecarpolicy.test/local",
}


def manifest() -> dict[str, Any]:
    """Return every object that a new cluster starts with."""
    return {"apiVersion": "v1", "kind": "List", "items": [STORAGE_CLASS, *map(_node, range(COUNT))]}


def _node(number: int) -> dict[str, Any]:
    name = f"node-{number}"
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"capacity": CAPACITY, "allocatable": CAPACITY},
    }
