"""The frozen requests, and other people's bodies, at each of our receivers."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from hookseal_receiver import MemoryStore, SetupError, VerificationError
from tests.conformance.test_wycheproof import GROUPS, flattened
from tests.e2e.conftest import closed_port
from tests.examples import Example, node_is_there
from tests.glue import GLUES
from tests.receiving import a_webhook, signed, the_clock_at, web_of
from tests.sealed import KEYS, vectors

if TYPE_CHECKING:
    from pathlib import Path

    from hookseal_receiver import Event, Webhook
    from tests.glue import Glue
    from tests.sealed import SealedVector

VECTORS = list(vectors().values())
each_vector = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)


class TestWebhook:
    @each_vector
    def test_opens_them(self, vector: SealedVector) -> None:
        with the_clock_at(vector.timestamp):
            event = web_of(vector, endpoint_id="ep_1").open(vector.headers, vector.body)

        assert (event.id, event.plaintext) == (vector.event_id, vector.plaintext)
        assert event.data == json.loads(vector.plaintext)["data"]

    def test_opens_all_with_all_keys_and_all_secrets(self) -> None:
        secrets = [secret for vector in VECTORS for secret in vector.signing_secrets]
        webhook = a_webhook(*KEYS, secrets=secrets)

        with the_clock_at(VECTORS[0].timestamp):
            opened = [webhook.open(one.headers, one.body).id for one in VECTORS]

        assert opened == [vector.event_id for vector in VECTORS]

    def test_opens_the_one_of_a_rotation_with_either_secret(self) -> None:
        vector = vectors()["rotating"]

        with the_clock_at(vector.timestamp):
            for secret in vector.signing_secrets:
                webhook = web_of(vector, secrets=[secret])
                assert webhook.open(vector.headers, vector.body).id == vector.event_id

    @each_vector
    def test_refuses_them_today(self, vector: SealedVector) -> None:
        with pytest.raises(VerificationError) as caught:
            web_of(vector).open(vector.headers, vector.body)
        assert caught.value.reason == "timestamp_refused"

    @each_vector
    def test_refuses_them_with_a_bit_changed_anywhere(self, vector: SealedVector) -> None:
        webhook = web_of(vector)
        body = bytearray(vector.body)

        # A few hundred places, and all of the small ones.
        for at in range(0, len(body), max(1, len(body) // 300)):
            body[at] ^= 1
            with the_clock_at(vector.timestamp), pytest.raises(VerificationError):
                webhook.open(vector.headers, bytes(body))
            body[at] ^= 1


@pytest.mark.parametrize("glue", GLUES.values(), ids=GLUES)
async def test_each_framework_opens_them(glue: Glue) -> None:
    secrets = [secret for vector in VECTORS for secret in vector.signing_secrets]
    events: list[Event] = []

    async def handle(event: Event) -> None:
        events.append(event)

    with the_clock_at(VECTORS[0].timestamp):
        async with glue(a_webhook(*KEYS, secrets=secrets), handle, MemoryStore()) as post:
            answers = [await post(vector.headers, vector.body) for vector in VECTORS * 2]

    assert [answer.status for answer in answers] == [204] * 2 * len(VECTORS)
    assert [event.plaintext for event in events] == [vector.plaintext for vector in VECTORS]


@pytest.mark.node
async def test_the_node_example_opens_them(tmp_path: Path) -> None:
    if not node_is_there():
        pytest.skip("needs Node and npm")
    clock = tmp_path / "clock.mjs"
    clock.write_text(f"Date.now = () => {VECTORS[0].timestamp * 1000};\n")
    example = Example(
        "node",
        port=closed_port(),
        keys=[vectors()[name].private_key for name in KEYS],
        secrets=sorted({secret for one in VECTORS for secret in one.signing_secrets}),
        folder=tmp_path,
        node_options=f"--import={clock}",
    )

    async with example, aiohttp.ClientSession() as session:

        async def post(headers: dict[str, str], body: bytes) -> int:
            async with session.post(example.url, headers=headers, data=body) as answer:
                return answer.status

        statuses = [await post(vector.headers, vector.body) for vector in VECTORS * 2]
        altered = [
            await post(vector.headers, vector.body.replace(b"A256GCM", b"A128GCM") + b" ")
            for vector in VECTORS
        ]
        strange = [await post({}, b"{}"), await post({}, b"x" * 70_000)]
        await example.until(lambda: len(example.handled()) == len(VECTORS))

    # Twice each: the second time they are repeats.
    assert statuses == [204] * 2 * len(VECTORS)
    assert altered == [400] * len(VECTORS)
    assert strange == [400, 413]
    assert example.handled() == [vector.event_id for vector in VECTORS]


WYCHEPROOF = [
    pytest.param(group["private"], test["jwe"], id=str(test["tcId"]))
    for group in GROUPS
    for test in group["tests"]
]


@pytest.mark.parametrize(("private", "jwe"), WYCHEPROOF)
def test_a_body_of_wycheproof_is_refused_with_our_error(private: dict[str, Any], jwe: str) -> None:
    """Their bodies name no key as our sender does, so that even the valid ones are not ours.

    What counts is that none of the attacks in them, signed by the sender's own secret and
    with the very key in the ring, brings out anything but a refusal.
    """
    body = flattened(jwe) if jwe.count(".") == 4 else jwe.encode()

    with pytest.raises(VerificationError) as caught:
        with_the_key_of(private).open(*signed(body))

    assert caught.value.reason in ("body_invalid", "algorithm_refused", "key_unknown")


@lru_cache
def _webhook(private: str) -> Webhook:
    try:
        return a_webhook(keys=[private])
    except SetupError:
        # Of a kind that nothing is sealed to.
        return a_webhook()


def with_the_key_of(private: dict[str, Any]) -> Webhook:
    return _webhook(json.dumps(private))
