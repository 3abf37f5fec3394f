from __future__ import annotations

import pytest

from hookseal.domain.dead_letter import CATEGORIES, SET_ASIDE
from hookseal.domain.letter_filter import parse_moment, parse_place, reasons_of
from hookseal.errors import InvalidInputError


class TestMoments:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("1970-01-01", 0),
            ("1970-01-01T00:00:01.5Z", 1500),
            ("1970-01-01T01:00:00+01:00", 0),
            ("1970-01-01t00:00:01z", 1000),
        ],
    )
    def test_are_milliseconds(self, text: str, expected: int) -> None:
        assert parse_moment(text, field="since") == expected

    @pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "1e9", "2026-01-01Tx"])
    def test_anything_else_is_refused_with_its_field(self, text: str) -> None:
        with pytest.raises(InvalidInputError) as raised:
            parse_moment(text, field="until")

        assert (raised.value.code, raised.value.field) == ("time_invalid", "until")


class TestPlaces:
    def test_are_partition_and_offset(self) -> None:
        assert parse_place("3/118") == (3, 118)

    @pytest.mark.parametrize("text", ["", "3", "3/", "/1", "-1/2", "3/1/2", "٣/1", "3/1\n"])
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidInputError) as raised:
            parse_place(text, field="ids")

        assert (raised.value.code, raised.value.field) == ("place_invalid", "ids")


class TestReasons:
    def test_are_all_unless_something_is_said(self) -> None:
        assert reasons_of() is None

    def test_must_meet_everything_that_is_said(self) -> None:
        assert reasons_of(set_aside=True) == SET_ASIDE
        assert reasons_of(category="receiver") == CATEGORIES["receiver"]
        assert reasons_of(category="receiver", set_aside=True) == frozenset({"endpoint_gone"})
        assert reasons_of("endpoint_gone", "platform") == frozenset()
