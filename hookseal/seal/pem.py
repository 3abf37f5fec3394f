"""A public key as PEM (RFC 7468 section 13): SubjectPublicKeyInfo between two lines."""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING

import pybase64
from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

from hookseal.seal.jwk import (
    not_for_encryption,
    p256_key,
    private_key_submitted,
    refusal,
    rsa_key,
    x25519_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hookseal.domain.tenant import PublicKey
    from hookseal.errors import InvalidKeyError

# Any label, and the forms of OpenSSH, SSH2 and PGP, PuTTY and age.
_PRIVATE = re.compile(
    rb"---\s?BEGIN [^-\n]{0,40}PRIVATE KEY"
    rb"|openssh-key-v1|PuTTY-User-Key-File|AGE-SECRET-KEY-",
    re.IGNORECASE,
)
_LABEL = re.compile(rb"-----BEGIN ([^-\r\n]{0,64})-----")
_BLOCK = re.compile(rb"-----BEGIN PUBLIC KEY-----([^-]*)-----END PUBLIC KEY-----")
# Possessive: matching untrusted text must take linear time.
_BASE64 = re.compile(rb"[A-Za-z0-9+/_\-\s]++={0,2}")
_SSH = re.compile(rb"(?:ssh-|ecdsa-sha2-|sk-ssh-|sk-ecdsa-)[a-z0-9@.-]+ ")

_CERTIFICATES = frozenset({b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE"})
_REQUESTS = frozenset({b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST"})

# A DER structure with a private key begins with its version, a small INTEGER: PKCS #8, PKCS #1,
# SEC 1 and PKCS #12. A public key does not.
_VERSIONS = (b"\x02\x01\x00", b"\x02\x01\x01", b"\x02\x01\x03")
_SEQUENCE = b"\x30"
_NULL = b"\x05"


@asn1.sequence
class _SubjectPublicKeyInfo:
    """RFC 5280 section 4.1; the parameters may be anything, or absent."""

    algorithm: list[asn1.TLV]
    key: asn1.BitString


@asn1.sequence
class _RsaPublicKey:
    """RFC 8017 appendix A.1.1."""

    n: int
    e: int


@asn1.sequence
class _EncryptedPrivateKeyInfo:
    """RFC 5958 section 3."""

    algorithm: list[asn1.TLV]
    data: bytes


def holds_private_key(octets: bytes) -> bool:
    """Return whether a private key is anywhere in the bytes, in a known form."""
    # Without NULs UTF-16 reads as ASCII; PowerShell's `>` writes it.
    return bool(_PRIVATE.search(octets.replace(b"\x00", b""))) or _is_private_der(octets)


def unwrapped(octets: bytes) -> bytes:
    """Return the bytes decoded from base64; empty if they are not base64."""
    if not _BASE64.fullmatch(octets.strip()):
        return b""
    text = b"".join(octets.split()).rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
    try:
        return pybase64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return b""


def read_pem(text: bytes) -> PublicKey:
    """Read a public key, ignoring text around the block; raises as `parse_public_key`."""
    labels = _LABEL.findall(text)
    if not labels:
        raise _no_block(text)
    if len(labels) > 1 and not _CERTIFICATES.issuperset(labels):
        raise refusal("key_multiple", f"These are {len(labels)} PEM blocks; send one by one.")
    if labels[0] != b"PUBLIC KEY":
        raise _other_block(labels[0])
    der = _inside(text)
    if _is_private_der(der):
        raise private_key_submitted()
    try:
        info = asn1.decode_der(_SubjectPublicKeyInfo, der)
        oid = info.algorithm[0].parse(ObjectIdentifier)
    except (ValueError, IndexError):
        raise _damaged(text) from None
    read = _KINDS.get(oid.dotted_string)
    if read is None:
        raise _other_kind(oid.dotted_string)
    if info.key.padding_bits():
        raise refusal("key_invalid", "The key is not a whole number of bytes.")
    return read(info.algorithm[1:], info.key.as_bytes())


def _inside(text: bytes) -> bytes:
    block = _BLOCK.search(text)
    if block is None:
        raise _damaged(text)
    try:
        return pybase64.b64decode(b"".join(block[1].split()), validate=True)
    except binascii.Error:
        raise _damaged(text) from None


def _rsa(parameters: Sequence[asn1.TLV], key: bytes) -> PublicKey:
    # RFC 3279 section 2.3.1 wants NULL; some leave it out.
    if [(each.tag_bytes, bytes(each.data)) for each in parameters] not in ([], [(_NULL, b"")]):
        raise refusal("key_invalid", "An RSA key has no parameters (RFC 3279 section 2.3.1).")
    try:
        numbers = asn1.decode_der(_RsaPublicKey, key)
    except ValueError:
        raise refusal("key_invalid", "The numbers of the RSA key cannot be decoded.") from None
    return rsa_key(numbers.n, numbers.e)


def _p256(parameters: Sequence[asn1.TLV], key: bytes) -> PublicKey:
    try:
        (parameter,) = parameters
        curve = parameter.parse(ObjectIdentifier).dotted_string
    except ValueError:
        raise refusal("key_unsupported", "Name the curve instead of describing it.") from None
    if curve != _P256:
        raise refusal("key_unsupported", "The only elliptic curves are P-256 and X25519.")
    return p256_key(key)


def _x25519(parameters: Sequence[asn1.TLV], key: bytes) -> PublicKey:
    if parameters:
        raise refusal("key_invalid", "An X25519 key has no parameters (RFC 8410 section 3).")
    return x25519_key(key)


def _is_private_der(octets: bytes) -> bool:
    try:
        outer = asn1.decode_der(asn1.TLV, octets)
    except ValueError:
        return False
    if outer.tag_bytes != _SEQUENCE:
        return False
    if bytes(outer.data[:3]) in _VERSIONS:
        return True
    try:
        asn1.decode_der(_EncryptedPrivateKeyInfo, octets)
    except ValueError:
        return False
    return True


def _no_block(text: bytes) -> InvalidKeyError:
    inside = unwrapped(text)
    for seen, hint in (
        (not text.strip(), "Nothing was sent; send a public key, PEM or JWK."),
        (text[:1] == _SEQUENCE and not text.isascii(), _DER_HINT),
        (b"\x00" in text, "Send text; save the file as UTF-8 if it is PEM."),
        (_SSH.match(text), "This is an OpenSSH key; use `ssh-keygen -e -m PKCS8 -f key.pub`."),
        (b"-----BEGIN" in inside, "This is base64 around a PEM block; send the block itself."),
        (inside[:1] == _SEQUENCE, _LINES_HINT),
    ):
        if seen:
            return refusal("key_format", hint)
    return refusal("key_format", "This is not a key; send a public key, PEM or JWK.")


def _damaged(text: bytes) -> InvalidKeyError:
    if b"\\n" in text or b"\\r" in text:
        hint = "The line breaks are escaped as a backslash and a letter; send real ones."
    elif b"-----END PUBLIC KEY-----" not in text:
        hint = "The line -----END PUBLIC KEY----- is missing; send the file as it is."
    else:
        hint = "The PEM block is cut or damaged; send the file as it is."
    return refusal("key_format", hint)


def _other_block(label: bytes) -> InvalidKeyError:
    if label in _CERTIFICATES:
        hint = "This is a certificate; use `openssl x509 -pubkey -noout -in certificate.pem`."
        return refusal("key_is_certificate", hint)
    if label in _REQUESTS:
        hint = "This is a certificate request; use `openssl req -pubkey -noout -in request.pem`."
    elif label.startswith(b"PGP "):
        hint = "This is a PGP key; send an RSA, P-256 or X25519 key as PEM or JWK."
    elif label == b"RSA PUBLIC KEY":
        hint = "This is PKCS #1; use `openssl rsa -RSAPublicKey_in -pubout -in key.pem`."
    else:
        hint = "Send the block that begins with -----BEGIN PUBLIC KEY-----."
    return refusal("key_format", hint)


def _other_kind(oid: str) -> InvalidKeyError:
    name = _SIGNING.get(oid)
    if name is not None:
        return not_for_encryption(name)
    if oid == _RSAES_OAEP:
        return refusal("key_unsupported", "Send the RSAES-OAEP key as plain RSA (rsaEncryption).")
    return refusal("key_unsupported", "Send an RSA, P-256 or X25519 public key.")


_LINES_HINT = "Keep the lines -----BEGIN PUBLIC KEY----- and -----END PUBLIC KEY----- around it."
_DER_HINT = "This is DER; use `openssl pkey -pubin -inform DER -in key.der` for PEM."

_P256 = "1.2.840.10045.3.1.7"
_RSAES_OAEP = "1.2.840.113549.1.1.7"
_SIGNING: Mapping[str, str] = {
    "1.2.840.113549.1.1.10": "RSASSA-PSS",
    "1.3.101.112": "Ed25519",
    "1.3.101.113": "Ed448",
    "1.2.840.10040.4.1": "DSA",
    "2.16.840.1.101.3.4.3.17": "ML-DSA-44",
    "2.16.840.1.101.3.4.3.18": "ML-DSA-65",
    "2.16.840.1.101.3.4.3.19": "ML-DSA-87",
}
_KINDS: Mapping[str, Callable[[Sequence[asn1.TLV], bytes], PublicKey]] = {
    "1.2.840.113549.1.1.1": _rsa,
    "1.2.840.10045.2.1": _p256,
    "1.3.101.110": _x25519,
}
