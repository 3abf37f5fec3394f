"""A certificate authority for tests, and TLS contexts from it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

_DAY = timedelta(days=1)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


@dataclass(frozen=True)
class _Issued:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # load_cert_chain takes files and nothing else.
        with TemporaryDirectory() as folder:
            context.load_cert_chain(self.write(Path(folder, "chain.pem")))
        return context

    def write(self, file: Path) -> Path:
        """Write key and certificate into one PEM file."""
        file.write_bytes(
            self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + self.certificate.public_bytes(Encoding.PEM)
        )
        return file


class Authority:
    """Issues certificates that `client_context()` trusts."""

    @cached_property
    def _root(self) -> _Issued:
        return _sign("Test Authority", None, None, ends_in=_DAY, authority=True)

    def issue(self, host: str, *, ends_in: timedelta = _DAY) -> ssl.SSLContext:
        """A server's context with a certificate for the host."""
        return _sign(host, host, self._root, ends_in=ends_in).server_context()

    def issue_asking(self, host: str) -> ssl.SSLContext:
        """A server's context that wants a certificate of ours from its clients."""
        context = self.issue(host)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=self.root_pem())
        return context

    def issue_file(self, host: str, file: Path) -> Path:
        """Write a certificate for the host, and its key, into a PEM file."""
        return _sign(host, host, self._root, ends_in=_DAY).write(file)

    def root_file(self, file: Path) -> Path:
        """Write what a peer trusts into a PEM file."""
        file.write_text(self.root_pem())
        return file

    def root_pem(self) -> str:
        return self._root.certificate.public_bytes(Encoding.PEM).decode()

    def client_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.root_pem())


@cache
def the_authority() -> Authority:
    """The one that tests share which need no other: its key takes a while to make."""
    return Authority()


def self_signed(host: str) -> ssl.SSLContext:
    return _sign(host, host, None, ends_in=_DAY).server_context()


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _sign(
    subject: str,
    host: str | None,
    issuer: _Issued | None,
    *,
    ends_in: timedelta,
    authority: bool = False,
) -> _Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    signing_key = issuer.key if issuer else key
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(subject))
        .issuer_name(issuer.certificate.subject if issuer else _named(subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 3 * _DAY)
        .not_valid_after(now + ends_in)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()),
            critical=False,
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=authority,
                crl_sign=authority,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if host:
        names = x509.SubjectAlternativeName([_general_name(host)])
        builder = builder.add_extension(names, critical=False)
    return _Issued(builder.sign(signing_key, hashes.SHA256()), key)
