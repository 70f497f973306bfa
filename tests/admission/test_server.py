"""The server on a real socket with TLS: who asks well is answered, who does not is told, or cut."""

from __future__ import annotations

import asyncio
import gc
import io
import socket
import ssl
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from admission.reviews import Meter, encoded, patched, review
from builders import asking, deployment, policy, sidecar
from localcluster.certificates import Authority
from sidecarpolicy.admission import server
from sidecarpolicy.admission.mutate import Mutator
from sidecarpolicy.cluster.client import ClusterError

CREATION = encoded(review(deployment()))
JSON = {"Content-Type": "application/json"}


def head(length: int) -> bytes:
    """The head of a request with a body of that length."""
    lines = ("POST /mutate HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {length}")
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


@dataclass(frozen=True, slots=True)
class Served:
    port: int
    trust: ssl.SSLContext
    own: ssl.SSLContext
    meter: Meter
    session: aiohttp.ClientSession

    async def ask(
        self, body: Any = CREATION, path: str = "/mutate", method: str = "POST", **how: Any
    ) -> tuple[int, str]:
        how.setdefault("headers", JSON)
        body = io.BytesIO(body) if isinstance(body, bytes) else body
        url = f"https://127.0.0.1:{self.port}{path}"
        async with self.session.request(method, url, data=body, **how) as response:
            return response.status, await response.text()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.trust)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def served(authority: Authority) -> AsyncIterator[Served]:
    meter = Meter()
    mutator = Mutator(lambda: asking(policy(sidecars=[sidecar()])), lambda _: {}, meter)
    own, trust = authority.server().context(), ssl.create_default_context(cadata=authority.certificate)
    connector = aiohttp.TCPConnector(ssl=trust, limit=0)
    async with (
        server.serve(mutator, own, 0, "127.0.0.1") as port,
        aiohttp.ClientSession(connector=connector) as session,
    ):
        yield Served(port, trust, own, meter, session)


async def test_a_review_is_answered(served: Served) -> None:
    async with served.session.post(f"https://127.0.0.1:{served.port}/mutate", data=CREATION, headers=JSON) as response:
        said = await response.json()

    assert response.status == 200
    assert patched(deployment(), said)["spec"]["template"]["spec"]["initContainers"][0]["name"] == "shipper"
    assert served.meter.counts == {("Deployment", "CREATE", "injected"): 1}
    assert len(served.meter.times) == 1


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        pytest.param({"body": b"\xff\x00 garbage"}, 400, "the body is not JSON", id="garbage"),
        pytest.param({"body": b"\x1f\x8b garbage", "headers": JSON | {"Content-Encoding": "gzip"}}, 400,
                     "the body is not JSON", id="compressed"),
        pytest.param({"body": b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v2"}'}, 400,
                     "only AdmissionReview of admission.k8s.io/v1", id="another-version"),
        pytest.param({"headers": {"Content-Type": "text/plain"}}, 415, "send application/json", id="not-json"),
        pytest.param({"path": "/"}, 404, "Not Found", id="another-path"),
        pytest.param({"path": "/mutate/../mutate/x"}, 404, "Not Found", id="a-path-below"),
        pytest.param({"method": "GET", "body": None}, 405, "Method Not Allowed", id="another-method"),
        pytest.param({"method": "PUT"}, 405, "Method Not Allowed", id="a-method-with-a-body"),
    ],
)  # fmt: skip
async def test_bad_input_gets_a_short_answer(served: Served, how: Any, status: int, said: str) -> None:
    code, text = await served.ask(**how)

    assert code == status
    assert said in text
    assert len(text) < 100
    assert served.meter.counts == {("other", "other", "refused"): 1}
    assert (await served.ask())[0] == 200


async def test_a_body_of_unknown_length_is_refused(served: Served) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield CREATION

    assert (await served.ask(pieces()))[0] == 411


@pytest.mark.parametrize("kind", ["Pod", "Deployment/status"])
async def test_a_review_of_what_we_do_not_handle_is_allowed(served: Served, kind: str) -> None:
    of = {"group": "example.org", "version": "v1", "kind": kind}
    code, text = await served.ask(encoded(review(deployment(), kind=of)))

    assert code == 200
    assert '"allowed": true' in text


async def test_garbage_instead_of_http_is_refused(served: Served) -> None:
    reader, writer = await served.connect()
    writer.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()

    assert text.startswith("HTTP/1.0 400")
    assert "Traceback" not in text
    assert (await served.ask())[0] == 200


async def test_plain_http_is_cut(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"POST /mutate HTTP/1.1\r\n\r\n")

    assert b"HTTP" not in await reader.read()
    writer.close()
    assert (await served.ask())[0] == 200


async def test_the_largest_review_that_can_come_is_answered_and_a_larger_one_refused(served: Served) -> None:
    annotations = {"large": "\x01" * (server.LARGEST // 6 - 5000)}
    large = encoded(review(deployment(annotations=annotations)))
    assert server.LARGEST * 0.9 < len(large) < server.LARGEST

    assert (await served.ask(large))[0] == 200
    code, text = await served.ask(b"x" * (server.LARGEST + 1))
    assert (code, text) == (413, f"send at most {server.LARGEST} bytes\n")


async def test_many_large_requests_at_once_cannot_fill_the_memory(served: Served) -> None:
    opened = [await served.connect() for _ in range(6)]
    for _, writer in opened[:4]:
        writer.write(head(server.LARGEST))
    await asyncio.sleep(0)
    for _, writer in opened[4:]:
        await until_taken(served)
        writer.write(head(server.LARGEST))
    refused = [await reader.readline() for reader, _ in opened[4:]]
    for _, writer in opened:
        writer.close()

    assert refused == [b"HTTP/1.1 503 Service Unavailable\r\n"] * 2


async def until_taken(served: Served) -> None:
    """Wait until a small request finds no room either."""
    while (await served.ask())[0] != 503:
        pass


async def test_who_sends_slowly_or_nothing_is_cut(served: Served) -> None:
    async def slow_body() -> bytes:
        reader, writer = await served.connect()
        writer.write(head(len(CREATION)) + CREATION[:10])
        text = await reader.read()
        writer.close()
        return text.split(b"\r\n")[0]

    async def silent(said: bytes) -> bytes:
        reader, writer = await served.connect()
        writer.write(said)
        text = await reader.read()
        writer.close()
        return text

    async def no_handshake() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        text = await reader.read()
        writer.close()
        return text

    began = time.monotonic()
    cut = await asyncio.gather(slow_body(), silent(b""), silent(head(1)[:30]), no_handshake())

    assert tuple(cut) == (b"HTTP/1.1 408 Request Timeout", b"", b"", b"")
    assert time.monotonic() - began < 8
    assert (await served.ask())[0] == 200


async def test_a_sender_that_goes_away_disturbs_nobody(served: Served) -> None:
    for _ in range(20):
        _, writer = await served.connect()
        writer.write(
            b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"
        )
        writer.transport.abort()

    assert (await served.ask())[0] == 200


def resident() -> int:
    """Bytes of memory that this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def test_bad_input_does_not_grow_the_memory(served: Served) -> None:
    async def storm(times: int) -> int:
        for _ in range(times):
            await served.ask(b"[" * 2**20)
            await served.ask(b"x" * (server.LARGEST + 1))
            await served.ask(b"", path=f"/{'x' * 5000}")
        return resident()

    before = await storm(3)
    after = await storm(9)

    assert after - before < 16 * 2**20


async def test_two_hundred_at_once_are_all_answered(served: Served) -> None:
    answers = await asyncio.gather(*(served.ask() for _ in range(200)))

    assert [status for status, _ in answers] == [200] * 200
    assert served.meter.counts == {("Deployment", "CREATE", "injected"): 200}
    assert statistics.median(served.meter.times) < 1


async def test_new_certificates_serve_the_next_connection_and_leave_the_old_ones_alone(
    served: Served, tmp_path: Path
) -> None:
    reader, writer = await served.connect()
    other = Authority()
    other.server().write(tmp_path, "new")
    served.own.load_cert_chain(tmp_path / "new.crt", tmp_path / "new.key")

    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 404")
    writer.close()
    trust = ssl.create_default_context(cadata=other.certificate)
    _, writer = await asyncio.open_connection("127.0.0.1", served.port, ssl=trust)
    writer.close()


async def test_a_port_that_is_taken_is_said(authority: Authority) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        mutator = Mutator(lambda: asking(), lambda _: {}, Meter())
        with pytest.raises(ClusterError, match=f"port {port}"):
            async with server.serve(mutator, authority.server().context(), port, "127.0.0.1"):
                pass
