"""Each way a public key can be refused, by its number in the threat model."""

from __future__ import annotations

import base64

import pytest

from hookseal.errors import InvalidKeyError
from hookseal.seal.keys import MAX_BYTES, parse_public_key
from tests.bad_inputs.keys import CASES, GOOD, N, X, Y, certificate, request, ssh
from tests.public_keys import (
    X25519,
    ec_jwk,
    okp_jwk,
    p256_pem,
    pem,
    private,
    rsa_jwk,
    rsa_key,
    rsa_pem,
    spki,
    x25519_pem,
)

TABLE = [
    pytest.param(text, "key_not_for_encryption" if code == "sign" else code, id=f"{number}: {what}")
    for number, cases in CASES.items()
    for what, text, code in cases
]


def refused(text: str | bytes) -> InvalidKeyError:
    with pytest.raises(InvalidKeyError) as caught:
        parse_public_key(text)
    return caught.value


@pytest.mark.parametrize(("text", "code"), TABLE)
class TestAPublicKey:
    def test_is_refused_with_the_code_of_what_is_wrong(self, text: str | bytes, code: str) -> None:
        assert refused(text).code == code

    def test_is_not_repeated_in_the_refusal(self, text: str | bytes, code: str) -> None:
        error = refused(text)

        sent = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        shown = f"{error!r} {error} {error.__cause__!r}".encode()
        pieces = [sent[at : at + 24] for at in range(0, min(len(sent), 2000), 8)]
        assert not any(
            piece in shown for piece in pieces if len(piece) == 24 and piece not in HINTS
        )
        assert error.field == "public_key"
        assert len(error.message) < 200


# Fixed texts that both a key and a hint may hold.
HINTS = b"-----BEGIN PUBLIC KEY----- -----END PUBLIC KEY----- "


class TestTheTable:
    def test_covers_every_refusal_of_a_key_that_is_no_conflict(self) -> None:
        assert list(CASES) == list(range(28, 52))

    def test_refuses_nothing_but_the_fault(self) -> None:
        # What the faults were built from is accepted.
        for text in (
            rsa_pem(N),
            rsa_jwk(N),
            p256_pem(b"\x04" + X + Y),
            ec_jwk(X, Y),
            x25519_pem(b"\x09" + bytes(31)),
            okp_jwk(b"\x09" + bytes(31)),
            pem(spki("1.2.840.113549.1.1.1", rsa_key(N))),
            " " * (MAX_BYTES - len(GOOD)) + GOOD.decode(),
        ):
            assert parse_public_key(text).kid


class TestTheMessage:
    @pytest.mark.parametrize(
        ("text", "part"),
        [
            (rsa_pem(1 << 1023 | 1), "1024 bits; at least 2048"),
            (rsa_pem(N, 3), "at least 65537"),
            (okp_jwk(X, crv="Ed25519"), "Ed25519 signs; send an X25519, P-256 or RSA key"),
            (private(), "Treat it as compromised"),
            (certificate(), "openssl x509 -pubkey"),
            (request(), "openssl req -pubkey"),
            (ssh(), "ssh-keygen -e -m PKCS8"),
            (pem(rsa_key(N), "RSA PUBLIC KEY"), "RSAPublicKey_in"),
            (pem(b"0", "PGP PUBLIC KEY BLOCK"), "PGP"),
            (spki(X25519, X), "-inform DER"),
            (base64.b64encode(GOOD), "base64 around a PEM block"),
            (base64.b64encode(spki(X25519, X)), "Keep the lines"),
            (GOOD.replace(b"\n", rb"\n"), "a backslash and a letter"),
            (GOOD[:-60], "is missing"),
            (GOOD.replace(b"M", b"!", 1), "cut or damaged"),
            (GOOD.decode().encode("utf-16"), "UTF-8"),
            (GOOD * 2, "2 PEM blocks"),
            ("", "Nothing was sent"),
        ],
    )
    def test_says_what_was_seen_and_what_to_do(self, text: str | bytes, part: str) -> None:
        assert part in refused(text).message
