from __future__ import annotations

from typing import Any

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from hookseal.domain.dead_letter import LETTER_MIN_BYTES, REASONS, DeadLetter, added_headers
from hookseal.domain.record import Record, record_bytes

# Kafka's header names are any bytes; those that are not UTF-8 are read with surrogates.
names = st.binary(max_size=40).map(lambda name: name.decode("utf-8", "surrogateescape"))
texts = st.text(max_size=3000)
contents = st.one_of(
    st.none(),
    st.binary(max_size=200),
    st.integers(0, 20_000).map(lambda size: b"\x00" * size),
)
headers = st.lists(st.tuples(names, contents), max_size=30).map(tuple)


@st.composite
def letters(draw: st.DrawFn) -> DeadLetter:
    key = draw(contents)
    many: Any = draw(headers) * draw(st.sampled_from([1, 1, 100]))
    record = Record(
        draw(st.text("abc.", min_size=1, max_size=249)),
        draw(st.integers(0, 10**9)),
        draw(st.integers(0, 2**63 - 1)),
        key,
        draw(contents),
        many,
        draw(st.integers(-(2**63), 2**63 - 1)),
    )
    return DeadLetter(
        record=record,
        reason=draw(st.sampled_from(sorted(REASONS))),
        error=draw(texts),
        event_id=draw(st.text("abc-", min_size=1, max_size=128)),
        failed_at=draw(st.floats(0, 10**10)),
        key=key,
        endpoint_id=draw(st.none() | texts),
    )


@given(letters(), st.integers(LETTER_MIN_BYTES, 100_000))
def test_a_dead_letter_is_cut_until_it_fits(letter: DeadLetter, max_bytes: int) -> None:
    key, value, kept = letter.fitted(max_bytes)

    assert record_bytes(key, value, kept) <= max_bytes
    added = added_headers(kept)
    assert (added["reason"], added["event-id"]) == (letter.reason, letter.event_id)
    assert (added["partition"], added["offset"]) == (
        str(letter.record.partition),
        str(letter.record.offset),
    )
    whole = (letter.key, letter.record.value, letter.headers())
    if record_bytes(*whole) <= max_bytes:
        assert (key, value, kept) == whole
    else:
        assert set(added["truncated"].split(",")) <= {"value", "headers", "key"}
        assert (letter.record.value or b"").startswith(value or b"")
        if letter.record.value is not None:
            assert added["value-bytes"] == str(len(letter.record.value))


@given(contents, contents, st.lists(st.tuples(st.text(max_size=20), contents), max_size=20))
def test_a_record_is_as_large_as_the_client_takes_it_for(
    key: bytes | None, value: bytes | None, fields: list[Any]
) -> None:
    expected = DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, fields)

    assert record_bytes(key, value, tuple(fields)) == expected
