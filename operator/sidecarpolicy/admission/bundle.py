"""What the replicas share: an authority, the certificate that it signed, whom to trust, and when to renew which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Self

from cryptography import x509

from sidecarpolicy.admission.certificates import (
    Pair,
    certificates_in,
    is_for,
    is_signed_by,
    make_authority,
    make_serving,
    pem,
)

AUTHORITIES, AUTHORITY_KEY = "ca.crt", "ca.key"
SERVING, SERVING_KEY = "tls.crt", "tls.key"


@dataclass(frozen=True, slots=True)
class Life:
    """For how long certificates are made; they are renewed when a third of it is left."""

    authority: timedelta = timedelta(days=3650)
    serving: timedelta = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A certificate to serve with, and the authority behind it."""

    authority: Pair
    """Its chain ends with the authorities before it: what they signed may still be in use."""

    serving: Pair

    @classmethod
    def read(cls, data: Mapping[str, bytes]) -> Self:
        """Return what a Secret holds; raises ValueError with what is wrong with it."""
        missing = [key for key in (AUTHORITIES, AUTHORITY_KEY, SERVING, SERVING_KEY) if not data.get(key)]
        if missing:
            raise ValueError(f"there is no {' and no '.join(missing)}")
        authority, serving = (
            Pair.read(data[chain], data[key]) for chain, key in ((AUTHORITIES, AUTHORITY_KEY), (SERVING, SERVING_KEY))
        )
        if not authority.can_sign:
            raise ValueError("the authority's key is neither of an elliptic curve nor RSA")
        bundle = cls(authority, serving)
        if not any(is_signed_by(serving.certificate, each) for each in bundle.authorities):
            raise ValueError("no authority there signed the certificate")
        return bundle

    @property
    def data(self) -> dict[str, bytes]:
        """As a Secret holds it."""
        return {
            AUTHORITIES: self.trust,
            AUTHORITY_KEY: self.authority.key,
            SERVING: self.serving.chain,
            SERVING_KEY: self.serving.key,
        }

    @property
    def trust(self) -> bytes:
        """Whom the API server has to trust, as PEM."""
        return self.authority.chain

    @property
    def authorities(self) -> list[x509.Certificate]:
        """Whom the API server has to trust, newest first."""
        return x509.load_pem_x509_certificates(self.trust)


class Due(Enum):
    """What is to be renewed."""

    NOTHING = auto()
    SERVING = auto()
    AUTHORITY = auto()


def plan(bundle: Bundle, trusted: bytes | None, hosts: Sequence[str], life: Life, now: datetime) -> Due:
    """Tell what to renew, where `trusted` is whom the API server trusts already: None where it does not call us.

    A new authority signs nothing before it is trusted, so that no call fails in between.
    """
    newest = bundle.authorities[0]
    if _is_old(newest, life.authority, now):
        return Due.AUTHORITY
    if trusted is not None and newest not in certificates_in(trusted):
        return Due.NOTHING
    serving = bundle.serving.certificate
    is_current = is_signed_by(serving, newest) and is_for(serving, hosts)
    return Due.NOTHING if is_current and not _is_old(serving, life.serving, now) else Due.SERVING


def make(hosts: Sequence[str], life: Life, now: datetime) -> Bundle:
    """Return a new authority and what it signed for these host names and addresses."""
    authority = make_authority(life.authority, now)
    return Bundle(authority, make_serving(authority, hosts, life.serving, now))


def renew(bundle: Bundle, what: Due, hosts: Sequence[str], life: Life, now: datetime) -> Bundle:
    """Return the bundle with what is due made anew."""
    if what is Due.AUTHORITY:
        authority = make_authority(life.authority, now)
        in_use = [each for each in bundle.authorities if _is_in_use(each, bundle.serving, now)]
        return replace(bundle, authority=Pair(authority.chain + b"".join(map(pem, in_use)), authority.key))
    if what is Due.SERVING:
        return replace(bundle, serving=make_serving(bundle.authority, hosts, life.serving, now))
    return bundle


def _is_old(certificate: x509.Certificate, life: timedelta, now: datetime) -> bool:
    return certificate.not_valid_after_utc - now <= life / 3


def _is_in_use(authority: x509.Certificate, serving: Pair, now: datetime) -> bool:
    return authority.not_valid_after_utc > now or is_signed_by(serving.certificate, authority)
