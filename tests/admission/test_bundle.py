"""When which certificate is renewed, and what is kept meanwhile; what a Secret may hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from sidecarpolicy.admission.bundle import Bundle, Due, Life, make, plan, renew
from sidecarpolicy.admission.certificates import Pair, is_for, is_signed_by, pem

HOSTS = ("sidecarpolicy-webhook.sidecarpolicy-system.svc", "127.0.0.1", "fd00::1")
LIFE = Life()
BORN = datetime(2026, 11, 21, tzinfo=UTC)
DAY = timedelta(days=1)
MADE = make(HOSTS, LIFE, BORN)
STRANGER = make(HOSTS, LIFE, BORN)
FOLLOWED = renew(MADE, Due.AUTHORITY, HOSTS, LIFE, BORN + 2434 * DAY)


@dataclass(frozen=True)
class Case:
    after: timedelta
    want: Due
    bundle: Bundle = MADE
    trusted: bytes | None = MADE.trust
    hosts: tuple[str, ...] = HOSTS
    life: Life = LIFE


CASES = {
    "new": Case(0 * DAY, Due.NOTHING),
    "a-day-before-two-thirds": Case(59 * DAY, Due.NOTHING),
    "two-thirds": Case(60 * DAY, Due.SERVING),
    "ended": Case(91 * DAY, Due.SERVING),
    "authority-at-two-thirds": Case(2434 * DAY, Due.AUTHORITY),
    "both-ended": Case(4000 * DAY, Due.AUTHORITY),
    "new-authority-not-yet-trusted": Case(2434 * DAY, Due.NOTHING, bundle=FOLLOWED),
    "new-authority-trusted": Case(2434 * DAY, Due.SERVING, bundle=FOLLOWED, trusted=FOLLOWED.trust),
    "new-authority-and-nobody-calls": Case(2434 * DAY, Due.SERVING, bundle=FOLLOWED, trusted=None),
    "nobody-is-trusted-yet": Case(60 * DAY, Due.NOTHING, trusted=b""),
    "somebody-else-is-trusted": Case(60 * DAY, Due.NOTHING, trusted=STRANGER.trust),
    "what-is-trusted-is-no-certificate": Case(60 * DAY, Due.NOTHING, trusted=b"garbage"),
    "another-host": Case(0 * DAY, Due.SERVING, hosts=("other",)),
    "the-same-address-written-otherwise": Case(0 * DAY, Due.NOTHING, hosts=(*HOSTS[:2], "fd00:0::1")),
    "a-shorter-life-is-wanted": Case(59 * DAY, Due.NOTHING, life=Life(serving=DAY)),
    "a-longer-life-is-wanted": Case(0 * DAY, Due.SERVING, life=Life(serving=300 * DAY)),
}


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_plan(case: Case) -> None:
    assert plan(case.bundle, case.trusted, case.hosts, case.life, BORN + case.after) is case.want


def test_a_new_authority_leaves_the_old_one_trusted_and_the_certificate_in_use() -> None:
    old, new = MADE.authorities[0], FOLLOWED.authorities[0]

    assert FOLLOWED.authorities == [new, old]
    assert new != old
    assert FOLLOWED.serving == MADE.serving


def test_what_follows_is_signed_by_the_new_authority() -> None:
    renewed = renew(FOLLOWED, Due.SERVING, HOSTS, LIFE, BORN + 2434 * DAY)

    assert is_signed_by(renewed.serving.certificate, FOLLOWED.authorities[0])
    assert renewed.trust == FOLLOWED.trust


def test_an_authority_that_ended_is_dropped_once_nothing_of_it_is_in_use() -> None:
    moved_on = renew(FOLLOWED, Due.SERVING, HOSTS, LIFE, BORN + 2434 * DAY)

    late = BORN + 4000 * DAY
    assert MADE.authorities[0] in renew(FOLLOWED, Due.AUTHORITY, HOSTS, LIFE, late).authorities
    assert MADE.authorities[0] not in renew(moved_on, Due.AUTHORITY, HOSTS, LIFE, late).authorities


def test_a_certificate_does_not_outlive_its_authority() -> None:
    late = renew(MADE, Due.SERVING, HOSTS, LIFE, BORN + 3600 * DAY)

    assert late.serving.expires == MADE.authority.expires


def test_only_the_authority_may_sign() -> None:
    facts = [each.extensions.get_extension_for_class(x509.BasicConstraints).value.ca for each in MADE.authorities]
    serving = MADE.serving.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca

    assert (facts, serving) == ([True], False)
    assert is_for(MADE.serving.certificate, HOSTS)


def test_what_is_written_is_read() -> None:
    assert Bundle.read(FOLLOWED.data) == FOLLOWED


def locked(pair: Pair) -> bytes:
    key = serialization.load_pem_private_key(pair.key, password=None)
    encryption = serialization.BestAvailableEncryption(b"secret")
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def unfit() -> dict[str, bytes]:
    """An authority that somebody else made, with a key that signs in a way of its own."""
    key, name = ed25519.Ed25519PrivateKey.generate(), x509.Name([])
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, BORN, BORN + DAY).sign(key, None)
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return {"ca.crt": pem(certificate), "ca.key": private}


Change = Callable[[dict[str, bytes]], dict[str, bytes]]

GARBAGE: dict[str, tuple[Change, str]] = {
    "nothing": (lambda _: {}, "there is no ca.crt and no ca.key and no tls.crt and no tls.key"),
    "a-key-is-missing": (lambda data: {**data, "ca.key": b""}, "there is no ca.key"),
    "no-certificate": (lambda data: {**data, "tls.crt": b"garbage"}, "Unable to load PEM file"),
    "too-much": (lambda data: {**data, "tls.crt": 40 * data["tls.crt"]}, "longer than 16384 bytes"),
    "no-key": (lambda data: {**data, "tls.key": b"garbage"}, "Could not deserialize key|Unable to load PEM"),
    "locked": (lambda data: {**data, "tls.key": locked(MADE.serving)}, "the key cannot be used"),
    "anothers-key": (lambda data: {**data, "tls.key": STRANGER.serving.key}, "the key is not the certificate's"),
    "anothers-authority": (
        lambda data: {**STRANGER.data, "tls.crt": data["tls.crt"], "tls.key": data["tls.key"]},
        "no authority there signed",
    ),
    "an-authority-that-cannot-sign-for-us": (
        lambda data: {**data, **unfit()},
        "neither of an elliptic curve nor RSA",
    ),
}


@pytest.mark.parametrize(("change", "message"), GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_told(change: Change, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Bundle.read(change(MADE.data))


def test_a_bundle_is_whole_while_authorities_follow_each_other() -> None:
    late = renew(MADE, Due.AUTHORITY, HOSTS, LIFE, BORN + 4000 * DAY)

    assert Bundle.read(late.data) == late
