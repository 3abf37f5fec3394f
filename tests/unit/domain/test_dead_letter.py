from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from hookseal.domain.dead_letter import (
    CATEGORIES,
    REASONS,
    SET_ASIDE,
    DeadLetter,
    added_headers,
    category_of,
)
from tests.builders import a_record

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
