"""TLS for a hub that is open to the LAN: the site's own certificate, or one that is made here.

Beyond loopback the hub opens only with users and TLS: passwords would travel in clear text, and anybody could be
anybody.
"""

from __future__ import annotations

import hashlib
import ipaddress
import ssl
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from web.private import NotPrivate, read_private, write_private
from web.serving import is_loopback

if TYPE_CHECKING:
    from cryptography import x509

GOOD_FOR = timedelta(days=820)
"""browsers take no more than 825 days"""
RENEW_BEFORE = timedelta(days=30)


class Certificate(NamedTuple):
    """A certificate and its key on the disk."""

    path: Path
    key_path: Path
    fingerprint: str
    """SHA-256, as browsers show it"""


def closed(listen: str, *, users: int, certificate: Certificate | None) -> str:
    """Why the hub may not listen on `listen`; empty when it may.

    Args:
        users: how many there are.
        certificate: what it would use.
    """
    if is_loopback(listen):
        return ""
    if not users:
        return (
            f"listen={listen} opens the hub to the network, and there are no users yet: start it on loopback, "
            "make an administrator with the one-time key, then open it"
        )
    if certificate is None:
        return f"listen={listen} opens the hub to the network, and there is no certificate: passwords would be read"
    return ""


def own_certificate(folder: Path, names: Collection[str], now: datetime | None = None) -> Certificate:
    """The certificate of this hub: the one that is there, or a new one when it is not, or is old or for other names.

    Args:
        folder: where `tls.pem` and `tls.key` (0600) are.
        names: host names and addresses that people type.

    Raises:
        NotPrivate: the disk says no, or the key is open to others.
    """
    from cryptography import x509

    now = now or datetime.now(UTC)
    path, key_path = folder / "tls.pem", folder / "tls.key"
    try:
        pem = read_private(path)
        read_private(key_path)  # a key that others can read is none
        there = x509.load_pem_x509_certificate(pem)
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(path, key_path)
        if there.not_valid_after_utc - now > RENEW_BEFORE and set(names) <= _names(there):
            return Certificate(path, key_path, fingerprint(pem.decode()))
    except FileNotFoundError:
        pass
    except (ValueError, ssl.SSLError):
        pass  # damaged: made anew, and the fingerprint tells
    made, key = make(names, now)
    write_private(key_path, key)
    write_private(path, made)
    return Certificate(path, key_path, fingerprint(made.decode()))


def given_certificate(path: Path, key_path: Path) -> Certificate:
    """The site's own.

    Raises:
        NotPrivate: it cannot be read or is no pair, or its key is open to others.
    """
    try:
        read_private(key_path)
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(path, key_path)
        return Certificate(path, key_path, fingerprint(path.read_text()))
    except FileNotFoundError as error:
        raise NotPrivate(f"{error.filename} is not there") from None
    except (OSError, ValueError) as error:
        if isinstance(error, NotPrivate):
            raise
        raise NotPrivate(f"{path} and {key_path} are no certificate and its key: {error}") from None


def fingerprint(pem: str) -> str:
    """SHA-256 of the first certificate in `pem`. Raises ValueError where there is none."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    if begin not in pem or end not in pem:
        raise ValueError("no certificate in PEM")
    first = pem[pem.index(begin) : pem.index(end) + len(end)]
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).digest().hex(":").upper()


def make(names: Collection[str], now: datetime) -> tuple[bytes, bytes]:
    """A new certificate and its key in PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Fanuc Rise")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + GOOD_FOR)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in sorted(set(names))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


def _general(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _names(certificate: x509.Certificate) -> set[str]:
    from cryptography import x509

    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(n) for n in (*names.get_values_for_type(x509.DNSName), *names.get_values_for_type(x509.IPAddress))}
