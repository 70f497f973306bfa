"""A certificate in a directory that somebody else keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from structlog.testing import capture_logs

from admission.handshakes import connected, serving, until
from sidecarpolicy.admission.bundle import Bundle, Life, make
from sidecarpolicy.admission.certificates import pem
from sidecarpolicy.admission.keyring import Keyring
from sidecarpolicy.admission.mounted import MountedCertificate

HOST = "sidecarpolicy-webhook.sidecarpolicy-system.svc"
NOW = datetime.now(UTC)  # noqa: TID251 - whoever connects goes by the real clock
FIRST, SECOND = (make([HOST], Life(), born) for born in (NOW - timedelta(hours=1), NOW))


@pytest.fixture
async def keyring(tmp_path: Path) -> AsyncIterator[Keyring]:
    """A keyring at what is in the test's directory."""
    keyring = Keyring()
    looking = asyncio.create_task(MountedCertificate(keyring, tmp_path, timedelta(milliseconds=20)).run())
    yield keyring
    looking.cancel()
    await asyncio.wait([looking])


def put(directory: Path, bundle: Bundle, *which: str) -> None:
    for name in which or ("tls.crt", "tls.key"):
        (directory / name).write_bytes(bundle.data[name])


async def met(port: int, bundle: Bundle) -> x509.Certificate:
    async with connected(port, bundle.trust, HOST) as connection:
        assert await connection.lives()
        return connection.certificate


async def test_it_is_taken_when_it_comes(keyring: Keyring, tmp_path: Path) -> None:
    assert not keyring.ready.is_set()

    put(tmp_path, FIRST)

    await asyncio.wait_for(keyring.ready.wait(), 20)
    assert keyring.expires == FIRST.serving.expires


async def test_a_new_one_is_shown_to_new_connections_and_others_go_on(keyring: Keyring, tmp_path: Path) -> None:
    put(tmp_path, FIRST)
    await keyring.ready.wait()
    async with serving(keyring) as port, connected(port, FIRST.trust, HOST) as earlier:
        put(tmp_path, SECOND)
        await until(lambda: keyring.expires == SECOND.serving.expires)

        assert await met(port, SECOND) == SECOND.serving.certificate
        assert await earlier.lives()


async def test_half_of_a_new_one_is_not_taken(keyring: Keyring, tmp_path: Path) -> None:
    put(tmp_path, FIRST)
    await keyring.ready.wait()
    with capture_logs() as said:
        put(tmp_path, SECOND, "tls.crt")
        await until(lambda: bool(said))

    assert [line["error"] for line in said] == ["the key is not the certificate's"]
    async with serving(keyring) as port:
        assert await met(port, FIRST) == FIRST.serving.certificate


def weak() -> dict[str, bytes]:
    """A pair that belongs together, with a key that TLS finds too short."""
    key, name = rsa.generate_private_key(65537, 1024), x509.Name([])
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(days=1))
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return {"tls.crt": pem(certificate.sign(key, hashes.SHA256())), "tls.key": private}


async def test_what_tls_refuses_is_not_taken(keyring: Keyring, tmp_path: Path) -> None:
    put(tmp_path, FIRST)
    await keyring.ready.wait()
    with capture_logs() as said:
        for name, content in weak().items():
            (tmp_path / name).write_bytes(content)
        await until(lambda: any("too small" in line.get("error", "") for line in said))

    async with serving(keyring) as port:
        assert await met(port, FIRST) == FIRST.serving.certificate


async def test_each_trouble_is_told_once(tmp_path: Path) -> None:
    keyring = Keyring()
    with capture_logs() as said:
        looking = asyncio.create_task(MountedCertificate(keyring, tmp_path, timedelta(milliseconds=1)).run())
        await until(lambda: len(said) == 1)
        for name in ("tls.crt", "tls.key"):
            (tmp_path / name).write_bytes(b"garbage")
        await until(lambda: "PEM" in said[-1]["error"])
        put(tmp_path, FIRST)
        await until(keyring.ready.is_set)
        looking.cancel()

    told = [line["error"] for line in said if line["event"] == "certificate not taken"]
    assert len(told) == len(set(told))
