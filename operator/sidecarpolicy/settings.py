"""What a person chooses when starting the operator: by flags, or by SIDECARPOLICY_* in the environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sidecarpolicy.api.names import SYSTEM_NAMESPACES
from sidecarpolicy.api.webhook import checked_url

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_STREAMING_SINCE = (1, 34)


class Settings(BaseModel):
    """The operator's settings; a flag wins over the environment, which wins over the default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kubeconfig: str | None = Field(None, description="Kubeconfig file; else $KUBECONFIG, the pod's account, ~/.kube.")
    context: str | None = Field(None, description="Context of the kubeconfig; else its current one.")
    namespace: str = Field(
        "sidecarpolicy-system",
        description="Our own namespace, where no policy acts; else $POD_NAMESPACE, the pod's account's.",
    )
    exclude_namespaces: frozenset[str] = Field(
        frozenset(), description="Namespaces where no policy acts, besides the system's and our own; by commas."
    )
    writers: int = Field(8, ge=1, le=100, description="Workloads written at the same time.")
    health_port: int = Field(8080, ge=0, le=65535, description="Port of /healthz, /readyz and /metrics; 0 for none.")
    webhook_port: int = Field(
        0, ge=0, le=65535, description="Port of admission; 0 for that of --webhook-url, or for none."
    )
    webhook_url: str | None = Field(
        None, description="Where the API server reaches us outside of the cluster; it is told, until we end."
    )
    cert_dir: Path | None = Field(
        None, description="Directory with tls.crt and tls.key for admission; else they are made, and kept in a Secret."
    )
    watch: Literal["auto", "streaming", "chunked"] = Field(
        "auto",
        description="How the first look is taken: streaming (Kubernetes 1.34 and up) or chunked; auto asks.",
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="console with colours, or json for a machine; auto looks where the log goes."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least that is logged: debug, info, warning or error."
    )

    @field_validator("exclude_namespaces", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return frozenset(name.strip() for name in value.split(",") if name.strip())
        return value

    @field_validator("webhook_url")
    @classmethod
    def _check_url(cls, value: str | None) -> str | None:
        return value if value is None else checked_url(value)

    @classmethod
    def read(cls, environment: Mapping[str, str], **flags: Any) -> Settings:
        """Return the settings of an environment, with the flags that are not None over it."""
        given = {field: environment[name] for field in cls.model_fields if environment.get(name := variable(field))}
        given |= {field: value for field, value in flags.items() if value is not None}
        return cls.model_validate({**_own_namespace(environment), **given})

    @property
    def excluded(self) -> frozenset[str]:
        """All namespaces where no policy acts."""
        return SYSTEM_NAMESPACES | self.exclude_namespaces | {self.namespace}

    @property
    def admission_port(self) -> int:
        """Where admission is answered; 0 for nowhere."""
        return self.webhook_port or (urlsplit(self.webhook_url).port or 0 if self.webhook_url else 0)

    def is_streaming(self, version: tuple[int, int]) -> bool:
        """Tell whether kopf's first look is streamed by an API server of this version."""
        return version >= _STREAMING_SINCE if self.watch == "auto" else self.watch == "streaming"


def variable(field: str) -> str:
    """Return the environment variable of a setting."""
    return f"SIDECARPOLICY_{field.upper()}"


def _own_namespace(environment: Mapping[str, str]) -> dict[str, str]:
    name = environment.get("POD_NAMESPACE")
    if not name and _SERVICE_ACCOUNT.is_file():
        name = _SERVICE_ACCOUNT.read_text().strip()
    return {"namespace": name} if name else {}
