"""A real control plane on loopback: no container engine, no root, ready in seconds, gone with the last who uses it."""

from localcluster.cluster import LocalCluster
from localcluster.failures import ClusterFailed

__all__ = ["ClusterFailed", "LocalCluster"]
