"""Whatever bytes come, a receiver raises its own error and no other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookseal_receiver import SetupError, VerificationError
from tests.receiving import EVENT, a_request, a_webhook, kid_of, signed
from tests.sealed import b64u

WEBHOOK = a_webhook("p256", "x25519")
HEADERS, BODY = a_request()
JWE: dict[str, Any] = json.loads(BODY)

# Opening takes long where other tests run beside it.
unhurried = settings(deadline=None)
text = st.text(max_size=60)
octets = st.binary(max_size=200)
header_values = text | octets | st.sampled_from([*HEADERS.values(), "v1,", "nan"])


def nested(numbers: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | st.integers() | numbers | text,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=8,
    )


json_values = nested(st.floats())
# JSON has no others (RFC 8259 section 6).
finite = nested(st.floats(allow_nan=False, allow_infinity=False))
# Built from what libraries look for, so that some get further than the first check.
members = st.dictionaries(
    st.sampled_from([*JWE, "encrypted_key", "header", "recipients", "aad"]),
    json_values | st.sampled_from([*JWE.values()]),
)
parameters = st.dictionaries(
    st.sampled_from(["alg", "enc", "kid", "cty", "epk", "zip", "crit"]),
    json_values
    | st.sampled_from(["ECDH-ES", "A256GCM", kid_of("p256"), kid_of("x25519"), "DEF"])
    | st.fixed_dictionaries(
        {"kty": st.sampled_from(["EC", "OKP", "RSA", "oct"])},
        optional=dict.fromkeys(("crv", "x", "y", "n", "e", "k", "d"), json_values),
    ),
)


def refused(headers: Any, body: bytes) -> bool:
    with pytest.raises(VerificationError):
        WEBHOOK.open(headers, body)
    return True


@unhurried
@given(st.lists(st.tuples(st.sampled_from([*HEADERS]) | text, header_values)), octets)
def test_any_headers_and_any_body_are_refused(headers: Any, body: bytes) -> None:
    assert refused(headers, body)


@unhurried
@given(st.lists(st.tuples(st.sampled_from([*HEADERS]), header_values), min_size=1))
def test_a_good_body_under_other_headers_is_refused(headers: Any) -> None:
    assert refused(headers, BODY)


@unhurried
@given(members)
def test_signed_members_of_any_kind_are_refused(changes: dict[str, Any]) -> None:
    body = json.dumps(JWE | changes).encode()
    headers, _ = signed(body)

    if json.loads(body) == JWE:
        assert WEBHOOK.open(headers, body).id == "evt_1"
    else:
        assert refused(headers, body)


@unhurried
@given(parameters)
def test_a_signed_protected_header_of_any_kind_is_refused(header: dict[str, Any]) -> None:
    given = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": kid_of("p256"), **header}
    protected = b64u(json.dumps(given).encode())

    assert refused(*signed(json.dumps(JWE | {"protected": protected}).encode()))


@unhurried
@given(json_values)
def test_what_was_sealed_but_is_no_event_is_refused(value: Any) -> None:
    assert refused(*a_request(value))


@unhurried
@given(finite)
def test_an_event_of_any_data_comes_as_it_was_sealed(data: Any) -> None:
    plaintext = json.dumps(EVENT | {"data": data}, ensure_ascii=False).encode("utf-8", "replace")

    event = WEBHOOK.open(*a_request(plaintext))

    assert event.plaintext == plaintext
    assert event.data == json.loads(plaintext)["data"]


@unhurried
@given(text | octets)
def test_anything_given_for_a_key_is_refused(key: str | bytes) -> None:
    with pytest.raises(SetupError):
        a_webhook(keys=[key])


@unhurried
@given(text)
def test_anything_given_for_a_secret_is_refused_or_fits_nothing(secret: str) -> None:
    request = a_request()

    with pytest.raises((SetupError, VerificationError)) as caught:
        a_webhook(secrets=[secret]).open(*request)
    assert caught.value.code in ("secret_invalid", "not_verified")
