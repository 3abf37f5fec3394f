"""Limits that an endpoint sets for its deliveries."""

from __future__ import annotations

import math

import msgspec

from hookseal.errors import InvalidCommandError

CONCURRENCY_MAX = 1000
RATE_MIN = 0.01
RATE_MAX = 10_000.0
TIMEOUT_MIN_S = 0.1
TIMEOUT_MAX_S = 120.0


class EndpointLimits(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """An endpoint's own limits; None = the operator's.

    Attributes:
        concurrency: Concurrent attempts. With an ordering mode there is one at a time anyway.
        rate_per_s: Attempts/s, as a token bucket whose burst is one second of attempts, at least
            one.
        timeout_s: Seconds an attempt may take; never more than the operator allows.
    """

    concurrency: int | None = None
    rate_per_s: float | None = None
    timeout_s: float | None = None


def check_limits(limits: EndpointLimits) -> EndpointLimits:
    """Return the limits, if they may be used.

    Raises:
        InvalidCommandError: `limits_invalid`.
    """
    for name, value, low, high in (
        ("concurrency", limits.concurrency, 1, CONCURRENCY_MAX),
        ("rate_per_s", limits.rate_per_s, RATE_MIN, RATE_MAX),
        ("timeout_s", limits.timeout_s, TIMEOUT_MIN_S, TIMEOUT_MAX_S),
    ):
        if value is not None and not (math.isfinite(value) and low <= value <= high):
            raise InvalidCommandError(
                "limits_invalid", f"Give a number from {low} to {high}.", field=f"limits.{name}"
            )
    return limits
