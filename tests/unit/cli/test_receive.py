"""The example receiver, against requests made by its own libraries."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from joserfc import jwe
from standardwebhooks.webhooks import Webhook

from hookseal.cli.example_receiver import ExampleReceiver, Opener, private_keys
from hookseal.cli.receive import _Desk
from hookseal.errors import HooksealError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from joserfc.jwk import KeySet

    from hookseal.cli.example_receiver import Opened

SECRET = f"whsec_{base64.b64encode(bytes(32)).decode()}"
OTHER = f"whsec_{base64.b64encode(bytes(31) + b'1').decode()}"
EVENT = {"id": "evt_1", "endpoint_id": "ep_1", "type": "order.paid", "data": {"n": 1}}
MEMBERS = ("protected", "encrypted_key", "iv", "ciphertext", "tag")

MAKERS: dict[str, Callable[[], PrivateKeyTypes]] = {
    "RSA-OAEP-256": lambda: rsa.generate_private_key(65537, 2048),
    "ECDH-ES P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ECDH-ES X25519": x25519.X25519PrivateKey.generate,
}


def pem_of(key: PrivateKeyTypes, password: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@pytest.fixture(scope="module")
def keys() -> KeySet:
    return private_keys([pem_of(make()) for make in MAKERS.values()])


def a_request(
    keys: KeySet,
    *,
    alg: str = "ECDH-ES",
    which: int = 2,
    event: object = EVENT,
    event_id: str = "evt_1",
    secret: str = SECRET,
    at: datetime | None = None,
) -> tuple[dict[str, str], bytes]:
    """Return headers and body, sealed and signed as the wire format says."""
    key = keys.keys[which]
    compact = jwe.encrypt_compact(
        {"alg": alg, "enc": "A256GCM", "kid": key.kid, "cty": "json"},
        json.dumps(event).encode(),
        key,
        algorithms=[alg, "A256GCM"],
    )
    members = dict(zip(MEMBERS, compact.split("."), strict=True))
    # RFC 7516 section 7.2.1: absent where it would be empty.
    body = json.dumps({name: value for name, value in members.items() if value}).encode()
    moment = at or datetime.now(tz=UTC)
    headers = {
        "Webhook-Id": event_id,
        "Webhook-Timestamp": str(int(moment.timestamp())),
        "Webhook-Signature": Webhook(secret).sign(event_id, moment, body.decode()),
    }
    return {name.lower(): value for name, value in headers.items()}, body


@pytest.mark.parametrize("which", range(3), ids=list(MAKERS))
def test_what_was_sealed_is_opened(keys: KeySet, which: int) -> None:
    alg = list(MAKERS)[which].partition(" ")[0]
    headers, body = a_request(keys, alg=alg, which=which)

    opened = Opener(keys, [SECRET], endpoint_id="ep_1").open(headers, body)

    assert opened.event == EVENT
    assert json.loads(opened.plaintext) == EVENT


def test_any_of_the_secrets_may_fit(keys: KeySet) -> None:
    headers, body = a_request(keys, secret=OTHER)

    assert Opener(keys, [SECRET, OTHER]).open(headers, body).event == EVENT


def code_of(opener: Opener, headers: dict[str, str], body: bytes) -> str:
    with pytest.raises(InvalidInputError) as caught:
        opener.open(headers, body)
    return caught.value.code


def test_a_signature_by_another_secret_is_refused(keys: KeySet) -> None:
    assert code_of(Opener(keys, [SECRET]), *a_request(keys, secret=OTHER)) == "signature_invalid"


def test_a_request_without_a_signature_is_refused(keys: KeySet) -> None:
    _, body = a_request(keys)

    assert code_of(Opener(keys, [SECRET]), {}, body) == "signature_invalid"


def test_a_body_that_was_altered_is_refused(keys: KeySet) -> None:
    headers, body = a_request(keys)

    assert code_of(Opener(keys, [SECRET]), headers, body + b" ") == "signature_invalid"


def test_an_old_request_is_refused(keys: KeySet) -> None:
    at = datetime.now(tz=UTC) - timedelta(minutes=6)

    assert code_of(Opener(keys, [SECRET]), *a_request(keys, at=at)) == "signature_invalid"


def test_another_events_body_is_refused(keys: KeySet) -> None:
    request = a_request(keys, event_id="evt_2")

    assert code_of(Opener(keys, [SECRET]), *request) == "id_differs"


def test_another_endpoints_event_is_refused(keys: KeySet) -> None:
    opener = Opener(keys, [SECRET], endpoint_id="ep_2")

    assert code_of(opener, *a_request(keys)) == "id_differs"


def test_what_is_sealed_to_another_key_is_refused(keys: KeySet) -> None:
    opener = Opener(private_keys([pem_of(MAKERS["ECDH-ES X25519"]())]), [SECRET])

    assert code_of(opener, *a_request(keys)) == "not_opened"


@pytest.mark.parametrize("alg", ["RSA-OAEP", "ECDH-ES+A256KW"])
def test_an_algorithm_that_is_not_ours_is_refused(keys: KeySet, alg: str) -> None:
    request = a_request(keys, alg=alg, which=0 if alg.startswith("RSA") else 1)

    assert code_of(Opener(keys, [SECRET]), *request) == "not_opened"


@pytest.mark.parametrize("event", [[], 7, {}, {"id": "evt_1"}, None])
def test_what_is_sealed_but_no_event_is_refused(keys: KeySet, event: object) -> None:
    assert code_of(Opener(keys, [SECRET]), *a_request(keys, event=event)) == "not_opened"


@pytest.mark.parametrize("pem", [b"", b"no key", pem_of(MAKERS["ECDH-ES X25519"](), b"secret")])
def test_what_is_no_private_key_is_refused(pem: bytes) -> None:
    with pytest.raises(HooksealError) as caught:
        private_keys([pem])
    assert caught.value.code == "key_format"


def test_a_key_that_only_signs_is_refused() -> None:
    with pytest.raises(HooksealError) as caught:
        private_keys([pem_of(ed25519.Ed25519PrivateKey.generate())])
    assert caught.value.code == "key_unsupported"


@pytest.mark.parametrize("secret", ["whsec_", "whsec_ü", ""])
def test_what_is_no_secret_is_refused(keys: KeySet, secret: str) -> None:
    with pytest.raises(HooksealError) as caught:
        Opener(keys, [secret])
    assert caught.value.code == "secret_invalid"


class Book:
    """Notes what a receiver tells."""

    def __init__(self, status: int = 200) -> None:
        self.opened: list[Any] = []
        self.refused: list[str] = []
        self._status = status

    async def answer(self, opened: Opened) -> int:
        self.opened.append(opened.event)
        return self._status

    def refuse(self, error: InvalidInputError) -> None:
        self.refused.append(error.code)


async def test_a_receiver_answers_what_it_was_told_to(keys: KeySet) -> None:
    book = Book(status=503)
    receiver = ExampleReceiver(
        answer=book.answer, refused=book.refuse, opener=Opener(keys, [SECRET])
    )
    headers, body = a_request(keys)

    async with (
        receiver,
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{receiver.port}/any", data=body, headers=headers) as answer,
    ):
        assert answer.status == 503
    assert book.opened == [EVENT]


async def test_a_receiver_answers_400_to_what_it_cannot_open(keys: KeySet) -> None:
    book = Book()
    receiver = ExampleReceiver(
        answer=book.answer, refused=book.refuse, opener=Opener(keys, [SECRET])
    )

    async with (
        receiver,
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{receiver.port}/", data=b"{}") as answer,
    ):
        assert answer.status == 400
        assert await answer.json() == {"code": "signature_invalid"}
    assert (book.opened, book.refused) == ([], ["signature_invalid"])


async def test_a_repeat_is_told_from_a_retry(
    keys: KeySet, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = _Desk(fail_rate=0.0, latency_s=0.0, status=200, quiet=False)
    failing = _Desk(fail_rate=1.0, latency_s=0.0, status=200, quiet=True)
    opened = Opener(keys, [SECRET]).open(*a_request(keys))

    assert [await desk.answer(opened) for _ in range(2)] == [200, 200]
    assert [await failing.answer(opened) for _ in range(2)] == [503, 503]

    assert (desk.received, desk.repeated) == (2, 1)
    assert (failing.received, failing.repeated) == (2, 0)
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(" ", 1)[1].split("{")[0] for line in printed] == [
        "200 evt_1 ",
        "200 evt_1 (repeat) ",
    ]


async def test_a_port_that_is_taken_leaves_nothing_open(keys: KeySet) -> None:
    book = Book()
    taken = ExampleReceiver(answer=book.answer, refused=book.refuse)
    async with taken:
        second = ExampleReceiver(answer=book.answer, refused=book.refuse, port=taken.port)
        with pytest.raises(OSError, match="address already in use"):
            await second.__aenter__()
    await asyncio.sleep(0)
