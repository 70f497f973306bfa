"""Requests to an API server over one connection, for what would otherwise be a kubectl each."""

import base64
import http.client
import json
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from localcluster.waiting import PATIENCE, PAUSE

JSON = "application/json"
MERGE = "application/merge-patch+json"


class RefusedError(Exception):
    """The API server's own words, with its status code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


@contextmanager
def if_there() -> Iterator[None]:
    """Pass over that what a request is about is not there."""
    try:
        yield
    except RefusedError as refused:
        if refused.code != http.client.NOT_FOUND:
            raise


class Connection:
    """One connection; several threads take turns."""

    def __init__(self, server: str, trust: ssl.SSLContext) -> None:
        address = urlsplit(server)
        self._connection = http.client.HTTPSConnection(address.hostname or "", address.port, context=trust)
        self._turn = threading.Lock()

    def ask(self, method: str, path: str, body: Any = None, kind: str = JSON, accept: str = JSON) -> dict[str, Any]:
        """Send one request and return the answer; as every client does, again where the API server is not ready yet."""
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": kind, "Accept": accept}
        deadline = time.monotonic() + PATIENCE
        while True:
            status, content = self._asked(method, path, data, headers)
            if status != http.client.TOO_MANY_REQUESTS or time.monotonic() > deadline:
                break
            time.sleep(PAUSE)
        if status >= http.client.BAD_REQUEST:
            raise RefusedError(status, content.get("message", ""))
        return content

    def _asked(self, method: str, path: str, data: str | None, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        with self._turn:
            try:
                answer = self._send(method, path, data, headers)
            except (ConnectionError, ssl.SSLEOFError):
                # The API server closes what was idle for long: seen at the first word, or when there is no answer.
                self._connection.close()
                answer = self._send(method, path, data, headers)
            content = answer.read()
            # What no API server has a resource for is answered in plain words.
            is_json = answer.headers.get_content_type() == JSON
            return answer.status, json.loads(content) if is_json else {"message": content.decode().strip()}

    def _send(self, method: str, path: str, data: str | None, headers: dict[str, str]) -> http.client.HTTPResponse:
        self._connection.request(method, path, data, headers)
        return self._connection.getresponse()

    def close(self) -> None:
        """Close it; the next request opens it anew."""
        self._connection.close()


def trusting(authority: str, certificate: str, key: str) -> ssl.SSLContext:
    """Return what a client needs that trusts an authority and shows a certificate of its own."""
    trust = ssl.create_default_context(cadata=authority)
    # There is no other way in than by a file.
    with tempfile.NamedTemporaryFile() as pair:
        pair.write(f"{certificate}\n{key}".encode())
        pair.flush()
        trust.load_cert_chain(pair.name)
    return trust


def decoded(content: str) -> str:
    """Return what a kubeconfig carries inside."""
    return base64.b64decode(content).decode()
