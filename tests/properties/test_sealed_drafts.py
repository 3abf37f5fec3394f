"""Events whose data are sealed at rest arrive as any other."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from hookseal.domain.event import derived_id, parse_event
from hookseal.domain.new_event import NewEvent, NewEventReader
from hookseal.domain.record import Record
from hookseal.errors import InvalidEventError, SealError
from hookseal.publishing.event_log import sealed
from hookseal.seal.vault import EventVault
from tests.builders import MASTER_KEY, MAX_BYTES
from tests.strategies import json_values, mutations

VAULT = EventVault("events", [MASTER_KEY])
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@st.composite
def drafts(draw: st.DrawFn) -> NewEvent:
    given_members: dict[str, Any] = {
        "type": draw(st.sampled_from(["order.paid", 'a"b', "é", "x\\y"])),
        "id": draw(st.none() | st.sampled_from(["evt_1", 'a"b', "x\\y"])),
        "timestamp": draw(st.none() | st.just("2026-11-24T10:00:00Z")),
    }
    data = orjson.dumps(draw(json_values), option=draw(st.sampled_from([0, orjson.OPT_INDENT_2])))
    document = {name: value for name, value in given_members.items() if value is not None}
    head = orjson.dumps(document)[:-1]
    reader = NewEventReader(MAX_BYTES, customer_id=draw(st.sampled_from(["acme", "ö"])))
    try:
        return reader.read(head + b',"data":' + data + b"}")
    except InvalidEventError:
        return reader.read(b'{"type":"order.paid","data":' + data + b"}")


def on_topic(draft: NewEvent) -> Record:
    return Record("events", 0, 7, draft.key, draft.value, draft.headers, 1_700_000_000_000)


@given(drafts())
def test_all_but_the_data_stays_as_it_was_and_the_data_open(draft: NewEvent) -> None:
    plain = parse_event(on_topic(draft), max_bytes=MAX_BYTES)
    event = parse_event(on_topic(sealed(draft, VAULT)), max_bytes=MAX_BYTES)

    assert (event.id, event.type, event.timestamp, event.customer_id) == (
        plain.id,
        plain.type,
        plain.timestamp,
        plain.customer_id,
    )
    assert event.data == b""
    assert event.sealed is not None
    text, event_id = event.sealed
    assert VAULT.open(text, event.customer_id, event_id, event.type) == plain.data
    assert (event_id or derived_id(event.record)) == event.id


@given(drafts())
def test_sealing_is_the_same_each_time(draft: NewEvent) -> None:
    assert sealed(draft, VAULT) == sealed(draft, VAULT)


@given(drafts(), st.data())
def test_no_mutation_is_taken_for_data(draft: NewEvent, data: st.DataObject) -> None:
    genuine = sealed(draft, VAULT)
    value = data.draw(mutations(genuine.value))
    record = on_topic(genuine)
    changed = Record(*(*(record.topic, 0, 7, record.key), value, record.headers, 1))
    plain = parse_event(on_topic(draft), max_bytes=MAX_BYTES).data
    with suppress(InvalidEventError, SealError):
        event = parse_event(changed, max_bytes=MAX_BYTES)
        assert event.sealed is not None
        assert VAULT.open(event.sealed.text, "acme", event.sealed.event_id, event.type) == plain


def test_an_event_of_the_greatest_size_may_be_sealed() -> None:
    reader = NewEventReader(MAX_BYTES, customer_id="acme")
    head = b'{"type":"a","data":"'
    draft = reader.read(head + b"x" * (MAX_BYTES - len(head) - 2) + b'"}')

    event = parse_event(on_topic(sealed(draft, VAULT)), max_bytes=MAX_BYTES)

    assert len(draft.value) == MAX_BYTES
    assert event.sealed is not None
