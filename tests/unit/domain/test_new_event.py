from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookseal.domain.event import is_broadcast, parse_event
from hookseal.domain.new_event import SURPLUS_MAX_BYTES, NewEventReader
from hookseal.domain.record import Record
from hookseal.errors import InvalidEventError
from tests.strategies import json_values

if TYPE_CHECKING:
    from hookseal.domain.new_event import IdSource
    from hookseal.domain.record import Headers


def a_reader(**changes: Any) -> NewEventReader:
    return NewEventReader(**{"max_bytes": 32_768, **changes})


def code_of(line: bytes, **changes: Any) -> tuple[str, str | None]:
    with pytest.raises(InvalidEventError) as caught:
        a_reader(**changes).read(line)
    return caught.value.code, caught.value.field


def test_data_keep_their_bytes() -> None:
    data = b'{"big": 18446744073709551617,  "a":1, "a":2, "f": 1.0e2}'

    draft = a_reader().read(b'{"customer_id": "acme", "type": "order.paid", "data": ' + data + b"}")

    assert data in draft.value
    assert draft.key == b"acme"


@given(data=json_values, event_id=st.none() | st.just("evt_1"))
def test_what_is_read_is_an_event_with_the_same_data(data: object, event_id: str | None) -> None:
    line = orjson.dumps({"customer_id": "acme", "type": "order.paid", "data": data, "id": event_id})

    draft = a_reader().read(line)
    event = parse_event(Record("events", 0, 7, draft.key, draft.value), max_bytes=32_768)

    assert event.data == orjson.dumps(data)
    assert event.id == event_id or event_id is None


def test_what_a_line_leaves_out_is_filled_in() -> None:
    draft = a_reader(customer_id="acme", event_type="order.paid").read(b'{"data": 1}')

    assert (draft.key, draft.value) == (b"acme", b'{"type":"order.paid","data":1}')


def test_what_a_line_says_goes_before_what_is_filled_in() -> None:
    line = b'{"customer_id": "globex", "type": "a.b", "data": 1}'

    draft = a_reader(customer_id="acme", event_type="order.paid").read(line)

    assert (draft.key, draft.value) == (b"globex", b'{"type":"a.b","data":1}')


def test_a_broadcast_has_one_id_and_no_key() -> None:
    draft = a_reader(broadcast="every").read(b'{"type": "a.b", "data": 1}', spare_id="evt_1")
    record = Record("events", 3, 7, draft.key, draft.value, draft.headers)
    elsewhere = Record("events", 4, 9, draft.key, draft.value, draft.headers)

    assert draft.key is None
    assert is_broadcast(record)
    assert parse_event(record, max_bytes=999).id == parse_event(elsewhere, max_bytes=999).id


@pytest.mark.parametrize(
    ("spare_from", "headers"),
    [("request", (("hookseal-event-id", b"evt_s"),)), ("random", ())],
)
def test_only_a_chosen_id_can_be_found_again(spare_from: IdSource, headers: Headers) -> None:
    line = b'{"customer_id": "acme", "type": "a.b", "data": 1}'

    draft = a_reader().read(line, spare_id="evt_s", spare_from=spare_from)

    assert draft.headers == headers
    assert draft.event_id == "evt_s"


def test_the_id_that_an_event_names_is_a_chosen_one() -> None:
    line = b'{"customer_id": "acme", "type": "a.b", "data": 1, "id": "evt_1"}'

    draft = a_reader().read(line, spare_id="evt_s")

    assert (draft.event_id, draft.id_from) == ("evt_1", "event")
    assert draft.headers == (("hookseal-event-id", b"evt_1"),)


def test_a_document_far_over_the_limit_is_not_even_parsed() -> None:
    line = b"[" * (300 + SURPLUS_MAX_BYTES + 1)

    assert code_of(line, max_bytes=300) == ("payload_too_large", None)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"customer_id": "acme", "type": "a.b"}', ("data_missing", "data")),
        (b'{"customer_id": "acme", "data": 1}', ("type_missing", "type")),
        (b'{"customer_id": "acme", "type": "a b", "data": 1}', ("type_invalid", "type")),
        (b'{"customer_id": "acme", "type": "a.b", "data": 1, "id": "a.b"}', ("id_invalid", "id")),
        (
            b'{"customer_id": "acme", "type": "a.b", "data": 1, "timestamp": "now"}',
            ("timestamp_invalid", "timestamp"),
        ),
        (
            b'{"customer_id": "acme", "type": "a.b", "data": 1, "expires_at": "later"}',
            ("expires_at_invalid", "expires_at"),
        ),
        (b'{"type": "a.b", "data": 1}', ("customer_id_missing", "customer_id")),
        (b'{"customer_id": " ", "type": "a.b", "data": 1}', ("customer_id_invalid", "customer_id")),
        (b'{"customer_id": 7, "type": "a.b", "data": 1}', ("customer_id_invalid", "customer_id")),
        (b'{"customer": "acme", "type": "a.b", "data": 1}', ("member_unknown", "customer")),
        (
            b'{"customer_id": "acme", "type": "hookseal.test", "data": 1}',
            ("type_reserved", "type"),
        ),
        (b"[1]", ("body_not_object", None)),
        (b'{"data": NaN}', ("json_invalid", None)),
        (b"\xff", ("json_invalid_utf8", None)),
    ],
)
def test_a_line_that_is_no_event_is_refused(line: bytes, code: tuple[str, str | None]) -> None:
    assert code_of(line) == code


def test_an_event_over_the_limit_is_refused() -> None:
    line = b'{"customer_id": "acme", "type": "a.b", "data": "%s"}' % (b"x" * 300)

    assert code_of(line, max_bytes=300) == ("payload_too_large", None)


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        (b'{"customer_id": "acme", "type": "a.b", "data": 1}', {}),
        (b'{"type": "a.b", "data": 1}', {"customer_id": "acme"}),
    ],
)
def test_a_broadcast_for_one_customer_is_refused(line: bytes, changes: dict[str, str]) -> None:
    code = code_of(line, broadcast="every", **changes)

    assert code == ("customer_id_unexpected", "customer_id")
