"""Private keys: what is taken, and what is said about the rest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from hookseal_receiver import SetupError
from tests.oracles import joserfc_key
from tests.receiving import SECRET, a_request, a_webhook, kid_of, public_key_of
from tests.sealed import KEYS, public_pem, vectors

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes


def pem_of(
    key: PrivateKeyTypes,
    password: bytes | None = None,
    form: PrivateFormat = PrivateFormat.PKCS8,
) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, encryption)


def jwk_of(name: str) -> dict[str, object]:
    key = joserfc_key(vectors()[name].private_key)
    return dict(key.as_dict(private=True))


def code_of(*keys: str | bytes) -> str:
    with pytest.raises(SetupError) as caught:
        a_webhook(keys=[vectors()["x25519"].private_key, *keys])
    assert caught.value.field == "keys[1]"
    return caught.value.code


@pytest.mark.parametrize("name", KEYS)
def test_a_key_is_called_what_the_sender_calls_it(name: str) -> None:
    assert a_webhook(name).key_ids == (kid_of(name),)


@pytest.mark.parametrize("name", ["rsa-2048", "p256", "x25519"])
def test_a_jwk_is_as_good_as_a_pem(name: str) -> None:
    marked = jwk_of(name) | {"kid": "mine", "use": "enc", "alg": "whatever"}

    webhook = a_webhook(keys=[json.dumps(marked)])

    assert webhook.key_ids == (kid_of(name),)
    assert webhook.open(*a_request(to=name)).id == "evt_1"


def test_the_older_forms_of_a_pem_are_read_too() -> None:
    rsa_key = rsa.generate_private_key(65537, 2048)
    ec_key = ec.generate_private_key(ec.SECP256R1())

    pems = [pem_of(key, form=PrivateFormat.TraditionalOpenSSL) for key in (rsa_key, ec_key)]

    assert len(a_webhook(keys=[pems[0].decode(), b"\n" + pems[1]]).key_ids) == 2


@pytest.mark.parametrize(
    "text",
    [
        *("", "no key", "\ud800", "{", "{}", '{"kty":"RSA"}', "{" * 9000, "[]"),
        '{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"AA"}',
        '{"kty":"OKP","crv":"X25519","x":7,"d":7}',
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ],
)
def test_what_is_no_private_key_is_refused(text: str) -> None:
    assert code_of(text) == "key_format"


def test_a_key_with_a_passphrase_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())

    assert code_of(pem_of(key, b"passphrase")) == "key_format"


@pytest.mark.parametrize("name", ["rsa-2048", "p256", "x25519"])
def test_a_public_key_is_called_that(name: str) -> None:
    assert code_of(public_pem(vectors()[name].private_key)) == "key_is_public"
    assert code_of(json.dumps(public_key_of(name).as_dict(private=False))) == "key_is_public"


@pytest.mark.parametrize(
    "key",
    [
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(65537, 1024),  # noqa: S505 - to be refused
    ],
    ids=["Ed25519", "P-384", "secp256k1", "RSA-1024"],
)
def test_a_key_that_nothing_is_sealed_to_is_refused(key: PrivateKeyTypes) -> None:
    assert code_of(pem_of(key)) == "key_unsupported"


def test_a_symmetric_key_is_refused() -> None:
    assert code_of('{"kty":"oct","k":"AAAA"}') == "key_unsupported"


def test_no_part_of_a_key_stands_in_an_error() -> None:
    number = str(jwk_of("x25519")["d"])
    broken = json.dumps(jwk_of("x25519") | {"crv": "X25518"})

    with pytest.raises(SetupError) as caught:
        a_webhook(keys=[broken], secrets=[SECRET])

    assert number not in repr(caught.value)
    assert caught.value.__cause__ is None
