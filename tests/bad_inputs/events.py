"""Events that must be refused, by their numbers in the threat model."""

from __future__ import annotations

__all__ = ["BAD_EVENTS"]


def an_event(data: bytes = b"1", more: bytes = b"") -> bytes:
    return b'{"type":"order.paid"%b,"data":%b}' % (more, data)


# Text, code, field.
BAD_EVENTS: dict[int, list[tuple[bytes, str, str | None]]] = {
    54: [
        (an_event(b"NaN"), "json_invalid", None),
        (an_event(b"Infinity"), "json_invalid", None),
        (an_event(b"-Infinity"), "json_invalid", None),
        (an_event(b"[1e400]"), "json_invalid", None),
        (an_event(b"-1e400"), "json_invalid", None),
    ],
    56: [
        (an_event(b'"\xff"'), "json_invalid_utf8", None),
        (an_event(b'"\xc0\xaf"'), "json_invalid_utf8", None),
        (an_event(b'"\xed\xa0\x80"'), "json_invalid_utf8", None),
        (an_event(b'"\xf4\x90\x80\x80"'), "json_invalid_utf8", None),
        (b"\xef\xbb\xbf" + an_event(), "json_invalid_utf8", None),
        (an_event().decode().encode("utf-16"), "json_invalid_utf8", None),
        # Of a member that is repeated the last one counts, and all are checked.
        (b'{"type":"a","data":"\xff","data":1}', "json_invalid_utf8", None),
    ],
    57: [
        (an_event(rb'"\ud800"'), "json_invalid", None),
        (an_event(rb'"\udc00\ud800"'), "json_invalid", None),
        (b'{"type":"a\\ud800","data":1}', "json_invalid", None),
    ],
    58: [
        (an_event(b"[" * 64 + b"]" * 64), "json_too_deep", None),
        (an_event(b'{"a":' * 64 + b"1" + b"}" * 64), "json_too_deep", None),
        (an_event(b"[" * 30_000), "json_too_deep", None),
    ],
    60: [
        (b'{"type":"order.paid","data":1,}', "json_invalid", None),
        (an_event(b"[1,]"), "json_invalid", None),
        (an_event() + an_event(), "json_invalid", None),
        (b"{", "json_invalid", None),
        (b'{"type":"order.paid","data":}', "json_invalid", None),
        (an_event(b"01"), "json_invalid", None),
        (an_event(b"'a'"), "json_invalid", None),
        (an_event(b'"\x01"'), "json_invalid", None),
        (an_event(b"1 // one"), "json_invalid", None),
    ],
    61: [
        (b"1", "body_not_object", None),
        (b'"text"', "body_not_object", None),
        (b"null", "body_not_object", None),
    ],
    65: [
        (an_event(more=b',"id":"a.b"'), "id_invalid", "id"),
        (an_event(more=rb',"id":"a\rb"'), "id_invalid", "id"),
        (an_event(more=rb',"id":"a\nb"'), "id_invalid", "id"),
        (an_event(more=b',"id":"a b"'), "id_invalid", "id"),
        (an_event(more=b',"id":""'), "id_invalid", "id"),
        (an_event(more=b',"id":7'), "id_invalid", "id"),
        (an_event(more=b',"id":["a"]'), "id_invalid", "id"),
        (an_event(more=',"id":"é"'.encode()), "id_invalid", "id"),
        (an_event(more=b',"id":"%b"' % (b"x" * 129)), "id_invalid", "id"),
    ],
    66: [
        (b'{"data":1}', "type_missing", "type"),
        (b'{"type":null,"data":1}', "type_missing", "type"),
        (rb'{"type":"a\u0000b","data":1}', "type_invalid", "type"),
        (rb'{"type":"a\r\nb","data":1}', "type_invalid", "type"),
        (rb'{"type":"a\u007f","data":1}', "type_invalid", "type"),
        (b'{"type":"","data":1}', "type_invalid", "type"),
        (b'{"type":"order.*","data":1}', "type_invalid", "type"),
        (b'{"type":7,"data":1}', "type_invalid", "type"),
        (b'{"type":true,"data":1}', "type_invalid", "type"),
        (b'{"type":["a"],"data":1}', "type_invalid", "type"),
        (b'{"type":"%b","data":1}' % (b"x" * 256), "type_invalid", "type"),
    ],
    # Without a number there.
    0: [
        (b'{"type":"order.paid"}', "data_missing", "data"),
        (an_event(more=b',"timestamp":"yesterday"'), "timestamp_invalid", "timestamp"),
        (an_event(more=b',"timestamp":7'), "timestamp_invalid", "timestamp"),
        (an_event(more=b',"timestamp":"2026-02-30T00:00:00Z"'), "timestamp_invalid", "timestamp"),
    ],
}
