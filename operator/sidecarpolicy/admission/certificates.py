"""Certificates: an authority of our own and what it signs for our hosts."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

LARGEST = 16 * 1024
"""Bytes of a pair's chain or key: what every pipe holds, and ten times what is usual."""

_CLOCK_SKEW = timedelta(minutes=5)
_USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate, or several of them, and the key of the first, as PEM."""

    chain: bytes
    key: bytes

    @classmethod
    def read(cls, chain: bytes, key: bytes) -> Self:
        """Return what a server may serve with; raises ValueError with what is wrong with it."""
        if max(len(chain), len(key)) > LARGEST:
            raise ValueError(f"the certificate or the key is longer than {LARGEST} bytes")
        pair = cls(chain, key)
        if _private(key).public_key() != pair.certificate.public_key():
            raise ValueError("the key is not the certificate's")
        return pair

    @property
    def certificate(self) -> x509.Certificate:
        """The first of the chain."""
        return x509.load_pem_x509_certificate(self.chain)

    @property
    def expires(self) -> datetime:
        """When the first of the chain ends."""
        return self.certificate.not_valid_after_utc

    @property
    def can_sign(self) -> bool:
        """Whether the key can be an authority's."""
        return isinstance(_private(self.key), SigningKey)


def make_authority(life: timedelta, now: datetime) -> Pair:
    """Return a new authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("sidecarpolicy")
    builder = _builder(key, name, name, key, now, now + life)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return _signed(builder.add_extension(_usage("key_cert_sign", "crl_sign"), critical=True), key, key)


def make_serving(authority: Pair, hosts: Sequence[str], life: timedelta, now: datetime) -> Pair:
    """Return a new certificate for host names and addresses; it ends no later than its authority, which can sign."""
    issuer, signing = authority.certificate, cast(SigningKey, _private(authority.key))
    key = ec.generate_private_key(ec.SECP256R1())
    end = min(now + life, issuer.not_valid_after_utc)
    builder = _builder(key, _name("sidecarpolicy-webhook"), issuer.subject, signing, now, end)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage("digital_signature"), critical=True)
    for extension in (
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
        x509.SubjectAlternativeName([_general_name(host) for host in hosts]),
    ):
        builder = builder.add_extension(extension, critical=False)
    return _signed(builder, key, signing)


def certificates_in(text: bytes) -> list[x509.Certificate]:
    """Return the certificates of a PEM text; none of one that is no such text."""
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError:
        return []


def is_signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Tell whether this authority made a certificate."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def is_for(certificate: x509.Certificate, hosts: Sequence[str]) -> bool:
    """Tell whether a certificate speaks for exactly these host names and addresses."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return set(names) == {_general_name(host) for host in hosts}


def pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def _builder(
    key: ec.EllipticCurvePrivateKey,
    subject: x509.Name,
    issuer: x509.Name,
    signing: SigningKey,
    now: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    # Two authorities have one name while one follows the other: the identifiers tell them apart.
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
    )


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, signing: SigningKey) -> Pair:
    unlocked = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unlocked)
    return Pair(pem(builder.sign(signing, hashes.SHA256())), private)


def _private(key: bytes) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(key, password=None)
    except (TypeError, UnsupportedAlgorithm) as error:  # a TypeError asks for a password
        raise ValueError(f"the key cannot be used: {error}") from error


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*uses: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{use: use in uses for use in _USES})


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
