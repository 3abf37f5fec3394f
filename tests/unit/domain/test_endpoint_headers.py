from __future__ import annotations

import pytest

from hookseal.domain.endpoint_headers import HEADERS_MAX, NAME_MAX, VALUE_MAX, check_headers
from hookseal.errors import InvalidHeaderError
from tests.bad_inputs.headers import BAD_NAMES, BAD_VALUES, RESERVED


def code_of(headers: dict[str, str]) -> str:
    with pytest.raises(InvalidHeaderError) as caught:
        check_headers(headers)
    assert caught.value.field == "headers"
    return caught.value.code


class TestCheckHeaders:
    @pytest.mark.parametrize("name", BAD_NAMES[67])
    def test_refuses_a_name_that_is_no_token(self, name: str) -> None:
        assert code_of({name: "a"}) == "header_name"

    @pytest.mark.parametrize("value", BAD_VALUES[68])
    def test_refuses_a_value_that_would_end_the_line(self, value: str) -> None:
        assert code_of({"X-A": value}) == "header_value"

    @pytest.mark.parametrize("name", RESERVED[69])
    def test_refuses_a_name_that_is_not_the_tenants(self, name: str) -> None:
        assert code_of({name: "a"}) == "header_reserved"

    @pytest.mark.parametrize(
        "name",
        ["Authorization", "X-Api-Key", "x-content-type", "Contentious", "Hosted", "Accept",
         "X-Webhook-Token", "!#$%&'*+-.^_`|~09AZaz"],
    )  # fmt: skip
    def test_leaves_every_other_name(self, name: str) -> None:
        assert check_headers({name: "a"}) == {name: "a"}

    def test_refuses_a_name_given_in_two_spellings(self) -> None:
        assert code_of({"X-A": "1", "x-a": "2"}) == "header_name"
        assert code_of({"x-a": "1", "X-A": "2"}) == "header_name"

    def test_drops_space_around_a_value_and_keeps_it_within(self) -> None:
        assert check_headers({"X-A": " \ta\t b "}) == {"X-A": "a\t b"}

    def test_takes_twenty(self) -> None:
        twenty = {f"X-{number}": "a" for number in range(HEADERS_MAX)}

        assert check_headers(twenty) == twenty
        assert code_of({**twenty, "X-Last": "a"}) == "headers_too_many"

    def test_takes_a_value_of_one_kibibyte(self) -> None:
        assert check_headers({"X-A": "a" * VALUE_MAX})
        assert code_of({"X-A": "a" * (VALUE_MAX + 1)}) == "header_too_long"

    def test_takes_a_name_of_128_characters(self) -> None:
        assert check_headers({"a" * NAME_MAX: "b"})
        assert code_of({"a" * (NAME_MAX + 1): "b"}) == "header_too_long"

    def test_takes_none(self) -> None:
        assert check_headers({}) == {}

    def test_never_repeats_a_value(self) -> None:
        with pytest.raises(InvalidHeaderError) as caught:
            check_headers({"Authorization": "Bearer hunter2\n"})

        assert "hunter2" not in str(caught.value)
