from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from hookseal.domain.dead_letter import REASONS, DeadLetter
from hookseal.domain.event import (
    EVENT_ID_HEADER,
    SEALED_HEADER,
    event_id_if_any,
    parse_event,
)
from hookseal.domain.json_text import data_member
from hookseal.errors import InvalidEventError
from hookseal.publishing.event_search import EventMatcher
from tests.builders import MAX_BYTES, a_record
from tests.strategies import hostile_records, json_values, mutations

if TYPE_CHECKING:
    from hookseal.domain.event_trace import FoundEvent
    from hookseal.domain.record import Record


GENUINE = [
    a_record({"type": "order.paid", "data": {"n": [1, "x", None]}, "id": "evt_1"}),
    a_record(b'{"n": 1}', ("ce_specversion", b"1.0"), ("ce_id", b"e"), ("ce_type", b"a.b")),
    a_record(
        {"specversion": "1.0", "id": "e", "type": "a", "source": "x", "data": {"n": 1}},
        ("content-type", b"application/cloudevents+json"),
    ),
]


@given(hostile_records)
def test_any_record_is_an_event_or_refused_with_a_known_reason(record: Record) -> None:
    try:
        event = parse_event(record, max_bytes=1000)
    except InvalidEventError as error:
        assert error.code in REASONS  # noqa: PT017 - either way is right
    else:
        assert event.id
        assert "." not in event.id
        orjson.loads(event.data)


@given(st.sampled_from(GENUINE), st.data())
def test_any_mutation_of_an_event_is_one_or_refused_with_a_known_reason(
    record: Record, data: st.DataObject
) -> None:
    assert record.value is not None
    changed = replace(record, value=data.draw(mutations(record.value)))
    try:
        event = parse_event(changed, max_bytes=MAX_BYTES)
    except InvalidEventError as error:
        assert error.code in REASONS  # noqa: PT017 - either way is right
    else:
        orjson.loads(event.data)


ANY_ID = st.none() | st.sampled_from(["evt_1", 'e"1', "e\\1", "\x7e!", "e/1"])


@st.composite
def records_in_every_form(draw: st.DrawFn) -> Record:
    """Draw an event in every form, with ids in every place, also where they do not count."""
    event_id, other, escaped = draw(ANY_ID), draw(ANY_ID), draw(st.booleans())
    members: dict[str, Any] = {"type": "a.b", "data": {"id": other}, "x": draw(json_values)}
    headers = [("id", b"evt_1")]
    match draw(st.sampled_from(["plain", "structured", "binary", "sealed"])):
        case "binary":
            headers += [("ce_specversion", b"1.0"), ("ce_type", b"a.b")]
            members["id"] = other
            if event_id is not None:
                headers.append(("ce_id", event_id.encode()))
        case form:
            members["id"] = event_id
            if draw(st.booleans()):
                headers.append(("ce_id", b"evt_1"))
            if form == "structured":
                headers.append(("content-type", b"application/cloudevents+json"))
                headers.append(("ce_specversion", b"1.0"))
                members["specversion"] = "1.0"
            elif form == "sealed":
                headers.append((SEALED_HEADER, b"1"))
                members["sealed"] = "1:x"
    if draw(st.booleans()):
        headers.append((EVENT_ID_HEADER, b"kept_1"))
    text = json.dumps(members)
    if escaped:
        text = text.replace("evt_1", "\\u0065vt_1")
    return a_record(text.encode(), *headers)


@given(hostile_records | records_in_every_form())
def test_the_dead_letter_of_an_event_has_the_id_of_the_event(record: Record) -> None:
    try:
        event = parse_event(record, max_bytes=MAX_BYTES)
    except InvalidEventError:
        return

    assert event_id_if_any(record) == event.id


@given(hostile_records | records_in_every_form())
def test_the_search_finds_every_event_by_its_id_and_no_other(record: Record) -> None:
    def found(event_id: str) -> FoundEvent | None:
        return EventMatcher(event_id, None, max_bytes=MAX_BYTES).match(record)

    try:
        event_id = parse_event(record, max_bytes=MAX_BYTES).id
    except InvalidEventError:
        event_id = event_id_if_any(record)

    assert found(event_id) is not None
    assert found("evt_other") is None or event_id == "evt_other"


@given(hostile_records)
def test_any_record_can_be_made_a_dead_letter(record: Record) -> None:
    letter = DeadLetter(record, "json_invalid", "x", event_id_if_any(record), 1.0)

    headers = letter.headers()

    assert headers[: len(record.headers)] == record.headers
    assert all(isinstance(value, bytes) for _, value in headers)


@given(json_values, st.text(" \n\t\r", max_size=3), st.sampled_from([None, orjson.OPT_INDENT_2]))
def test_data_keep_their_bytes(value: object, space: str, option: int | None) -> None:
    data = orjson.dumps(value, option=option)
    document = b'{"type":"a",%s"data"%s:%s%s%s}' % ((space.encode(),) * 3 + (data, space.encode()))

    assert data_member(document) == data


@given(st.dictionaries(st.sampled_from(["data", "Data", "d", "\x00", "é", '"']), json_values))
def test_the_data_member_is_the_one_that_parsers_see(document: dict[str, object]) -> None:
    assume("data" in document)

    found = data_member(orjson.dumps(document))

    assert found is not None
    assert orjson.loads(found) == orjson.loads(orjson.dumps(document["data"]))
