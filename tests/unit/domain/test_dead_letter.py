from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from msgspec.structs import replace

from hookseal.domain.dead_letter import (
    CATEGORIES,
    LETTER_MIN_BYTES,
    REASONS,
    SET_ASIDE,
    DeadLetter,
    added_headers,
    category_of,
)
from hookseal.domain.event import parse_event
from hookseal.domain.record import Record, RecordFault, record_bytes
from hookseal.errors import InvalidEventError
from tests.builders import MAX_BYTES, a_record

if TYPE_CHECKING:
    from hookseal.domain.record import Header


def a_letter(*headers: Header, **changes: Any) -> DeadLetter:
    fields: dict[str, Any] = {
        "record": a_record(None, *headers),
        "reason": "attempts_exhausted",
        "error": "5 attempts failed.",
        "event_id": "evt_7",
        "failed_at": 1_700_000_100.5,
        "key": b"acme",
        "endpoint_id": "ep_1",
        "attempts": 5,
        "status": 503,
        "first_attempt_at": 1_700_000_000.0,
    }
    return DeadLetter(**(fields | changes))


class TestHeaders:
    def test_stand_behind_the_original_ones(self) -> None:
        original = (("trace", b"1"), ("trace", b"2"), ("bin", b"\xff\x00"))

        assert a_letter(*original).headers()[:3] == original

    def test_say_all_there_is_to_say(self) -> None:
        assert added_headers(a_letter().headers()) == {
            "reason": "attempts_exhausted",
            "error": "5 attempts failed.",
            "endpoint-id": "ep_1",
            "attempts": "5",
            "status": "503",
            "event-id": "evt_7",
            "topic": "events",
            "partition": "0",
            "offset": "7",
            "first-attempt-at": "2023-11-14T22:13:20.000Z",
            "failed-at": "2023-11-14T22:15:00.500Z",
            "event-timestamp": "2023-11-14T22:13:20.123Z",
        }

    def test_leave_out_what_there_was_not(self) -> None:
        headers = added_headers(
            a_letter(endpoint_id=None, status=None, first_attempt_at=None, attempts=0).headers()
        )

        assert headers.keys().isdisjoint({"endpoint-id", "status", "first-attempt-at"})
        assert headers["attempts"] == "0"

    def test_an_error_is_one_line_of_bounded_length(self) -> None:
        headers = added_headers(a_letter(error="two\r\nlines " + "x" * 10_000).headers())

        assert headers["error"].startswith("two lines xxx")
        assert len(headers["error"]) == 500

    def test_of_a_second_failure_win_over_the_first_s(self) -> None:
        headers = a_letter(("hookseal-reason", b"tenant_disabled")).headers()

        assert added_headers(headers)["reason"] == "attempts_exhausted"

    def test_keep_the_event_s_own_time_over_a_replay(self) -> None:
        first = a_letter().headers()
        again = a_letter(*first, record=a_record(None, *first)).headers()

        assert added_headers(again)["event-timestamp"] == "2023-11-14T22:13:20.123Z"

    @pytest.mark.parametrize("timestamp_ms", [-(2**63), 2**63 - 1])
    def test_leave_out_a_time_that_is_none(self, timestamp_ms: int) -> None:
        record = replace(a_record(), timestamp_ms=timestamp_ms)

        assert "event-timestamp" not in added_headers(a_letter(record=record).headers())


class TestCategories:
    def test_every_reason_has_exactly_one(self) -> None:
        assert sorted(reason for reasons in CATEGORIES.values() for reason in reasons) == sorted(
            REASONS
        )

    def test_one_that_is_not_known_is_ours(self) -> None:
        assert category_of("of_a_later_release") == "platform"

    def test_what_is_set_aside_is_not_ours(self) -> None:
        assert {category_of(reason) for reason in SET_ASIDE} == {"configuration", "receiver"}


class TestFitted:
    def test_is_untouched_where_it_fits(self) -> None:
        letter = a_letter(("trace", b"1"))

        assert letter.fitted(LETTER_MIN_BYTES) == (b"acme", letter.record.value, letter.headers())

    def test_is_cut_in_its_value_first(self) -> None:
        value = bytes(range(256)) * 400
        letter = a_letter(("trace", b"1"), record=a_record(value, ("trace", b"1")))

        key, kept, headers = letter.fitted(64 * 1024)

        assert kept is not None
        assert value.startswith(kept)
        assert 63 * 1024 < record_bytes(key, kept, headers) <= 64 * 1024
        assert headers[0] == ("trace", b"1")
        added = added_headers(headers)
        assert (added["truncated"], added["value-bytes"]) == ("value", "102400")
        assert added["value-sha256"] == hashlib.sha256(value).hexdigest()
        assert (added["reason"], added["event-id"]) == ("attempts_exhausted", "evt_7")
        assert (added["topic"], added["partition"], added["offset"]) == ("events", "0", "7")

    def test_loses_its_largest_headers_where_the_value_is_not_enough(self) -> None:
        record = a_record(b"x" * 3000, ("a", b"1"), ("big", b"y" * 90_000), ("b", b"2"))

        key, value, headers = a_letter(record=record).fitted(64 * 1024)

        assert (key, value) == (b"acme", b"x" * 3000)
        assert [name for name, _ in headers][:2] == ["a", "b"]
        assert added_headers(headers)["truncated"] == "headers"

    def test_loses_value_and_headers_where_both_are_too_many(self) -> None:
        record = a_record(b"x" * 90_000, *((f"h{n}", b"y" * 10) for n in range(9000)))

        key, value, headers = a_letter(record=record).fitted(8 * 1024)

        assert record_bytes(key, value, headers) <= 8 * 1024
        assert added_headers(headers)["truncated"] == "value,headers"

    def test_has_no_customer_id_left_where_the_key_is_cut(self) -> None:
        record = a_record(b"{}", key=b"k" * 90_000)

        key, value, headers = a_letter(record=record, key=record.key).fitted(LETTER_MIN_BYTES)

        assert (key, value) == (b"k" * 1024, b"{}")
        assert added_headers(headers)["truncated"] == "key"

    def test_that_is_cut_twice_keeps_what_is_known_of_the_first_value(self) -> None:
        first = a_letter(record=a_record(b"x" * 90_000)).fitted(32 * 1024)
        again = Record("events", 1, 9, first.key, first.value, first.headers)

        headers = a_letter(record=again).fitted(8 * 1024).headers

        assert added_headers(headers)["value-bytes"] == "90000"
        assert added_headers(headers)["value-sha256"] == hashlib.sha256(b"x" * 90_000).hexdigest()

    def test_of_a_record_that_was_read_in_part_says_so(self) -> None:
        fault = RecordFault("payload_too_large", "text", 7, 5_000_000, "ab" * 32)
        record = msgspec.structs.replace(a_record(), fault=fault)

        added = added_headers(a_letter(record=record).fitted(LETTER_MIN_BYTES).headers)

        assert (added["truncated"], added["value-bytes"]) == ("value", "5000000")
        assert added["value-sha256"] == "ab" * 32

    def test_is_no_event_when_it_is_published_again(self) -> None:
        cut = a_letter(record=a_record(b"1" * 90_000)).fitted(8 * 1024)

        with pytest.raises(InvalidEventError, match="record_truncated"):
            parse_event(Record("events", 0, 1, *cut), max_bytes=MAX_BYTES)


class TestOddHeaders:
    def test_of_a_producer_may_be_null(self) -> None:
        headers: Any = (("hookseal-note", None), ("hookseal-reason", b"x"))

        assert added_headers(headers) == {"reason": "x"}

    def test_of_any_length_do_not_become_ours(self) -> None:
        letter = a_letter(("hookseal-event-timestamp", b"9" * 5000), endpoint_id="e" * 5000)

        added = added_headers(letter.headers())

        assert (added["event-timestamp"], added["endpoint-id"]) == ("9" * 256, "e" * 256)
