"""A request is opened if it was sealed for this endpoint just now, and for nothing less."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hookseal_receiver import SetupError, VerificationError, Webhook
from tests.receiving import EVENT, OTHER, SECRET, a_request, a_webhook, kid_of, signed

KINDS = ("rsa-2048", "p256", "x25519")


def reason(webhook: Webhook, headers: Any, body: bytes) -> str:
    with pytest.raises(VerificationError) as caught:
        webhook.open(headers, body)
    # Whoever reads the error does not learn which check failed.
    assert str(caught.value) == "not_verified: The request could not be verified and decrypted."
    assert caught.value.__cause__ is None
    return caught.value.reason


class TestOpen:
    @pytest.mark.parametrize("kind", KINDS)
    def test_what_was_sealed_is_opened(self, kind: str) -> None:
        headers, body = a_request(to=kind)

        event = a_webhook(kind, endpoint_id="ep_1").open(headers, body)

        assert (event.id, event.type, event.timestamp) == (
            "evt_1",
            "order.paid",
            "2026-11-24T11:58:21.800Z",
        )
        assert (event.customer_id, event.endpoint_id, event.data) == ("acme", "ep_1", {"n": 1})
        assert json.loads(event.plaintext) == EVENT

    def test_any_of_the_secrets_may_fit(self) -> None:
        webhook = a_webhook(secrets=[OTHER, SECRET])

        assert webhook.open(*a_request()).id == webhook.open(*a_request(secret=OTHER)).id

    def test_either_of_two_signatures_may_fit(self) -> None:
        headers, body = a_request()
        newer, _ = signed(body, secret=OTHER)
        both = f"{newer['webhook-signature']} {headers['webhook-signature']}"

        assert a_webhook().open(headers | {"webhook-signature": both}, body).id == "evt_1"

    def test_any_of_the_keys_may_fit(self) -> None:
        webhook = a_webhook(*KINDS)

        assert webhook.key_ids == tuple(kid_of(kind) for kind in KINDS)
        assert [webhook.open(*a_request(to=kind)).id for kind in KINDS] == ["evt_1"] * 3

    def test_a_protected_header_may_be_spaced_as_it_likes(self) -> None:
        # It is authenticated as it came, not as this side would have written it.
        headers, body = a_request(header={"cty": "json", "kid": kid_of("x25519")})
        assert a_webhook().open(headers, body).id == "evt_1"

    def test_neither_data_nor_secret_nor_key_stand_in_a_repr(self) -> None:
        webhook = a_webhook()
        event = webhook.open(*a_request(EVENT | {"data": "top secret"}))

        shown = f"{webhook!r} {event!r}"
        assert "top secret" not in shown
        assert SECRET.removeprefix("whsec_") not in shown
        assert "evt_1" in shown

    def test_an_event_cannot_be_changed(self) -> None:
        event = a_webhook().open(*a_request())

        with pytest.raises(AttributeError):
            event.id = "evt_2"  # type: ignore[misc]


class TestRefusal:
    def test_by_the_signature(self) -> None:
        headers, body = a_request()
        other, _ = a_request(secret=OTHER)
        changed = headers | {"webhook-id": "evt_2"}

        assert reason(a_webhook(), other, body) == "signature_invalid"
        assert reason(a_webhook(), changed, body) == "signature_invalid"
        assert reason(a_webhook(), headers, body + b" ") == "signature_invalid"
        assert reason(a_webhook(), headers, b"") == "signature_invalid"

    @pytest.mark.parametrize(
        "signature", ["v1", "v1,", "v1,a", "v1,a,b", ",", " ", "v2,AAAA", "x y"]
    )
    def test_by_a_signature_that_is_none(self, signature: str) -> None:
        headers, body = a_request()

        found = reason(a_webhook(), headers | {"webhook-signature": signature}, body)

        assert found == "signature_invalid"

    def test_by_a_body_that_is_no_text(self) -> None:
        headers, _ = a_request()

        assert reason(a_webhook(), headers, b"\xff\xfe") == "signature_invalid"

    @pytest.mark.parametrize("minutes", [-6, 6])
    def test_by_the_time(self, minutes: int) -> None:
        at = datetime.now(tz=UTC) + timedelta(minutes=minutes)

        assert reason(a_webhook(), *a_request(at=at)) == "timestamp_refused"

    def test_before_anything_is_opened(self) -> None:
        # Sealed to nobody we know; but that is found out only after the signature.
        headers, body = a_request(to="p256", secret=OTHER)

        assert reason(a_webhook(), headers, body) == "signature_invalid"

    def test_by_the_key(self) -> None:
        assert reason(a_webhook("p256"), *a_request(to="x25519")) == "key_unknown"

    def test_of_a_body_that_names_our_key_and_was_sealed_to_another(self) -> None:
        request = a_request(to="x25519", header={"kid": kid_of("p256")})

        assert reason(a_webhook("p256"), *request) == "not_opened"

    @pytest.mark.parametrize(
        ("kind", "header", "expected"),
        [
            ("rsa-2048", {"alg": "RSA-OAEP"}, "algorithm_refused"),
            ("rsa-2048", {"alg": "RSA1_5"}, "algorithm_refused"),
            ("p256", {"alg": "ECDH-ES+A256KW"}, "algorithm_refused"),
            ("p256", {"enc": "A128GCM"}, "algorithm_refused"),
            ("p256", {"enc": "A256CBC-HS512"}, "algorithm_refused"),
            ("p256", {"zip": "DEF"}, "algorithm_refused"),
            ("p256", {"b64": False}, "algorithm_refused"),
            ("p256", {"crit": ["cty"]}, "algorithm_refused"),
            ("p256", {"apu": "QQ"}, "algorithm_refused"),
            ("p256", {"jku": "https://keys.example/"}, "algorithm_refused"),
            ("p256", {"kid": None}, "key_unknown"),
            ("p256", {"kid": "another"}, "key_unknown"),
        ],
    )
    @pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
    def test_of_what_the_sender_may_not_choose(
        self, kind: str, header: dict[str, Any], expected: str
    ) -> None:
        assert reason(a_webhook(kind), *a_request(to=kind, header=header)) == expected

    @pytest.mark.parametrize(
        "members",
        [
            {"header": {"kid": "x"}},
            {"unprotected": {}},
            {"aad": "QQ"},
            {"recipients": []},
            {"tag": None},
            {"tag": ""},
            {"encrypted_key": ""},
            {"iv": 7},
            {"protected": "e30"[:2]},
            {"protected": "W10"},
            {"protected": "ü"},
        ],
    )
    def test_of_a_body_that_is_built_otherwise(self, members: dict[str, Any]) -> None:
        assert reason(a_webhook(), *a_request(members=members)) == "body_invalid"

    @pytest.mark.parametrize(
        "body", [b"[]", b"7", b'"a"', b"{", b"{}", b"[" * 60_000, b"a.b.c.d.e"]
    )
    def test_of_a_signed_body_that_is_no_jwe(self, body: bytes) -> None:
        assert reason(a_webhook(), *signed(body)) == "body_invalid"

    @pytest.mark.parametrize(
        "members",
        [
            {"iv": "AAAA"},
            {"tag": "AAAAAAAA"},
            {"ciphertext": "A.B"},
            {"ciphertext": "+/=="},
            {"encrypted_key": "AAAA"},
            {"iv": "\ud800"},
        ],
    )
    def test_of_parts_that_do_not_fit(self, members: dict[str, Any]) -> None:
        assert reason(a_webhook(), *a_request(members=members)) == "not_opened"

    @pytest.mark.parametrize(
        "plaintext",
        [
            b" ",
            b"no json",
            b"\xff",
            b"[" * 20_000,
            b"[]",
            b"null",
            b"{}",
            json.dumps(EVENT | {"id": 7}).encode(),
            json.dumps(EVENT | {"customer_id": None}).encode(),
            json.dumps({name: EVENT[name] for name in EVENT if name != "data"}).encode(),
            json.dumps(EVENT | {"data": float("nan")}).encode(),
            json.dumps(EVENT | {"data": 0})[:-2].encode() + b"1" * 5000 + b"}",
        ],
        ids=range(12),
    )
    def test_of_what_was_sealed_but_is_no_event(self, plaintext: bytes) -> None:
        assert reason(a_webhook(), *a_request(plaintext)) == "event_invalid"

    def test_of_another_event_than_was_announced(self) -> None:
        assert reason(a_webhook(), *a_request(event_id="evt_2")) == "id_differs"
        halved = EVENT | {"id": "evt_\ud800"}
        assert reason(a_webhook(), *a_request(halved, event_id="evt_2")) == "id_differs"

    def test_of_an_event_for_another_endpoint(self) -> None:
        assert reason(a_webhook(endpoint_id="ep_2"), *a_request()) == "endpoint_differs"

    def test_of_a_body_that_is_too_large_before_it_is_verified(self) -> None:
        headers, body = a_request()
        fits = a_webhook(max_body_bytes=len(body))
        small = a_webhook(max_body_bytes=len(body) - 1)

        assert fits.open(headers, body).id == "evt_1"
        assert reason(small, headers, body) == "body_too_large"

    def test_survives_being_handed_to_another_process(self) -> None:
        error = pickle.loads(pickle.dumps(VerificationError("id_differs")))  # noqa: S301

        assert (error.reason, error.code) == ("id_differs", "not_verified")


def test_more_than_joserfc_takes_by_itself_is_opened_if_it_is_allowed() -> None:
    event = EVENT | {"data": "x" * 200_000}
    headers, body = a_request(event)

    opened = a_webhook(max_body_bytes=300_000).open(headers, body)

    assert opened.data == event["data"]


@pytest.mark.parametrize("size", [0, -1])
def test_a_limit_that_lets_nothing_through_is_refused(size: int) -> None:
    with pytest.raises(SetupError) as caught:
        a_webhook(max_body_bytes=size)
    assert (caught.value.code, caught.value.field) == ("max_body_bytes_invalid", "max_body_bytes")


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_ü", "whsec_AAAA", "whsec_" + "A" * 44 + "!!!!", "A" * 100]
)
def test_what_is_no_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(SetupError) as caught:
        a_webhook(secrets=[SECRET, secret])
    assert (caught.value.code, caught.value.field) == ("secret_invalid", "secrets[1]")
    assert not secret or secret not in str(caught.value).replace("is whsec_ followed", "")


def test_a_webhook_without_secret_or_key_is_refused() -> None:
    for nothing, code in (("secrets", "secret_missing"), ("keys", "key_missing")):
        with pytest.raises(SetupError) as caught:
            a_webhook(**{nothing: []})
        assert (caught.value.code, caught.value.field) == (code, nothing)
