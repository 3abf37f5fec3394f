"""Headers as frameworks hand them over, and as senders that mean harm write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from multidict import CIMultiDict
from starlette.datastructures import Headers as StarletteHeaders
from werkzeug.datastructures import Headers as FlaskHeaders

from hookseal_receiver import VerificationError
from tests.receiving import a_request, a_webhook

if TYPE_CHECKING:
    from collections.abc import Callable

HEADERS, BODY = a_request()
EVENT_ID = "webhook-id"

FORMS: dict[str, Callable[[dict[str, str]], Any]] = {
    "a dict": dict,
    "in capitals": lambda headers: {name.title(): value for name, value in headers.items()},
    "bytes": lambda headers: {name.encode(): value.encode() for name, value in headers.items()},
    "pairs": lambda headers: list(headers.items()),
    "an iterator": lambda headers: iter(headers.items()),
    "pairs of bytes": lambda headers: [(n.encode(), v.encode()) for n, v in headers.items()],
    "aiohttp": CIMultiDict,
    "Starlette": StarletteHeaders,
    "Flask": FlaskHeaders,
}


def others(headers: dict[str, str]) -> dict[str, str]:
    return {"host": "x", "x-name": "Zoë", **headers, "content-type": "application/jose+json"}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_headers_may_come_in_any_form(form: Callable[[dict[str, str]], Any]) -> None:
    headers, body = a_request()

    assert a_webhook().open(form(others(headers)), body).id == "evt_1"


def refused(headers: Any) -> str:
    with pytest.raises(VerificationError) as caught:
        a_webhook().open(headers, BODY)
    return caught.value.reason


@pytest.mark.parametrize("name", list(HEADERS))
def test_a_header_that_is_missing_is_refused(name: str) -> None:
    rest = {other: value for other, value in HEADERS.items() if other != name}

    assert refused(rest) == "headers_invalid"
    assert refused(rest | {name: ""}) == "headers_invalid"


@pytest.mark.parametrize("name", list(HEADERS))
def test_a_header_that_comes_twice_is_refused(name: str) -> None:
    again = (name.upper(), HEADERS[name])

    assert refused([*HEADERS.items(), again]) == "headers_invalid"
    assert refused(CIMultiDict([*HEADERS.items(), again])) == "headers_invalid"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (EVENT_ID, "evt 1"),
        (EVENT_ID, "evt.1"),
        (EVENT_ID, "evt_1\n"),
        (EVENT_ID, "é"),
        (EVENT_ID, "e" * 129),
        (EVENT_ID, b"\xff\xfe"),
        ("webhook-timestamp", "-1"),
        ("webhook-timestamp", "1e9"),
        ("webhook-timestamp", "nan"),
        ("webhook-timestamp", "inf"),
        ("webhook-timestamp", "١٢٣"),
        ("webhook-timestamp", "9" * 5000),
        ("webhook-signature", "v1,é"),
        ("webhook-signature", "v1,\x00"),
        ("webhook-signature", "v1,AAAA " * 10_000),
    ],
)
def test_a_header_that_is_malformed_is_refused(name: str, value: str | bytes) -> None:
    assert refused([*(HEADERS | {name: value}).items()]) == "headers_invalid"


def test_a_time_far_away_is_refused() -> None:
    assert refused(HEADERS | {"webhook-timestamp": "9" * 12}) == "timestamp_refused"
    assert refused(HEADERS | {"webhook-timestamp": "0"}) == "timestamp_refused"
