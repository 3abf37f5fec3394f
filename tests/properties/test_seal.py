"""What is sealed is opened, by its owner alone; what is no key is refused as no key."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks.webhooks import WebhookVerificationError

from hookseal.errors import InvalidKeyError, SealError
from hookseal.seal.encrypt import encrypt, encryption_key
from hookseal.seal.keys import load_public_key, parse_public_key
from hookseal.seal.request import envelope
from hookseal.seal.sign import SigningSecrets, signature_header
from tests.oracles import OPENERS, REFUSED, verify
from tests.public_keys import RSA_ENCRYPTION, pem, private, rsa_jwk, rsa_pem, spki
from tests.sealed import KEYS, b64u, vectors
from tests.strategies import json_values

if TYPE_CHECKING:
    from hookseal.seal.encrypt import EncryptionKey

CODES = {
    "key_bad_exponent",
    "key_format",
    "key_invalid",
    "key_is_certificate",
    "key_multiple",
    "key_not_for_encryption",
    "key_too_large",
    "key_too_long",
    "key_too_small",
    "key_unsupported",
    "key_weak",
    "private_key_submitted",
}
MESSAGES = 10_000

names = st.sampled_from(KEYS)
# jwcrypto takes an empty plaintext for a failure; an envelope never is empty.
plaintexts = st.binary(min_size=1, max_size=5000)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
visible = st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=".")
event_ids = st.text(visible, min_size=1, max_size=128)


def a_key(name: str) -> EncryptionKey:
    return load_public_key(json.dumps(vectors()[name].public_jwk).encode())


# -- Keys that strangers send ------------------------------------------------

_good = [
    form
    for name in ("rsa-2048", "p256", "x25519")
    for form in (
        vectors()[name].public_pem,
        json.dumps(vectors()[name].public_jwk).encode(),
    )
] + [private()]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good key with some places cut out, changed or doubled."""
    text = draw(st.sampled_from(_good))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 40)))
        text = (
            text[:start] + draw(st.binary(max_size=8) | st.just(text[start:end] * 2)) + text[end:]
        )
    return text


_members = st.sampled_from(
    ["kty", "crv", "x", "y", "n", "e", "use", "alg", "key_ops", "kid", "keys", "d", "k", "x5c"]
)
_values = json_values | st.sampled_from(
    ["RSA", "EC", "OKP", "oct", "P-256", "X25519", "Ed25519", "enc", "sig", "AQAB", "A" * 43]
)
jwks = st.builds(
    lambda name, changes: orjson.dumps(vectors()[name].public_jwk | changes, default=str),
    names,
    st.dictionaries(_members, _values, max_size=4),
) | st.dictionaries(_members, _values).map(orjson.dumps)

_sizes = st.sampled_from([0, 1, 64, 512, 1024, 2047, 2048, 2049, 3072, 4096, 4097])
_moduli = _sizes.flatmap(lambda bits: st.integers(1 << bits >> 1, (1 << bits) - 1))
_exponents = st.integers(-3, 70_000) | st.integers(0, 2**33) | st.integers(0, 2**2048)
rsa_keys = st.builds(rsa_pem, _moduli, _exponents) | st.builds(
    rsa_jwk, _moduli, _exponents.map(abs)
)

_points = st.binary(max_size=70) | st.binary(min_size=64, max_size=64).map(lambda b: b"\x04" + b)
points = st.builds(
    lambda xy: json.dumps({"kty": "EC", "crv": "P-256", "x": b64u(xy[:32]), "y": b64u(xy[32:])}),
    st.binary(min_size=64, max_size=64),
)
_oids = st.sampled_from([RSA_ENCRYPTION, "1.2.840.10045.2.1", "1.3.101.110", "1.3.101.112"])
_parameters = st.sampled_from(
    [b"", b"\x05\x00", b"\x05\x01\x00", bytes.fromhex("06082a8648ce3d030107"), b"\x30\x00"]
)
infos = st.builds(
    lambda oid, key, parameter, bits: pem(spki(oid, key, parameter, unused_bits=bits)),
    _oids,
    _points,
    _parameters,
    st.integers(0, 9),
)
hostile_keys = (
    st.binary(max_size=200) | st.text(max_size=200) | damaged() | jwks | rsa_keys | points | infos
)


@settings(max_examples=400, deadline=None)
@given(hostile_keys)
def test_any_key_is_refused_with_a_known_code_or_can_be_sealed_to(text: str | bytes) -> None:
    try:
        key = parse_public_key(text)
    except InvalidKeyError as error:
        assert error.code in CODES  # noqa: PT017 - either way is right
    else:
        assert encrypt(b"{}", encryption_key(key.kid, key.jwk))
        assert parse_public_key(json.dumps(key.jwk)) == key


@settings(max_examples=100, deadline=None)
@given(jwks | st.binary(max_size=100))
def test_any_stored_key_can_be_sealed_to_or_is_never_retried(stored: bytes) -> None:
    try:
        key = load_public_key(stored)
    except SealError as error:
        assert error.code == "key_unusable"  # noqa: PT017 - either way is right
    else:
        assert encrypt(b"{}", key)


# -- Sealing -----------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(names, plaintexts)
def test_what_is_sealed_is_opened(name: str, plaintext: bytes) -> None:
    body = encrypt(plaintext, a_key(name))

    for opener in OPENERS.values():
        opened = opener(vectors()[name].private_key, body)
        assert (opened.plaintext, opened.header["kid"]) == (plaintext, a_key(name).kid)


@settings(max_examples=30, deadline=None)
@given(st.permutations(["rsa-2048", "rsa-3072", "p256", "x25519"]), plaintexts)
def test_what_is_sealed_to_one_is_not_opened_by_another(keys: list[str], plaintext: bytes) -> None:
    body = encrypt(plaintext, a_key(keys[0]))

    for opener in OPENERS.values():
        with pytest.raises((*REFUSED, KeyError, ValueError)):
            opener(vectors()[keys[1]].private_key, body)


@given(json_values, st.sampled_from([None, orjson.OPT_INDENT_2]), texts, texts, texts)
def test_an_envelope_holds_the_data_as_they_came(
    value: object, indent: int | None, event_type: str, customer_id: str, endpoint_id: str
) -> None:
    data = orjson.dumps(value, option=indent)

    plaintext = envelope(
        event_id="evt_1",
        event_type=event_type,
        timestamp="2026-01-01T00:00:00Z",
        customer_id=customer_id,
        endpoint_id=endpoint_id,
        data=data,
    )

    assert plaintext.endswith(b'"data":' + data + b"}")
    opened = json.loads(plaintext)
    assert opened.pop("data") == json.loads(data)
    assert opened == {
        "id": "evt_1",
        "type": event_type,
        "timestamp": "2026-01-01T00:00:00Z",
        "customer_id": customer_id,
        "endpoint_id": endpoint_id,
    }


@pytest.mark.parametrize("name", ["rsa-2048", "p256", "x25519"])
def test_nothing_random_is_ever_drawn_twice(name: str) -> None:
    key = a_key(name)
    drawn = set()

    for _ in range(MESSAGES):
        members = orjson.loads(encrypt(b"same", key))
        # With an agreed key its random part, `epk`, stands in the header.
        drawn |= {members["iv"], members["ciphertext"] + members["tag"]}
        drawn.add(members.get("encrypted_key") or members["protected"])

    assert len(drawn) == 3 * MESSAGES


# -- Signing -----------------------------------------------------------------


@settings(max_examples=100)
@given(event_ids, json_values.map(orjson.dumps), texts, texts, st.integers(2, 2**40))
def test_what_is_signed_is_verified_with_each_secret_in_force_and_no_other(
    event_id: str, body: bytes, customer_id: str, endpoint_id: str, version: int
) -> None:
    now = int(time.time())
    secrets = SigningSecrets(bytes(range(32)))
    in_force = (version, version - 1)

    headers = {
        "webhook-id": event_id,
        "webhook-timestamp": str(now),
        "webhook-signature": signature_header(
            [secrets.derive(customer_id, endpoint_id, each) for each in in_force],
            event_id,
            now,
            body,
        ),
    }

    for each in in_force:
        secret = secrets.show(customer_id, endpoint_id, each)
        assert verify(secret, headers, body) == json.loads(body)
    with pytest.raises(WebhookVerificationError):
        verify(secrets.show(customer_id, endpoint_id, version + 1), headers, body)
