"""Whether a policy may act: what our own rules, this API server's version and its own validation say."""

from __future__ import annotations

from pydantic import ValidationError

from sidecarpolicy.api.policy import Json
from sidecarpolicy.api.reasons import Reason
from sidecarpolicy.api.validation import problems
from sidecarpolicy.cluster import preflight
from sidecarpolicy.cluster.client import Client, Forbidden, NotFound
from sidecarpolicy.planning.policy import read_spec
from sidecarpolicy.planning.status import Acceptance

OLDEST = (1, 30)
"""Native sidecars are on from 1.29, ValidatingAdmissionPolicy v1 from 1.30."""


async def judge(client: Client, body: Json, version: tuple[int, int], namespace: str) -> Acceptance:
    """Return whether a policy may act; `namespace` is where its containers are tried without being created."""
    if version < OLDEST:
        found, wanted = (".".join(map(str, one)) for one in (version, OLDEST))
        message = f"the API server is {found}, native sidecars can be relied on from {wanted}: upgrade the cluster"
        return Acceptance(Reason.NATIVE_SIDECARS_UNSUPPORTED, message)
    try:
        spec = read_spec(body)
    except ValidationError as error:
        return Acceptance(Reason.INVALID, say(error))
    found_problems = problems(spec)
    if found_problems:
        return Acceptance(Reason.INVALID, "; ".join(found_problems))
    try:
        verdict = await preflight.preflight(client, namespace, spec)
    except NotFound:
        message = f"namespace {namespace} does not exist: create it, or start the operator with another --namespace"
        return Acceptance(Reason.INVALID, message)
    except Forbidden as error:
        return Acceptance(Reason.INVALID, f"the API server does not admit these containers: {error.message}")
    match verdict:
        case preflight.Unsound(message):
            return Acceptance(Reason.INVALID, message)
        case preflight.RestartPolicyDropped():
            message = "the API server drops restartPolicy: Always of init containers: upgrade it, or enable the feature"
            return Acceptance(Reason.NATIVE_SIDECARS_UNSUPPORTED, message)
        case preflight.Sound():
            return Acceptance()


def say(error: ValueError) -> str:
    """Return what is wrong with a spec, in one sentence per field."""
    if isinstance(error, ValidationError):
        return "; ".join(f"spec.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    return str(error)
