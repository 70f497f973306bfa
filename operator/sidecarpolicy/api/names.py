"""Names that users, the API server and other tools see of us."""

GROUP = "sidecarpolicy.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

POLICY_KIND = "SidecarPolicy"
POLICY_PLURAL = "sidecarpolicies"
CLUSTER_POLICY_KIND = "ClusterSidecarPolicy"
CLUSTER_POLICY_PLURAL = "clustersidecarpolicies"

FIELD_MANAGER = "sidecarpolicy"
"""Not starting with "kubectl": Flux takes fields from managers that do."""

PROBE_MANAGER = "sidecarpolicy-probe"
"""Of the dry runs by which we ask whether the API server reaches our webhook."""
PROBE_ANSWER = "sidecarpolicy: admission serves"
"""The warning that our webhook answers them with."""

RECORD_ANNOTATION = f"{GROUP}/applied"
"""On a workload: what every policy added, so that it can be taken away exactly."""

REVISION_ANNOTATION = f"{GROUP}/revision"
"""On a pod template: the policy revisions that its pods run."""

INJECT_ANNOTATION = f"{GROUP}/inject"
"""Set to "false" by the author of a workload to keep every policy away."""

FINALIZER = f"{GROUP}/restore"
KOPF_FINALIZER = f"{GROUP}/kopf"
"""Never set: kopf strips its configured finalizer from what it watches, so it is given a name that nobody uses."""

LEASE = "sidecarpolicy"
"""In the operator's own namespace: the one replica that writes holds it."""

SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})

NAMESPACE = "sidecarpolicy-system"
"""The operator's own, where the manifests put it."""

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
"""Which the API server itself gives every namespace."""

WEBHOOK = f"mutate.{GROUP}"
WEBHOOK_CONFIGURATION = "sidecarpolicy"
WEBHOOK_SERVICE = "sidecarpolicy-webhook"
WEBHOOK_SECRET = "sidecarpolicy-webhook"  # noqa: S105 - where it is, not what
