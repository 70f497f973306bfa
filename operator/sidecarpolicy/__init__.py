"""Native sidecars, probes and limits for workloads that other people own."""
