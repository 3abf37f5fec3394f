"""What may be published, and what a worker makes of it, are the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from hookseal.domain.event import parse_event
from hookseal.domain.json_text import MAX_DEPTH, array_elements, validate
from hookseal.domain.new_event import NewEventReader
from hookseal.domain.record import Record
from hookseal.errors import InvalidEventError
from tests.bad_inputs.events import BAD_EVENTS
from tests.strategies import json_values

if TYPE_CHECKING:
    from hookseal.domain.event import Event

MAX_BYTES = 2000
# What only whoever publishes is told: a worker reads what others write, too.
OURS_ALONE = {"member_unknown", "customer_id_invalid", "type_reserved", "payload_too_large"}

_members = st.dictionaries(
    st.sampled_from(["type", "data", "id", "timestamp", "customer_id", "custmer"]),
    json_values
    | st.sampled_from(["order.paid", "hookseal.test", "acme", "2026-11-24T10:00:00Z", "evt_1"]),
)
_good = st.fixed_dictionaries(
    {"type": st.sampled_from(["order.paid", 'a"b', "a\\b", "x" * 255]), "data": json_values},
    optional={
        "id": st.sampled_from(["evt_1", '"\\', "~" * 128]),
        "timestamp": st.sampled_from(["2026-11-24T10:00:00Z", "2026-11-24t10:00:00.5+01:00"]),
        "expires_at": st.sampled_from(["2026-11-24T10:00:00Z", "2026-11-24T11:00:00+01:00"]),
        "customer_id": st.just("acme"),
    },
)
_texts = (_members | _good).map(orjson.dumps) | _good.map(
    lambda members: orjson.dumps(members, option=orjson.OPT_INDENT_2)
)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """Return a document with a few bytes of it replaced by others."""
    text = draw(_texts)
    start = draw(st.integers(0, len(text)))
    stop = draw(st.integers(start, min(len(text), start + 3)))
    put = draw(
        st.binary(max_size=3) | st.sampled_from([b",", b"]", b'"', b"\\ud800", b"[" * 70, b"NaN"])
    )
    return text[:start] + put + text[stop:]


def as_a_worker_reads(value: bytes | None, *headers: tuple[str, bytes | None]) -> Event:
    return parse_event(Record("events", 0, 7, b"acme", value, headers), max_bytes=MAX_BYTES)


@given(_good)
def test_what_is_accepted_comes_back_as_it_was(members: dict[str, object]) -> None:
    data = orjson.dumps(members["data"])

    draft = NewEventReader(99_999, customer_id="acme").read(orjson.dumps(members), spare_id="evt_s")
    event = parse_event(
        Record("events", 0, 7, draft.key, draft.value, draft.headers), max_bytes=99_999
    )

    assert event.id == draft.event_id == members.get("id", "evt_s")
    assert event.type == members["type"]
    assert event.customer_id == "acme"
    assert event.data == data
    assert members.get("timestamp") in {None, event.timestamp}
    assert event.expires_at == (1_795_514_400 if "expires_at" in members else None)


@given(_texts | broken() | st.binary(max_size=50))
@example(b'{"data":1,"type":"a","data":"\xff"}')
@example(b'{"type":"a","data":1,"data":2}')
@example(b'{"type":"a","data":' + b"[" * 63 + b"]" * 63 + b"}")
def test_what_a_worker_refuses_is_refused_with_its_code(text: bytes) -> None:
    reader = NewEventReader(MAX_BYTES, customer_id="acme")
    code = theirs = None
    try:
        as_a_worker_reads(text)
    except InvalidEventError as error:
        theirs = error.code
    try:
        draft = reader.read(text)
    except InvalidEventError as error:
        code = error.code
    else:
        # Nothing that is taken here may end as a dead letter for its bytes.
        as_a_worker_reads(draft.value, *draft.headers)

    assert code == theirs or code in OURS_ALONE


@given(st.sampled_from([row for rows in BAD_EVENTS.values() for row in rows]))
def test_the_bad_inputs_are_bad_to_a_worker_too(row: tuple[bytes, str, str | None]) -> None:
    text, code, _ = row
    try:
        parse_event(Record("events", 0, 7, b"acme", text), max_bytes=99_999)
    except InvalidEventError as error:
        assert error.code == code  # noqa: PT017 - which it is, is the question
    else:
        raise AssertionError("A worker takes it.")


@given(st.text('[]{}" a\\', max_size=300), st.integers(0, 70))
def test_what_is_too_deep_is_what_a_count_says(inner: str, levels: int) -> None:
    text = (b"[" * levels) + inner.encode() + (b"]" * levels)
    depth = deepest = 0
    # A string that never ends has no levels in it.
    for byte in re.sub(rb'"(?:[^"\\]|\\.)*+"?', b"", text):
        depth += (byte in b"[{") - (byte in b"]}")
        deepest = max(deepest, depth)
    try:
        validate(text)
    except InvalidEventError as error:
        code = error.code
    else:
        code = "none"

    assert (code == "json_too_deep") == (deepest > MAX_DEPTH)


@given(st.lists(json_values, max_size=6), st.text(" \n\t\r", max_size=3))
def test_the_elements_of_an_array_keep_their_bytes(values: list[object], space: str) -> None:
    wanted = [orjson.dumps(value) for value in values]
    gap = space.encode()
    text = gap + b"[" + gap + (gap + b"," + gap).join(wanted) + gap + b"]" + gap

    assert array_elements(text, most=6) == wanted
    assert array_elements(text, most=2) == wanted[:3]
