from __future__ import annotations

import pytest

from hookseal.domain.dead_letter import DeadLetter
from hookseal.domain.event import (
    BROADCAST_HEADER,
    REPLAY_HEADER,
    REROUTED_HEADER,
    event_id_if_any,
    parse_event,
)
from hookseal.domain.record import Record
from hookseal.domain.replay import (
    DrainedEntry,
    Mark,
    ReplayEntry,
    decode,
    encode,
    parse_mark,
    replayed_headers,
    settled_in,
)
from tests.builders import MAX_BYTES, a_record

MARK = Mark("dead-letters", 3, 118, 1_700_000_000_123)


def a_letter_of(record: Record) -> Record:
    letter = DeadLetter(
        record=record,
        reason="attempts_exhausted",
        error="5 attempts failed.",
        event_id=event_id_if_any(record),
        failed_at=1_700_000_100.5,
        key=b"acme",
        endpoint_id="ep_1",
    )
    return Record("dead-letters", 3, 118, b"acme", record.value, letter.headers(), 1)


def replayed(letter: Record, *, event_id: str, timestamp: str | None = None) -> Record:
    headers = replayed_headers(
        letter.headers, MARK, event_id=event_id, endpoint_id="ep_1", timestamp=timestamp
    )
    return Record("events", 0, 900, b"acme", letter.value, headers, 1_800_000_000_000)


class TestReplayedHeaders:
    def test_keep_the_producer_s_and_none_of_the_letter_s(self) -> None:
        letter = a_letter_of(a_record(None, ("trace", b"1"), ("trace", b"2")))

        names = [name for name, _ in replayed(letter, event_id="evt_7").headers]

        assert names == [
            "trace",
            "trace",
            "hookseal-event-id",
            "hookseal-endpoint-id",
            "hookseal-replay-of",
        ]

    @pytest.mark.parametrize("header", [BROADCAST_HEADER, REROUTED_HEADER])
    def test_are_those_of_an_event_of_one_tenant_where_it_belongs(self, header: str) -> None:
        letter = a_letter_of(a_record(None, (header, b"1")))

        assert header not in dict(replayed(letter, event_id="evt_7").headers)

    def test_a_replay_of_a_replay_is_marked_once(self) -> None:
        letter = a_letter_of(a_record(None, (REPLAY_HEADER, b"dead-letters/0/1/2")))

        found = [
            value
            for name, value in replayed(letter, event_id="evt_7").headers
            if name == REPLAY_HEADER
        ]

        assert found == [str(MARK).encode()]

    def test_the_event_is_the_same_event(self) -> None:
        record = a_record({"type": "order.paid", "data": 1})
        first = parse_event(record, max_bytes=MAX_BYTES)
        letter = a_letter_of(record)

        again = parse_event(
            replayed(letter, event_id=first.id, timestamp=first.timestamp), max_bytes=MAX_BYTES
        )

        assert (again.id, again.type, again.timestamp, again.data) == (
            first.id,
            first.type,
            first.timestamp,
            first.data,
        )
        assert again.only_endpoint == "ep_1"


class TestMark:
    @pytest.mark.parametrize("mark", [MARK, MARK._replace(job="0a1b")])
    def test_is_read_as_it_was_written(self, mark: Mark) -> None:
        assert parse_mark(str(mark).encode()) == mark

    @pytest.mark.parametrize("value", [b"", b"0/5", b"dead-letters/3/x/1", b"\xff/1/2/3"])
    def test_anything_else_is_none(self, value: bytes) -> None:
        assert parse_mark(value) is None


class TestTheLedger:
    def test_of_what_was_delivered_without_a_replay_is_no_entry_of_one(self) -> None:
        drained = encode(DrainedEntry([(7, 1_700_000_000_000)]))

        assert decode(drained) is None
        assert settled_in(drained) == [(7, 1_700_000_000_000)]

    def test_of_a_replay_says_what_is_done_with(self) -> None:
        assert settled_in(encode(ReplayEntry("me", 1, 2, replayed=[(7, 1)]))) == [(7, 1)]

    def test_of_events_says_nothing_of_dead_letters(self) -> None:
        assert settled_in(encode(ReplayEntry("me", 1, 2, job="j", replayed=[(7, 1)]))) == []

    @pytest.mark.parametrize(
        "value", [b"", b"{}", b"[", b'{"drained":[[1,2]],"v":3}', b'{"drained":1,"v":2}', b"\xff"]
    )
    def test_of_anything_else_says_nothing(self, value: bytes) -> None:
        assert settled_in(value) == []
