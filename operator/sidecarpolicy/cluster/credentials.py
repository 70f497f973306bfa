"""Who we are to the API server: from a kubeconfig or a pod's service account, and never stale."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import structlog
import yaml
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from aiohttp.hdrs import AUTHORIZATION
from kubernetes.aio.client import Configuration
from kubernetes.aio.config.config_exception import ConfigException
from kubernetes.aio.config.incluster_config import SERVICE_HOST_ENV_NAME, load_incluster_config
from kubernetes.aio.config.kube_config import ENV_KUBECONFIG_PATH_SEPARATOR, KubeConfigMerger, load_kube_config

log = structlog.get_logger(__name__)

Reload = Callable[[Configuration], Awaitable[None]]

_FRESH_FOR = 60.0
"""Seconds: a pod's token is renewed well before it ends, and an exec plugin says itself when to ask it again."""

_ACCOUNT = "the pod's account"

MISTAKES = (ConfigException, OSError, TypeError, ValueError, yaml.YAMLError)
"""What reading a configuration ends with when the configuration is wrong; an empty one is a TypeError."""


class Credentials:
    """The API server's address and our authority there, read again while we run."""

    def __init__(self, configuration: Configuration, reload: Reload) -> None:
        self._configuration = configuration
        self._reload = reload
        self._lock = asyncio.Lock()
        self._stale_at = asyncio.get_running_loop().time() + _FRESH_FOR
        self.server = str(configuration.host).rstrip("/")
        self.proxy: str | None = configuration.proxy or _proxy_of_the_environment(self.server)
        self.tls = _tls(configuration)

    async def sign(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send a request with today's token, and once more if the API server no longer takes it."""
        token = await self._token()
        response = await self._send(request, handler, token)
        if response.status != 401:
            return response
        renewed = await self._renew(token)
        if renewed == token:
            return response
        response.release()
        return await self._send(request, handler, renewed)

    async def _send(self, request: ClientRequest, handler: ClientHandlerType, token: str | None) -> ClientResponse:
        if token:
            request.headers[AUTHORIZATION] = token
        if self._configuration.tls_server_name:
            request.server_hostname = self._configuration.tls_server_name
        return await handler(request)

    async def _token(self) -> str | None:
        known: str | None = self._configuration.api_key.get("BearerToken")
        if asyncio.get_running_loop().time() < self._stale_at:
            return known
        return await self._renew(known)

    async def _renew(self, known: str | None) -> str | None:
        async with self._lock:
            current: str | None = self._configuration.api_key.get("BearerToken")
            if current != known:  # another request waited for the lock before us
                return current
            self._stale_at = asyncio.get_running_loop().time() + _FRESH_FOR
            try:
                await self._reload(self._configuration)
                _load_client_certificate(self.tls, self._configuration)
            except MISTAKES as error:
                log.warning("credentials not renewed", error=str(error))
            renewed: str | None = self._configuration.api_key.get("BearerToken")
            return renewed


async def load(kubeconfig: str | None, context: str | None) -> Credentials:
    """Find the credentials as other controllers do: the file given, $KUBECONFIG, the pod's account, ~/.kube/config."""
    path = source(kubeconfig)
    reload = _reload_account if path == _ACCOUNT else _file_reloader(_existing(path), context)
    configuration = Configuration()
    await reload(configuration)
    return Credentials(configuration, reload)


def source(kubeconfig: str | None) -> str:
    """Return the path of the file that is read, or what stands for the pod's account."""
    path = kubeconfig or os.environ.get("KUBECONFIG")
    return path or (_ACCOUNT if SERVICE_HOST_ENV_NAME in os.environ else "~/.kube/config")


def _existing(paths: str) -> str:
    if any(Path(path).expanduser().is_file() for path in paths.split(ENV_KUBECONFIG_PATH_SEPARATOR)):
        return paths
    raise ConfigException(f"there is no kubeconfig at {paths}, and this is no pod")


async def _reload_account(configuration: Configuration) -> None:
    load_incluster_config(configuration, try_refresh_token=False)  # type: ignore[no-untyped-call] # kubernetes is untyped


def _file_reloader(path: str, context: str | None) -> Reload:
    loader = None

    async def reload(configuration: Configuration) -> None:
        nonlocal loader
        if loader is None:
            _check_context(path, context)
            loader = await load_kube_config(  # type: ignore[no-untyped-call] # kubernetes is untyped
                path, context, configuration, persist_config=False
            )
        else:  # the same loader again: it knows until when the exec plugin's answer holds
            await loader.load_and_set(configuration)

    return reload


def _check_context(path: str, context: str | None) -> None:
    """Say which contexts there are where the one wanted is not; kubernetes names objects of lists instead."""
    config = KubeConfigMerger(path).config  # type: ignore[no-untyped-call] # kubernetes is untyped
    known = sorted(one["name"] for one in config.safe_get("contexts") or ())
    wanted = context or config.safe_get("current-context")
    if wanted in known:
        return
    what = f"the kubeconfig has no context {wanted}" if wanted else "the kubeconfig has no current context"
    choice = f"choose by --context among {', '.join(known)}" if known else "nor any other"
    raise ConfigException(f"{what}, {choice}")


def _tls(configuration: Configuration) -> ssl.SSLContext:
    tls = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    # Python 3.13 demands key identifiers in the CA, which many clusters' own CAs lack; kubectl does not.
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not configuration.verify_ssl:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    _load_client_certificate(tls, configuration)
    return tls


def _load_client_certificate(tls: ssl.SSLContext, configuration: Configuration) -> None:
    if configuration.cert_file:
        tls.load_cert_chain(configuration.cert_file, configuration.key_file)


def _proxy_of_the_environment(server: str) -> str | None:
    url = urlsplit(server)
    return None if proxy_bypass(url.netloc) else getproxies().get(url.scheme)
