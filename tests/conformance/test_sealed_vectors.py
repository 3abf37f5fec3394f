"""The frozen requests: our code makes them, other people's libraries open them."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from hookseal.seal.keys import parse_public_key
from hookseal.seal.sign import signature_header
from tests.oracles import OPENERS, REFUSED, NodeRequest, open_with_joserfc, verify
from tests.sealed import KEYS, SealedVector, b64u_decode, public_pem, vectors

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.oracles import NodeOpener, Opened

VECTORS = list(vectors().values())
RSA = [vector for vector in VECTORS if "encrypted_key" in vector.jwe]
AGREED = [vector for vector in VECTORS if "encrypted_key" not in vector.jwe]

each_vector = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
each_rsa = pytest.mark.parametrize("vector", RSA, ids=lambda vector: vector.name)
each_agreed = pytest.mark.parametrize("vector", AGREED, ids=lambda vector: vector.name)
each_opener = pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)


def now() -> int:
    return int(time.time())


def resigned(vector: SealedVector, timestamp: int) -> dict[str, str]:
    """The vector's headers as they would be if its body were sent at another time."""
    return vector.headers | {
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature_header(
            vector.secrets, vector.event_id, timestamp, vector.body
        ),
    }


def for_node(vector: SealedVector, signing_secret: str, **changes: Any) -> NodeRequest:
    return NodeRequest(
        private_key=vector.private_key.decode(),
        kind=vector.public_key.jwk["kty"],
        signing_secret=signing_secret,
        headers=vector.headers,
        body=vector.body.decode(),
        now=vector.timestamp,
    )._replace(**changes)


def tampered(body: bytes) -> bytes:
    """The body with the first bit of its ciphertext turned over."""
    at = body.index(b'"ciphertext":"') + len(b'"ciphertext":"')
    return body[:at] + (b"A" if body[at : at + 1] != b"A" else b"g") + body[at + 1 :]


class TestTheVectors:
    def test_cover_each_kind_of_key_rotation_and_the_largest_event(self) -> None:
        assert set(vectors()) == {*KEYS, "rotating", "largest"}
        assert len(vectors()["rotating"].signing_secrets) == 2
        data = json.loads(vectors()["largest"].plaintext)["data"]
        assert len(json.dumps(data, ensure_ascii=False).encode()) == 32 * 1024

    @each_vector
    def test_name_the_public_key_of_their_private_key(self, vector: SealedVector) -> None:
        assert parse_public_key(public_pem(vector.private_key)) == vector.public_key


class TestOurCode:
    @each_agreed
    def test_makes_them_byte_for_byte(self, vector: SealedVector) -> None:
        headers, body = vector.seal(
            headers={"X-Tenant": "acme"}, traceparent=vector.headers["traceparent"]
        )

        del headers["user-agent"]
        assert body == vector.body
        assert headers == vector.headers

    @each_rsa
    def test_makes_all_but_the_wrapped_key_of_rsa(self, vector: SealedVector) -> None:
        _, body = vector.seal()

        jwe = json.loads(body)
        assert list(jwe) == list(vector.jwe)
        assert jwe.pop("encrypted_key") != vector.jwe["encrypted_key"]
        assert jwe.items() <= vector.jwe.items()

    @each_rsa
    def test_wraps_the_injected_key(self, vector: SealedVector) -> None:
        _, body = vector.seal()

        # What opens only with the same content encryption key: the frozen ciphertext.
        swapped = vector.jwe | {"encrypted_key": json.loads(body)["encrypted_key"]}
        opened = open_with_joserfc(vector.private_key, json.dumps(swapped).encode())
        assert opened.plaintext == vector.plaintext

    @each_vector
    def test_signs_them_so(self, vector: SealedVector) -> None:
        signed = signature_header(vector.secrets, vector.event_id, vector.timestamp, vector.body)

        assert signed == vector.headers["webhook-signature"]


class TestPython:
    @each_vector
    @each_opener
    def test_opens_them(
        self, opener: Callable[[bytes, bytes], Opened], vector: SealedVector
    ) -> None:
        header, plaintext = opener(vector.private_key, vector.body)

        assert plaintext == vector.plaintext
        assert header["kid"] == vector.public_key.kid

    @each_vector
    @each_opener
    def test_does_not_open_a_changed_body(
        self, opener: Callable[[bytes, bytes], Opened], vector: SealedVector
    ) -> None:
        with pytest.raises(REFUSED):
            opener(vector.private_key, tampered(vector.body))

    @each_vector
    def test_signs_them_alike(self, vector: SealedVector) -> None:
        at = datetime.fromtimestamp(vector.timestamp, tz=UTC)

        signatures = [
            Webhook(secret).sign(vector.event_id, at, vector.body.decode())
            for secret in vector.signing_secrets
        ]

        assert " ".join(signatures) == vector.headers["webhook-signature"]

    @each_vector
    def test_verifies_them_with_each_secret_in_force(self, vector: SealedVector) -> None:
        # The library refuses what is older than five minutes, so they are sent anew.
        headers = resigned(vector, now())

        for secret in vector.signing_secrets:
            assert verify(secret, headers, vector.body) == vector.jwe

    def test_refuses_another_secret_body_id_or_time(self) -> None:
        vector = vectors()["p256"]
        headers = resigned(vector, now())
        (secret,) = vector.signing_secrets
        other = "whsec_" + base64.b64encode(bytes(32)).decode()

        for refused in (
            (other, headers, vector.body),
            (secret, headers, tampered(vector.body)),
            (secret, headers | {"webhook-id": "evt_other"}, vector.body),
            (secret, headers | {"webhook-timestamp": str(now() - 9)}, vector.body),
            (secret, resigned(vector, now() - 400), vector.body),
        ):
            with pytest.raises(WebhookVerificationError):
                verify(*refused)

    @each_vector
    def test_verifies_and_opens_what_is_sealed_now(self, vector: SealedVector) -> None:
        headers, body = vector.seal(timestamp=now())

        members = verify(vector.signing_secrets[-1], headers, body)

        for opener in OPENERS.values():
            assert opener(vector.private_key, json.dumps(members).encode()).plaintext == (
                vector.plaintext
            )


@pytest.mark.node
class TestNode:
    def test_verifies_and_opens_them(self, open_with_node: NodeOpener) -> None:
        cases = [(vector, secret) for vector in VECTORS for secret in vector.signing_secrets]

        answers = open_with_node([for_node(*case) for case in cases])

        assert len(answers) == len(cases)
        for (vector, _), answer in zip(cases, answers, strict=True):
            assert_opened(vector, answer)

    def test_verifies_and_opens_what_is_sealed_now(self, open_with_node: NodeOpener) -> None:
        requests = []
        for vector in VECTORS:
            headers, body = vector.seal(timestamp=now())
            requests += [
                for_node(vector, secret, headers=headers, body=body.decode(), now=None)
                for secret in vector.signing_secrets
            ]

        answers = open_with_node(requests)

        cases = [vector for vector in VECTORS for _ in vector.signing_secrets]
        for vector, answer in zip(cases, answers, strict=True):
            assert_opened(vector, answer)

    def test_refuses_what_was_tampered_with_or_is_old(self, open_with_node: NodeOpener) -> None:
        vector = vectors()["rsa-2048"]
        (secret,) = vector.signing_secrets
        changed = tampered(vector.body)
        newly_signed = vector.headers | {
            "webhook-signature": signature_header(
                vector.secrets, vector.event_id, vector.timestamp, changed
            )
        }

        answers = open_with_node(
            [
                for_node(vector, secret, body=changed.decode()),
                for_node(vector, secret, body=changed.decode(), headers=newly_signed),
                for_node(vector, secret, now=None),
            ]
        )

        expected = [("No matching signature",) * 2, ("decryption", ""), ("too old",) * 2]
        for answer, texts in zip(answers, expected, strict=True):
            for library, part in zip(("jose", "node-jose"), texts, strict=True):
                assert part in answer[library]["error"]


def assert_opened(vector: SealedVector, answer: dict[str, dict[str, object]]) -> None:
    header = json.loads(b64u_decode(vector.jwe["protected"]))
    for library, opened in answer.items():
        if library == "node-jose" and vector.public_key.jwk["kty"] == "OKP":
            assert opened == {"error": "unsupported"}
            continue
        assert opened["plaintext"] == vector.plaintext.decode(), (vector.name, library)
        shown = opened["header"]
        assert isinstance(shown, dict)
        assert shown["kid"] == header["kid"]
        assert shown.keys() == header.keys()
