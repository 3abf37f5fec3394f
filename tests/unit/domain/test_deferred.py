from __future__ import annotations

import pytest
from msgspec.structs import replace

from hookseal.domain.dead_letter import DeadLetter
from hookseal.domain.event import BROADCAST_HEADER, SEAL_TO_HEADER, parse_event
from hookseal.domain.new_event import TEST
from hookseal.domain.record import Header, Record
from hookseal.domain.replay import event_of, is_deferred, original_of
from tests.builders import MAX_BYTES, a_record

STRUCTURED = (
    b'{"specversion":"1.0","id":"evt_s","type":"order.paid","source":"x",'
    b'"time":"2026-11-24T10:00:00Z","data":{"n": 1}}'
)


def letter_of(record: Record, *, reason: str = "endpoint_suspended") -> Record:
    event = parse_event(record, max_bytes=MAX_BYTES)
    letter = DeadLetter(
        record=record,
        reason=reason,
        error="It is suspended.",
        event_id=event.id,
        failed_at=1_700_000_100.5,
        key=b"acme",
        endpoint_id="ep_1",
    )
    headers = letter.headers()
    return Record("dead-letters", 3, 118, b"acme", record.value, headers, 1_800_000_000_000)


class TestIsDeferred:
    def test_for_this_endpoint_alone(self) -> None:
        letter = letter_of(a_record())

        assert is_deferred(letter, "acme", "ep_1")
        assert not is_deferred(letter, "acme", "ep_2")
        assert not is_deferred(letter, "other", "ep_1")
        assert not is_deferred(replace(letter, key=None), "acme", "ep_1")

    def test_for_this_reason_alone(self) -> None:
        assert not is_deferred(letter_of(a_record(), reason="endpoint_disabled"), "acme", "ep_1")


class TestTheEvent:
    @pytest.mark.parametrize(
        ("value", "headers"),
        [
            (None, ()),
            (b'{"type":"order.paid","data":{"n":  1}}', ()),
            (
                b'{"n": 1}',
                (
                    ("ce_specversion", b"1.0"),
                    ("ce_id", b"evt_b"),
                    ("ce_type", b"order.paid"),
                    ("ce_source", b"x"),
                ),
            ),
            (STRUCTURED, (("content-type", b"application/cloudevents+json"),)),
            (b'{"type":"order.paid","data":1}', ((BROADCAST_HEADER, b"1"),)),
        ],
        ids=["plain", "without an id", "binary", "structured", "broadcast"],
    )
    def test_is_the_one_that_was_set_aside(
        self, value: bytes | None, headers: tuple[Header, ...]
    ) -> None:
        record = a_record(value, *headers)
        before = parse_event(record, max_bytes=MAX_BYTES)

        event = event_of(letter_of(record), max_bytes=MAX_BYTES)

        assert (event.id, event.type, event.timestamp, event.data) == (
            before.id,
            before.type,
            before.timestamp,
            before.data,
        )
        assert (event.customer_id, event.only_endpoint) == ("acme", "ep_1")

    def test_of_hookseal_s_own_keeps_the_key_it_is_sealed_to(self) -> None:
        sealed_to = b'{"kid":"old","alg":"ECDH-ES","jwk":{"kty":"OKP"}}'
        record = a_record({"type": TEST, "id": "evt_t", "data": 1}, (SEAL_TO_HEADER, sealed_to))

        event = event_of(letter_of(record), max_bytes=MAX_BYTES)

        assert event.seal_to is not None
        assert event.seal_to.kid == "old"

    def test_stands_where_it_stood(self) -> None:
        record = a_record(offset=42)

        original = original_of(letter_of(record))

        assert (original.topic, original.partition, original.offset) == ("events", 0, 42)
        assert original.timestamp_ms == record.timestamp_ms
        assert original.value == record.value

    def test_set_aside_twice_is_still_the_same(self) -> None:
        first = letter_of(a_record(offset=42))

        again = letter_of(original_of(first))

        assert original_of(again).offset == 42
        assert event_of(again, max_bytes=MAX_BYTES).id == "evt_42"

    @pytest.mark.parametrize("header", [b"", b"-1", b"x", "\u0661".encode(), b"9" * 30])
    def test_stands_somewhere_whatever_a_header_says(self, header: bytes) -> None:
        letter = letter_of(a_record())
        headers = (*letter.headers, ("hookseal-offset", header), ("hookseal-partition", header))

        assert original_of(replace(letter, headers=headers)).offset == letter.offset
