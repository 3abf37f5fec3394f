"""Judges an endpoint's response: accept, retry or dead-letter."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum

import msgspec

_SUCCESS = range(200, 300)
_REDIRECTS = range(300, 400)
_GONE = 410
_SLOW_DOWN = (429, 503)
_CLIENT_ERRORS = range(400, 500)
_SERVER_ERRORS = range(500, 600)
# RFC 9110 sections 15.5 and 15.6, RFC 6585, RFC 8470: the receiver asks for another time.
_LATER = frozenset({408, 425, 429})
# Not Implemented, HTTP Version Not Supported: the same request fails at any time.
_FOR_GOOD = frozenset({501, 505})
# RFC 9110 section 15.5, RFC 4918: about the sender or the target, not about the content.
_OF_THE_TARGET = frozenset({401, 402, 403, 404, 405, 407, 421, 423})
_DELAY_SECONDS = re.compile(r"[0-9]{1,9}")


class Verdict(Enum):
    """The next step of a delivery."""

    ACCEPTED = "accepted"
    RETRY = "retry"
    GONE = "gone"
    PERMANENT = "hopeless"
    SKIPPED = "skipped"
    """No attempt was made: the endpoint was removed, disabled or suspended."""


class Blame(Enum):
    """Whether the endpoint or the event caused a failed attempt."""

    RECEIVER = "receiver"
    EVENT = "event"
    UNCLEAR = "unclear"


class Judgement(msgspec.Struct, frozen=True, gc=False):
    """A verdict, its code and the clamped `Retry-After` in seconds.

    Codes: `accepted`, `gone`, `redirect_not_followed`, `http_<status>`, or that of an AttemptError.
    """

    verdict: Verdict
    code: str
    wait_s: float = 0.0


_ACCEPTED = Judgement(Verdict.ACCEPTED, "accepted")


def judge(status: int, retry_after: str | None, *, now: float, cap_s: float) -> Judgement:
    """Judge a response at Unix second `now`.

    `Retry-After` is honoured up to `cap_s` seconds, on 429 (RFC 6585 section 4) and 503 (RFC 9110
    section 15.6.4).
    """
    if status in _SUCCESS:
        return _ACCEPTED
    if status == _GONE:
        return Judgement(Verdict.GONE, "gone")
    if status in _REDIRECTS:
        return Judgement(Verdict.RETRY, "redirect_not_followed")
    wait_s = 0.0
    if status in _SLOW_DOWN and retry_after is not None:
        wait_s = min(cap_s, retry_after_s(retry_after, now=now))
    return Judgement(Verdict.RETRY, f"http_{status}", wait_s)


def retry_after_s(header: str, *, now: float) -> float:
    """Return the seconds of a `Retry-After` header (RFC 9110 section 10.2.3).

    The header is `120` or an HTTP date, compared with `now` in Unix seconds. The result is never
    negative, and 0 for an invalid header.
    """
    text = header.strip()
    if _DELAY_SECONDS.fullmatch(text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            # "-0000" and the asctime form carry no zone; HTTP dates are in UTC.
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - now)
    except (ValueError, IndexError, OverflowError, TypeError):
        return 0.0


def blame(status: int | None) -> Blame:
    """Judge a failed attempt to deliver a deferred event, by its HTTP status (None = no response).

    An outage must never exhaust an event. An event that the receiver refuses for its content must
    not block the events behind it. So client errors about the content blame the `EVENT`. Server
    errors are `UNCLEAR`: receivers answer them for a bad event and for an outage. So are client
    errors about the target, which a proxy answers while the receiver is away.
    """
    if status is None or status == _GONE or status in _REDIRECTS or status in _LATER:
        return Blame.RECEIVER
    if status in _OF_THE_TARGET or (status in _SERVER_ERRORS and status not in _FOR_GOOD):
        return Blame.UNCLEAR
    return Blame.EVENT


def suspends(judgement: Judgement, status: int | None) -> bool:
    """Return whether an event whose last attempt failed so suspends its endpoint.

    So do no response, 408, 425, 429, and server errors except 501 and 505.
    """
    if status is None:
        return judgement.code != "internal_error"
    return status in _LATER or (status in _SERVER_ERRORS and status not in _FOR_GOOD)
