"""The whole story of SidecarPolicy, told on a control plane of its own to a person who has five minutes."""
