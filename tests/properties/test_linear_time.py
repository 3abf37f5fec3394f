"""Every parser of a stranger's text takes time and memory linear in the size of the text.

Each parser reads its worst known input at one size and at eight times the size. Linear time is
8 times longer, quadratic time is 64 times longer. Parsers whose input has a limit read an input of
that size instead, and have a time that they may take.
"""

from __future__ import annotations

import json
import time
import tracemalloc
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from yarl import URL

from hookseal.api import events, request_body, schemas
from hookseal.api.dead_letter_schemas import DeadLetterPageQuery, ReplayRequest
from hookseal.api.endpoint_schemas import EndpointCreate
from hookseal.delivery.ordering import offset_metadata
from hookseal.domain import attempt, command, dead_letter, replay, tenant
from hookseal.domain.endpoint import check_event_types, subscribes
from hookseal.domain.endpoint_headers import check_headers
from hookseal.domain.endpoint_url import URL_MAX, check_url
from hookseal.domain.event import (
    check_event_id,
    check_event_type,
    check_timestamp,
    event_id_if_any,
    parse_event,
)
from hookseal.domain.json_text import array_elements, data_member, validate
from hookseal.domain.letter_filter import parse_moment, parse_place
from hookseal.domain.new_event import NewEventReader
from hookseal.domain.record import Record
from hookseal.domain.replay import event_of, parse_mark
from hookseal.domain.verdict import retry_after_s
from hookseal.errors import HooksealError
from hookseal.seal.api_keys import read_key, same_secret
from hookseal.seal.keys import MAX_BYTES, parse_public_key
from hookseal.seal.registry import RegistryMac
from hookseal.seal.request import is_traceparent
from hookseal.seal.vault import EventVault
from hookseal_receiver import ReceiverError
from hookseal_receiver.event import Event as ReceivedEvent
from hookseal_receiver.opening import Opener, keyring
from hookseal_receiver.signature import signed_headers
from tests.receiving import kid_of
from tests.sealed import b64u, vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SMALL = 16 * 1024
TIMES = 8
# Three times what linear time takes; quadratic time is far above.
SLACK = 3
# A parser that reads 128 KiB in so short a time is not quadratic: it would have to do 400 steps in
# a nanosecond.
FAST_S = 0.04
# Of 16 KiB and less.
LIMITED_S = 0.15
# The parts of an array of empty arrays: 64 bytes for 3.
MEMORY_PER_BYTE = 64
MEMORY_FLOOR = 1024 * 1024
RUNS = 5
# So long a run is not repeated: no other process can have caused it.
HOPELESS_S = 2.0


class Case(NamedTuple):
    """A parser and its hostile input.

    Attributes:
        name: Of parser and input.
        parse: The parser.
        made: Returns an input of about that many bytes.
    """

    name: str
    parse: Callable[[Any], object]
    made: Callable[[int], Any]


def repeated(text: bytes, before: bytes = b"", after: bytes = b"") -> Callable[[int], bytes]:
    return lambda size: before + text * (size // len(text)) + after


def repeated_text(text: str, before: str = "", after: str = "") -> Callable[[int], str]:
    return lambda size: before + text * (size // len(text)) + after


def distinct_members(size: int) -> bytes:
    return b'{"data":1,%b}' % b",".join(b'"%06d":1' % n for n in range(size // 11))


DEEP = b"[" * 65
NUMBERS: dict[str, Callable[[int], bytes]] = {
    "digits": repeated(b"1"),
    "fraction": repeated(b"1", b"0."),
    "digits and fraction": lambda size: b"1" * (size // 2) + b"." + b"1" * (size // 2),
    "digits and exponent": lambda size: b"1" * size + b"e-%d" % size,
    "zeros and exponent": lambda size: b"0." + b"0" * size + b"1e%d" % size,
    "halfway": repeated(b"0", b"9007199254740993.", b"1"),
    "exponent": repeated(b"0", b"1e", b"1"),
}
JSON: dict[str, Callable[[int], bytes]] = {
    **NUMBERS,
    "escaped quotes, unterminated": repeated(rb"\"", b'{"a":' + DEEP + b'"'),
    "escaped quotes, cut off": repeated(rb"\"", DEEP + b'"', b"\\"),
    "escaped quotes": repeated(rb"\"", DEEP + b'"', b'"' + b"]" * 65),
    "escaped backslashes": repeated(rb"\\", DEEP + b'"'),
    "backslashes outside": repeated(b"\\", DEEP),
    "quotes": repeated(b'"', DEEP),
    "empty strings": repeated(b'"",', DEEP, b'""'),
    "text": repeated(b"a", DEEP + b'"'),
    "open arrays": repeated(b"["),
    "open objects": repeated(b'{"a":'),
    "closed arrays": repeated(b"]", DEEP),
    "arrays inside out": repeated(b"]["),
    "flat arrays": repeated(b"[],", b"[", b"1]"),
    "nested arrays": repeated(b"[" * 60 + b"]" * 60 + b",", b"[", b"1]"),
    "objects": repeated(b'{"a":{"b":[]}},', b"[", b"1]"),
    "repeated members": repeated(b'"data":[1],', b"{", b'"data":1}'),
    "distinct members": distinct_members,
    "lines": repeated(b"\n1,", b"[", b"x"),
    "spaces": repeated(b" "),
    "surrogates": repeated(rb"\ud83d\ude00", b'"', b'"'),
    "half surrogates": repeated(rb"\ud83d", b'"', b'"'),
    "no UTF-8": repeated(b"\xc3\xa9", b'"', b'\xff"'),
}


def inside(text: bytes) -> Callable[[Callable[[int], bytes]], Callable[[int], bytes]]:
    """Return what puts a value in the place of the asterisk."""
    return lambda value: lambda size: text.replace(b"*", value(size))


def dead_letter_of(headers: Any) -> Record:
    return Record("dead-letters", 0, 0, b"acme", b'{"type":"a.b","data":1}', headers)


def headers_named(name: str) -> Callable[[int], Any]:
    # The smallest header takes 3 bytes on the wire.
    return lambda size: tuple((name.replace("*", str(n)), b"x") for n in range(size // 3))


def a_dead_letter(headers: Any) -> object:
    letter = dead_letter.DeadLetter(dead_letter_of(headers), "json_invalid", "x", "id", 0.0)
    return event_of(dead_letter_of(letter.headers()), max_bytes=SMALL)


OPENER = Opener(keyring([vectors()["p256"].private_key]), max_body_bytes=2**30)
REGISTRY = RegistryMac([bytes(32)])
VAULT = EventVault("events", [bytes(32)])
DRAFTS = NewEventReader(2**30)


def a_body(**members: str) -> bytes:
    """A sealed body as a receiver gets it."""
    header = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": kid_of("p256")}
    whole = {"protected": b64u(json.dumps(header).encode()), "iv": "A", "ciphertext": "A"}
    return json.dumps({**whole, "tag": "A", **members}).encode()


def a_header(parameter: bytes) -> bytes:
    """A sealed body with one more parameter in its header."""
    alike = b'{"alg":"ECDH-ES","enc":"A256GCM","kid":"%b",%b}'
    return a_body(protected=b64u(alike % (kid_of("p256").encode(), parameter)))


def json_cases() -> Iterator[Case]:
    at_event = inside(b'{"customer_id":"acme","type":"a.b","data":*}')
    in_array, in_data = inside(b"[*,1]"), inside(b'{"data":*}')
    for name, made in JSON.items():
        yield Case(f"JSON: {name}", validate, made)
        yield Case(f"array: {name}", lambda text: array_elements(text, most=1000), in_array(made))
        yield Case(f"lines: {name}", lambda text: events._split(text, events._LINES), made)
        yield Case(f"new event: {name}", DRAFTS.read, at_event(made))
        yield Case(f"event: {name}", a_plain_event, at_event(made))
        yield Case(f"id of an event: {name}", an_id, at_event(made))
        yield Case(f"received event: {name}", ReceivedEvent.parse, in_data(made))
        yield Case(f"sealed body: {name}", OPENER.open, made)
        yield Case(
            f"body: {name}", lambda text: request_body.decoded(text, EndpointCreate), in_data(made)
        )
        yield Case(f"attempt: {name}", attempt.decode, in_data(made))
        yield Case(f"replay: {name}", replay.settled_in, in_data(made))
    yield Case("data: repeated", data_member, repeated(b'"data":[1],', b"{", b'"data":1}'))
    yield Case(
        "lines: blank", lambda text: events._split(text, events._LINES), repeated(b" \n", b"", b"1")
    )


def a_plain_event(value: bytes) -> object:
    return parse_event(Record("events", 0, 0, b"acme", value), max_bytes=2**30)


def an_id(value: bytes) -> object:
    return event_id_if_any(Record("events", 0, 0, b"acme", value))


def number_cases() -> Iterator[Case]:
    a_command = b'{"type":"tenant.create","customer_id":"a","id":"b",'
    for what, decode, text in (
        ("attempt", attempt.decode, b'{"at":*}'),
        ("attempt", attempt.decode, b'{"status":*}'),
        ("replay", replay.settled_in, b'{"at_ms":*}'),
        ("replay", replay.settled_in, b'{"drained":[[1,*]],"v":2}'),
        ("command", command.decode, a_command + b'"at":*}'),
        ("command", command.decode, a_command + b'"at":1,"v":*}'),
        ("tenant", tenant.decode, b'{"customer_id":"a","revision":*}'),
        (
            "endpoint",
            lambda text: request_body.decoded(text, EndpointCreate),
            b'{"retry_delays_s":[*]}',
        ),
        ("replay", lambda text: request_body.decoded(text, ReplayRequest), b'{"limit":*}'),
    ):
        for name, made in NUMBERS.items():
            yield Case(f"{what}: {text.decode()}: {name}", decode, inside(text)(made))


def text_cases() -> Iterator[Case]:
    texts: dict[str, Callable[[int], str]] = {
        "digits": repeated_text("9"),
        "fraction": repeated_text("9", "2026-01-01T00:00:00."),
        "slashes": repeated_text("1/"),
        "key": repeated_text("a", "whk_live_"),
        "spaces": repeated_text(" ", after="x"),
        "words": repeated_text("a "),
        "commas": repeated_text(","),
        "dots": repeated_text("a."),
        "colons": repeated_text("1:", "Tue, 1 Jan 2030 "),
        "day": repeated_text("1", "Tue, ", " Jan 2030 00:00:00 GMT"),
        "year": repeated_text("1", "Tue, 1 Jan ", " 00:00:00 GMT"),
        "zone": repeated_text("1", "Tue, 1 Jan 2030 00:00:00 +"),
        "stars": repeated_text(".*"),
        "note": repeated_text("_", "h1:"),
    }
    for what, parse in (
        ("Retry-After", lambda text: retry_after_s(text, now=0.0)),
        ("timestamp", check_timestamp),
        ("moment", lambda text: parse_moment(text, field="since")),
        ("dead letter's id", parse_place),
        ("cursor", schemas.read_position),
        ("event id", check_event_id),
        ("event type", check_event_type),
        ("patterns", lambda text: check_event_types((text,) * 1000)),
        ("patterns, cut", lambda text: check_event_types(tuple(map("".join, cut(text, 250))))),
        ("header", lambda text: check_headers({"x": text, text: "x"})),
        ("API key", read_key),
        ("admin key", lambda text: same_secret(text, "wha_x")),
        ("trace context", is_traceparent),
        ("replay's mark", lambda text: parse_mark(text.encode())),
        ("offset metadata", lambda text: offset_metadata.decode(text, 0)),
        ("signature", lambda text: signed_headers([("webhook-signature", text)])),
        ("dead letter's headers", lambda text: a_dead_letter(((ORIGIN, text.encode()),))),
    ):
        for name, made in texts.items():
            yield Case(f"{what}: {name}", parse, made)


ORIGIN = "hookseal-event-timestamp"


def cut(text: str, size: int) -> Iterator[str]:
    return (text[at : at + size] for at in range(0, len(text), size))


def other_cases() -> Iterator[Case]:
    for name in ("x", "x*", "ce_*", "hookseal-*", "content-type", "hookseal-replay-of"):
        made = headers_named(name)
        yield Case(
            f"record headers: {name}", lambda found: parse_event(headed(found), max_bytes=99), made
        )
        yield Case(
            f"record headers, id: {name}", lambda found: event_id_if_any(headed(found)), made
        )
        yield Case(f"record headers, letter: {name}", a_dead_letter, made)
        yield Case(f"signed headers: {name}", signed_headers, made)
    yield Case(
        "record headers, binary",
        lambda found: parse_event(headed((*found, ("ce_specversion", b"1.0"))), max_bytes=99),
        headers_named("ce_*"),
    )
    for name, made in {
        "macs": repeated(b',"mac":"', b"{"),
        "whole macs": repeated(b',"mac":"' + b"A" * 43 + b'"}', b"{"),
        "braces": repeated(b"}", b"{"),
    }.items():
        yield Case(
            f"registry: {name}", lambda value: REGISTRY.checked("tenants", b"acme", value), made
        )
    yield Case("sealed data", unsealed, repeated_text("A", "1:"))
    for name, made in {
        "name": repeated(b"a", b'{"', b'":1}'),
        "name like msgspec's words": repeated(b" - at `$", b'{"', b'":1}'),
        "name of backticks": repeated(b"`", b'{"', b'":1}'),
        "value of a choice": repeated(b"a", b'{"category":"', b'"}'),
        "ids": repeated(b'"1/1",', b'{"ids":[', b'"1/1"]}'),
    }.items():
        yield Case(f"body: {name}", lambda text: request_body.decoded(text, ReplayRequest), made)
    for name, made in {
        "parts": lambda size: a_body(iv="." * size),
        "ciphertext": lambda size: a_body(ciphertext="A" * size),
        "key": lambda size: a_body(encrypted_key="A" * size),
        "header": lambda size: a_body(protected="W" * size),
        "coordinate": lambda size: a_header(
            b'"epk":{"kty":"EC","crv":"P-256","x":"%b","y":"A"}' % (b"A" * size)
        ),
        "modulus": lambda size: a_header(
            b'"epk":{"kty":"RSA","n":"%b","e":"AQAB"}' % (b"_" * size)
        ),
        "numbers": lambda size: a_header(b'"cty":[%b]' % b",".join([b"1" * 4300] * (size // 4300))),
    }.items():
        yield Case(f"sealed body: {name}", OPENER.open, made)


def headed(headers: Any) -> Record:
    return Record("events", 0, 0, b"acme", b'{"type":"a.b","data":1}', headers)


def unsealed(text: str) -> bytes:
    return VAULT.open(text, "acme", "evt_1", "a.b")


CASES = [*json_cases(), *number_cases(), *text_cases(), *other_cases()]


def limited_cases() -> Iterator[tuple[str, Callable[[Any], object], Any]]:
    for name, host in {
        "distinct characters": "".join(chr(0x4E00 + n) for n in range(URL_MAX)),
        "as many as are read": "".join(chr(0x4E00 + n) for n in range(252)) + ".com",
        "ligatures": "\ufdfa" * 252 + ".com",
        "labels of ligatures": ("\ufdfa" * 60 + ".") * 33,
        "labels": "\u00e9." * 1000,
        "combining": "a" + "\u0300\u0323" * 1000,
        "Arabic": "\u0627" * URL_MAX,
        "dots": "\u3002" * URL_MAX,
        "ASCII": "a" * URL_MAX,
        "punycode": "xn--a." * 330,
        "digits": "1" * URL_MAX,
        "IPv6": "[" + "1:" * 1000 + "]",
        "port": "a.com:" + "0" * URL_MAX,
        "path": "a.com/" + "%41/.." * 300,
        "query": "a.com/?" + "a=b&" * 500,
    }.items():
        yield f"URL: {name}", check_url, f"https://{host}"[:URL_MAX]
    for name, part in {
        "labels": b"-----BEGIN ",
        "blocks": b"-----BEGIN PUBLIC KEY-----",
        "certificates": b"-----BEGIN CERTIFICATE-----",
        "private": b"---BEGIN PRIVATE KE",
        "dashes": b"-",
        "base64": b"A ",
        "DER": b"0\x80",
        "objects": b'{"a":',
        "arrays": b"[",
        "members": b'{"d"     ',
    }.items():
        yield f"key: {name}", parse_public_key, part * (MAX_BYTES // len(part))
    for name, before in {
        "modulus": b'{"kty":"RSA","e":"AQAB","n":"',
        "exponent": b'{"kty":"RSA","n":"%b","e":"' % (b"_" * 683),
        "coordinate": b'{"kty":"EC","crv":"P-256","y":"AQAB","x":"',
    }.items():
        yield f"key: {name}", parse_public_key, before + b"_" * (MAX_BYTES - 1000) + b'"}'
    line = 8190
    for name, query in {
        "distinct": "&".join(f"{n:x}=1" for n in range(1300)),
        "repeated": "a=1&" * (line // 4),
        "digits": "limit=" + "9" * line,
        "cursor": "cursor=" + "MS8x" * (line // 4),
    }.items():
        read = URL(f"/v1?{query}", encoded=True).query
        yield (
            f"query: {name}",
            lambda found: request_body.query_of(found, DeadLetterPageQuery),
            read,
        )
    most = ("a." * 122 + "*",) * 100
    yield "subscriptions", lambda event_type: subscribes(most, event_type), "a." * 127
    yield "subscriptions, checked", check_event_types, most


def cpu_s(parse: Callable[[Any], object], text: Any, *, enough_s: float) -> float:
    """Return the CPU seconds of the fastest run; one run will do if it took no more than enough."""
    runs: list[float] = []
    while len(runs) < RUNS and sum(runs) < HOPELESS_S and min(runs, default=1.0) > enough_s:
        began = time.process_time()
        read(parse, text)
        runs.append(time.process_time() - began)
    return min(runs)


def read(parse: Callable[[Any], object], text: Any) -> None:
    """Parse the text; it may be refused, but by our own errors only."""
    with suppress(HooksealError, ReceiverError):
        parse(text)


def peak_bytes(parse: Callable[[Any], object], text: Any) -> int:
    tracemalloc.start()
    try:
        read(parse, text)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def named(cases: Iterable[Any]) -> Any:
    return [pytest.param(*case[1:], id=case[0]) for case in cases]


@pytest.mark.parametrize(("parse", "made"), named(CASES))
def test_time_is_linear_in_the_size_of_the_text(
    parse: Callable[[Any], object], made: Callable[[int], Any]
) -> None:
    large_s = cpu_s(parse, made(SMALL * TIMES), enough_s=FAST_S)
    if large_s > FAST_S:
        assert large_s < SLACK * TIMES * cpu_s(parse, made(SMALL), enough_s=0.0)


@pytest.mark.parametrize(("parse", "made"), named(CASES))
def test_memory_is_linear_in_the_size_of_the_text(
    parse: Callable[[Any], object], made: Callable[[int], Any]
) -> None:
    assert peak_bytes(parse, made(SMALL * TIMES)) < MEMORY_FLOOR + MEMORY_PER_BYTE * SMALL * TIMES


@pytest.mark.parametrize(("parse", "text"), named(limited_cases()))
def test_the_largest_text_that_is_read_takes_little_time(
    parse: Callable[[Any], object], text: Any
) -> None:
    assert cpu_s(parse, text, enough_s=LIMITED_S) <= LIMITED_S
