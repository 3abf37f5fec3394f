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
_DELAY_SECONDS = re.compile(r"[0-9]{1,9}")


class Verdict(Enum):
    """The next step of a delivery."""

    ACCEPTED = "accepted"
    RETRY = "retry"
    GONE = "gone"
    PERMANENT = "hopeless"
    SKIPPED = "skipped"
    """No attempt was made: the endpoint was removed, disabled or suspended."""


class Judgement(msgspec.Struct, frozen=True, gc=False):
    """A verdict with its code.

    Attributes:
        code: `accepted`, `gone`, `redirect_not_followed`, `http_<status>`, or the code of the error
            instead of a response.
        wait_s: Seconds of `Retry-After`, clamped; 0 without one.
    """

    verdict: Verdict
    code: str
    wait_s: float = 0.0


_ACCEPTED = Judgement(Verdict.ACCEPTED, "accepted")


def judge(status: int, retry_after: str | None, *, now: float, cap_s: float) -> Judgement:
    """Judge a response.

    Args:
        retry_after: The `Retry-After` header, honoured on 429 (RFC 6585 section 4) and
            503 (RFC 9110 section 15.6.4).
        now: Unix seconds, for the header's date form.
        cap_s: Upper bound of the header's value in seconds.
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
