"""A certificate authority for tests, and TLS contexts from it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
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
            file = Path(folder, "chain.pem")
            file.write_bytes(
                self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
                + self.certificate.public_bytes(Encoding.PEM)
            )
            context.load_cert_chain(file)
        return context


class Authority:
    """Issues certificates that `client_context()` trusts."""

    @cached_property
    def _root(self) -> _Issued:
        return _sign("Test Authority", None, None, ends_in=_DAY, authority=True)

    def issue(self, host: str, *, ends_in: timedelta = _DAY) -> ssl.SSLContext:
        """A server's context with a certificate for the host."""
        return _sign(host, host, self._root, ends_in=ends_in).server_context()

    def root_pem(self) -> str:
        return self._root.certificate.public_bytes(Encoding.PEM).decode()

    def client_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.root_pem())


def self_signed(host: str) -> ssl.SSLContext:
    return _sign(host, host, None, ends_in=_DAY).server_context()


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
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        builder = builder.add_extension(names, critical=False)
    return _Issued(builder.sign(signing_key, hashes.SHA256()), key)
