"""Published examples, as far as they use our building blocks.

No RFC has an example of RSA-OAEP-256 or ECDH-ES with A256GCM as a whole; of its parts
they have: content encryption, key agreement, key derivation, thumbprints.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from standardwebhooks.webhooks import Webhook

from hookseal.seal.encrypt import concat_kdf, encrypt, encryption_key, other_info, seal_content
from hookseal.seal.keys import parse_public_key
from hookseal.seal.sign import sign, signature_header
from tests.oracles import OPENERS, joserfc_key
from tests.sealed import FixedRandomness, b64u, b64u_decode

FOLDER = Path(__file__).parents[1] / "vectors"


def vector(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return content


def public(jwk: dict[str, str]) -> dict[str, str]:
    """The public members; without `alg`, since some keys are bound to RSA-OAEP with SHA-1."""
    return {name: jwk[name] for name in jwk.keys() - {"d", "p", "q", "dp", "dq", "qi", "alg"}}


def agreed_on_p256(own: dict[str, str], other: dict[str, str]) -> bytes:
    randomness = FixedRandomness(iv=b"", ephemeral=b64u_decode(own["d"]))
    point = b"\x04" + b64u_decode(other["x"]) + b64u_decode(other["y"])
    theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    return randomness.p256().exchange(ec.ECDH(), theirs)


@pytest.mark.parametrize("name", ["rfc7516_a1", "rfc7520_5_2"])
def test_content_encryption(name: str) -> None:
    example = vector(name)

    ciphertext, tag = seal_content(
        b64u_decode(example["cek"]),
        b64u_decode(example["iv"]),
        example["plaintext"].encode(),
        aad=example["protected"].encode(),
    )

    assert (b64u(ciphertext), b64u(tag)) == (example["ciphertext"], example["tag"])


def test_key_derivation_of_rfc_7518() -> None:
    example = vector("rfc7518_c")

    info = other_info(
        example["enc"].encode(),
        example["key_bits"],
        apu=example["apu"].encode(),
        apv=example["apv"].encode(),
    )
    derived = concat_kdf(b64u_decode(example["z"]), info, example["key_bits"] // 8)

    assert agreed_on_p256(example["ephemeral"], example["key"]) == b64u_decode(example["z"])
    assert b64u(derived) == example["derived_key"]


def test_key_agreement_of_rfc_7520() -> None:
    example = vector("rfc7520_5_5")

    info = other_info(example["enc"].encode(), example["key_bits"])
    shared = agreed_on_p256(example["epk"], example["key"])

    assert b64u(concat_kdf(shared, info, example["key_bits"] // 8)) == example["cek"]


def test_key_agreement_of_rfc_8037() -> None:
    example = vector("rfc8037_a6")
    own = FixedRandomness(iv=bytes(12), ephemeral=b64u_decode(example["ephemeral"]["d"]))
    key = parse_public_key(json.dumps(example["key"]))

    jwe = json.loads(encrypt(b"hi", encryption_key(key.kid, key.jwk), randomness=own))

    # A body holds neither the shared secret nor the key: it must be the one that the
    # example's secret gives.
    info = other_info(b"A256GCM", 256)
    cek = concat_kdf(bytes.fromhex(example["z"]), info, 32)
    expected = seal_content(cek, bytes(12), b"hi", aad=jwe["protected"].encode())
    assert (b64u_decode(jwe["ciphertext"]), b64u_decode(jwe["tag"])) == expected
    epk = json.loads(b64u_decode(jwe["protected"]))["epk"]
    assert epk == public(example["ephemeral"])


@pytest.mark.parametrize("name", ["rfc7516_a1", "rfc7518_c", "rfc7520_5_2", "rfc7520_5_5"])
def test_the_examples_keys_are_accepted_sealed_to_and_opened(name: str) -> None:
    jwk = vector(name)["key"]

    key = parse_public_key(json.dumps(public(jwk)))
    body = encrypt(b"hi", encryption_key(key.kid, key.jwk))

    pem = joserfc_key(json.dumps(jwk).encode()).as_pem(private=True)
    assert [opener(pem, body).plaintext for opener in OPENERS.values()] == [b"hi", b"hi"]


def test_thumbprint_of_rfc_7638() -> None:
    # Section 3.1.
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECP"
        "ebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY"
        "368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0f"
        "M4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    jwk = {"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    del jwk["alg"]  # the example's key signs

    key = parse_public_key(json.dumps(jwk))

    assert key.kid == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_signature_of_standard_webhooks() -> None:
    example = vector("standard_webhooks")
    secret = b64u_decode(example["secret"].removeprefix("whsec_"))
    signed = (example["id"], example["timestamp"], example["body"].encode())

    assert sign(secret, *signed) == example["signature"]
    assert signature_header([secret], *signed) == example["signature"]
    theirs = Webhook(example["secret"]).sign(
        example["id"], datetime.fromtimestamp(example["timestamp"], tz=UTC), example["body"]
    )
    assert theirs == example["signature"]
