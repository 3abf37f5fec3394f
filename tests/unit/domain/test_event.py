from __future__ import annotations

import orjson
import pytest

from hookseal.domain.event import (
    BROADCAST_HEADER,
    EVENT_ID_HEADER,
    Event,
    derived_id,
    event_id_if_any,
    is_broadcast,
    parse_event,
)
from hookseal.domain.record import Header, Headers, Record
from hookseal.errors import InvalidEventError
from tests.builders import MAX_BYTES, a_record, an_event


def parse(record: Record) -> Event:
    return parse_event(record, max_bytes=MAX_BYTES)


def code_of(record: Record) -> str:
    with pytest.raises(InvalidEventError) as refused:
        parse(record)
    return refused.value.code


class TestPlainForm:
    def test_has_its_own_id_type_and_timestamp(self) -> None:
        event = parse(
            a_record(
                {
                    "type": "order.paid",
                    "data": {"n": 1},
                    "id": "evt_1",
                    "timestamp": "2026-11-24T10:00:00+01:00",
                }
            )
        )

        assert (event.id, event.type, event.customer_id) == ("evt_1", "order.paid", "acme")
        assert event.timestamp == "2026-11-24T10:00:00+01:00"
        assert event.data == b'{"n":1}'

    def test_keeps_the_bytes_of_its_data(self) -> None:
        data = b'{ "big": 123456789012345678901234567890,  "twice":1, "twice":2, "\\u00e9": 1.10 }'

        event = parse(a_record(b'{"data": ' + data + b' , "type":"a"}'))

        assert event.data == data

    def test_without_id_derives_the_same_one_from_the_same_place(self) -> None:
        record = a_record({"type": "a", "data": {}})

        assert parse(record).id == parse(record).id == derived_id(record)
        assert derived_id(record) != derived_id(a_record({"type": "a", "data": {}}, offset=8))
        assert "." not in derived_id(record)

    def test_without_timestamp_takes_the_record_s(self) -> None:
        event = parse(a_record({"type": "a", "data": {}}))

        assert event.timestamp == "2023-11-14T22:13:20.123Z"

    def test_takes_the_id_it_had_before_it_was_moved(self) -> None:
        event = parse(a_record({"type": "a", "data": {}}, (EVENT_ID_HEADER, b"evt_before")))

        assert event.id == "evt_before"


class TestCloudEvents:
    def test_binary_mode_takes_the_value_as_data(self) -> None:
        event = parse(
            a_record(
                b"[1, 2,  3]",
                ("ce_specversion", b"1.0"),
                ("ce_id", b"42"),
                ("ce_type", b"com.acme.paid"),
                ("ce_source", b"/orders"),
                ("ce_time", b"2026-11-24T10:00:00.5Z"),
                ("content-type", b"application/json; charset=utf-8"),
            )
        )

        assert (event.id, event.type, event.data) == ("42", "com.acme.paid", b"[1, 2,  3]")
        assert event.timestamp == "2026-11-24T10:00:00.5Z"

    @pytest.mark.parametrize("value", [None, b""])
    def test_binary_mode_without_a_value_has_the_data_null(self, value: bytes | None) -> None:
        headers: Headers = (("ce_specversion", b"1.0"), ("ce_id", b"42"), ("ce_type", b"a"))

        event = parse(Record("events", 3, 7, b"acme", value, headers))

        assert (event.id, event.data) == ("42", b"null")

    @pytest.mark.parametrize(
        "headers",
        [
            (),
            (("content-type", b"application/cloudevents+json"), ("ce_specversion", b"1.0")),
            (("hookseal-sealed", b"1"), ("ce_specversion", b"1.0"), ("ce_type", b"a")),
        ],
        ids=["plain", "structured", "encrypted at rest"],
    )
    def test_other_forms_need_a_value(self, headers: Headers) -> None:
        assert code_of(Record("events", 3, 7, b"acme", None, headers)) == "value_missing"

    @pytest.mark.parametrize(
        "content_type", [b"text/json; charset=utf-8", b"Application/JSON", b"application/x+json"]
    )
    def test_json_is_known_by_the_subtype(self, content_type: bytes) -> None:
        headers = (
            ("ce_specversion", b"1.0"),
            ("ce_id", b"42"),
            ("ce_type", b"a"),
            ("content-type", content_type),
        )

        assert parse(Record("events", 3, 7, b"acme", b"[1]", headers)).data == b"[1]"

    def test_structured_mode_takes_all_from_the_document(self) -> None:
        document = (
            b'{"specversion":"1.0","id":"42","type":"paid","source":"/o",'
            b'"time":"2026-11-24T10:00:00Z","data":{"a" : 1}}'
        )

        event = parse(
            a_record(document, ("content-type", b"application/cloudevents+json; charset=UTF-8"))
        )

        assert (event.id, event.type, event.data) == ("42", "paid", b'{"a" : 1}')

    def test_structured_mode_may_have_no_data(self) -> None:
        document = b'{"specversion":"1.0","id":"42","type":"paid","source":"/o"}'

        event = parse(a_record(document, ("content-type", b"application/cloudevents+json")))

        assert event.data == b"null"

    @pytest.mark.parametrize(
        ("headers", "value", "code"),
        [
            ((("ce_specversion", b"0.3"), ("ce_type", b"a")), b"{}", "cloudevents_version"),
            ((("ce_specversion", b"1.0"),), b"{}", "type_missing"),
            (
                (("ce_specversion", b"1.0"), ("ce_type", b"a"), ("content-type", b"image/png")),
                b"{}",
                "data_not_json",
            ),
            (
                (("content-type", b"application/cloudevents+json"),),
                b'{"specversion":"1.0","type":"a","data_base64":"AA=="}',
                "data_not_json",
            ),
            ((("content-type", b"application/cloudevents+json"),), b"[]", "body_not_object"),
        ],
    )
    def test_refuses_with_a_code(self, headers: Headers, value: bytes, code: str) -> None:
        assert code_of(a_record(value, *headers)) == code


class TestRefusals:
    @pytest.mark.parametrize(
        ("value", "code"),
        [
            (b"", "body_empty"),
            (b"  \n", "body_empty"),
            (b"[1]", "body_not_object"),
            (b'"text"', "body_not_object"),
            (b'{"type":"a","data":{}', "json_invalid"),
            (b'{"type":"a","data":{},}', "json_invalid"),
            (b'{"type":"a","data":{}}{}', "json_invalid"),
            (b'{"type":"a","data":NaN}', "json_invalid"),
            (b'{"type":"a","data":1e400}', "json_invalid"),
            (b'{"type":"a","data":"\\ud800"}', "json_invalid"),
            (b'{"type":"a","data":"\xff"}', "json_invalid_utf8"),
            (b'{"type":"a","data":"\xc0\xaf"}', "json_invalid_utf8"),
            (b'\xef\xbb\xbf{"type":"a","data":1}', "json_invalid_utf8"),
            ('{"type":"a","data":1}'.encode("utf-16"), "json_invalid_utf8"),
            (b'{"type":"a","data":' + b"[" * 65 + b"]" * 65 + b"}", "json_too_deep"),
            (b"[" * 100_000, "payload_too_large"),
            (b'{"data":{}}', "type_missing"),
            (b'{"type":"a"}', "data_missing"),
            (b'{"type":7,"data":{}}', "type_invalid"),
            (b'{"type":"","data":{}}', "type_invalid"),
            (b'{"type":"a\\u0000b","data":{}}', "type_invalid"),
            (b'{"type":"order.*","data":{}}', "type_invalid"),
            (b'{"type":"a","data":{},"id":"a.b"}', "id_invalid"),
            (b'{"type":"a","data":{},"id":"a\\rb"}', "id_invalid"),
            (b'{"type":"a","data":{},"id":7}', "id_invalid"),
            (b'{"type":"a","data":{},"id":"' + b"x" * 129 + b'"}', "id_invalid"),
            (b'{"type":"a","data":{},"timestamp":"yesterday"}', "timestamp_invalid"),
            (b'{"type":"a","data":{},"timestamp":"2026-13-01T00:00:00Z"}', "timestamp_invalid"),
            (b'{"type":"a","data":{},"timestamp":1700000000}', "timestamp_invalid"),
            (b'{"type":"a","data":{},"expires_at":"tomorrow"}', "expires_at_invalid"),
            (b'{"type":"a","data":{},"expires_at":1700000000}', "expires_at_invalid"),
            (b'{"type":"a","data":{},"ordering_key":""}', "ordering_key_invalid"),
            (b'{"type":"a","data":{},"ordering_key":7}', "ordering_key_invalid"),
            (
                b'{"type":"a","data":{},"ordering_key":"%b"}' % (b"x" * 257),
                "ordering_key_invalid",
            ),
        ],
    )
    def test_say_what_is_wrong_with_the_value(self, value: bytes, code: str) -> None:
        assert code_of(a_record(value)) == code

    @pytest.mark.parametrize(
        ("key", "code"),
        [
            (None, "key_missing"),
            (b"", "key_missing"),
            (b"\xff\xfe", "customer_id_invalid"),
            (b"a\x00b", "customer_id_invalid"),
            (b" acme", "customer_id_invalid"),
            (b"x" * 129, "customer_id_invalid"),
        ],
    )
    def test_say_what_is_wrong_with_the_key(self, key: bytes | None, code: str) -> None:
        assert code_of(a_record(key=key)) == code

    def test_a_record_without_value_is_no_event(self) -> None:
        assert code_of(Record("events", 0, 0, b"acme", None)) == "value_missing"

    def test_depth_is_counted_outside_of_strings(self) -> None:
        event = parse(a_record(orjson.dumps({"type": "a", "data": '[{"\\' * 500})))

        assert event.type == "a"


class TestBroadcast:
    def test_needs_no_key(self) -> None:
        record = a_record({"type": "a", "data": {}}, (BROADCAST_HEADER, b"1"), key=None)

        assert is_broadcast(record)
        assert parse(record).customer_id == ""


class TestTheTimeOfExpiry:
    @pytest.mark.parametrize(
        ("value", "headers"),
        [
            (b'{"type":"a","data":1,"expires_at":"2023-11-14T23:13:20+01:00"}', ()),
            (
                b'{"specversion":"1.0","type":"a","data":1,"expirytime":"2023-11-14T22:13:20Z"}',
                (("content-type", b"application/cloudevents+json"),),
            ),
            (
                b"1",
                (
                    ("ce_specversion", b"1.0"),
                    ("ce_id", b"e"),
                    ("ce_type", b"a"),
                    ("ce_expirytime", b"2023-11-14t22:13:20z"),
                ),
            ),
            (
                b'{"type":"a","expires_at":"2023-11-14T22:13:20Z","sealed":"1:x"}',
                (("hookseal-sealed", b"1"),),
            ),
        ],
        ids=["plain", "structured", "binary", "encrypted at rest"],
    )
    def test_is_read_in_every_form(self, value: bytes, headers: tuple[Header, ...]) -> None:
        event = parse_event(a_record(value, *headers), max_bytes=MAX_BYTES)

        assert event.expires_at == 1_700_000_000

    def test_is_optional(self) -> None:
        assert parse_event(a_record(), max_bytes=MAX_BYTES).expires_at is None


class TestIdsOfInvalidEvents:
    @pytest.mark.parametrize(
        "value",
        [
            b'{"id":"order-1","data":1}',
            b'{"type":7,"id":"order-1"}',
            b'{"id":"order\\u002d1","type":"a.b"}',
        ],
    )
    def test_a_dead_letter_has_the_id_of_the_event(self, value: bytes) -> None:
        assert event_id_if_any(a_record(value)) == "order-1"

    def test_an_event_keeps_its_id_when_its_dead_letter_is_replayed(self) -> None:
        record = a_record({"id": "order-1", "type": "a.b", "data": 1})

        assert event_id_if_any(record) == an_event(record).id == "order-1"

    @pytest.mark.parametrize(
        "value",
        [
            b"",
            b"no JSON",
            b"[1]",
            b'{"id":7}',
            b'{"id":"a.b"}',
            b'{"id":"\xff"}',
            b'{"id":"\\ud83d"}',
            b'{"id":"order-1"',
            b"[" * 100_000,
        ],
    )
    def test_a_record_without_a_valid_id_gets_one_of_its_own(self, value: bytes) -> None:
        record = a_record(value)

        assert event_id_if_any(record) == derived_id(record)
