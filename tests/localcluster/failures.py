"""What can go wrong with a cluster.

RuntimeError
└── ClusterFailed          what was asked was not done; the message has the last words of who failed
    ├── NoToolchain        no Go that is new enough, on PATH or by a wheel
    ├── CompilationFailed  the compiler refused
    └── PortTaken          somebody took a free port between its choice and its use
"""
# ruff: noqa: N818 - they say what happened; the tree above says that they are errors


class ClusterFailed(RuntimeError):
    """The cluster did not do what was asked."""


class NoToolchain(ClusterFailed):
    """Neither PATH nor the Python package index had a Go that is new enough."""


class CompilationFailed(ClusterFailed):
    """The Go compiler refused; the message carries its last words."""


class PortTaken(ClusterFailed):
    """Somebody took a free port between its choice and its use."""
