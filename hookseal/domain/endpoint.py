"""A webhook URL of a tenant: its subscription, limits and suspension."""

from __future__ import annotations

import math
import re
from typing import Literal, get_args

import msgspec

from hookseal.errors import InvalidCommandError

Why = Literal["exhausted", "behind", "paused"]
"""`exhausted`: consecutive events used up their attempts. `behind`: a queue for it was full,
or its customer held its partition for too long.
`paused`: a user paused the endpoint."""

Ordering = Literal["partition", "customer", "endpoint", "key", "unordered"]
"""Ordering modes, from strict to loose: with each, fewer events wait for each other."""

EndpointOrdering = Literal["endpoint", "key", "unordered"]
"""Ordering modes that an endpoint may have of its own."""

ENDPOINT_ID = "[A-Za-z0-9_-]{1,64}"
RETRY_DELAYS_MAX = 50
RETRY_DELAY_MAX_S = 3600.0
CONCURRENCY_MAX = 1000
RATE_MIN = 0.01
RATE_MAX = 10_000.0
TIMEOUT_MIN_S = 0.1
TIMEOUT_MAX_S = 120.0

_ORDERINGS: tuple[Ordering, ...] = get_args(Ordering)
_ENDPOINT_ID = re.compile(ENDPOINT_ID)
_PATTERNS_MAX = 100
_PATTERN_MAX = 255
_PATTERN = re.compile(r"\*|[\x21-\x29\x2b-\x7e]+?(\.\*)?")


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


class Suspension(msgspec.Struct, frozen=True, omit_defaults=True):
    """The suspension in the tenants table.

    Attributes:
        since: Unix seconds.
        owner: The worker that may end it. The name changes with each assignment, so that a worker
            that was frozen loses the right.
        letters_from: Offset on `dead-letters`, in the tenant's partition, below which no deferred
            event is left.
        resume_asked_at: Unix seconds of the request to resume; None = no request.
        attempted_at: Unix seconds of the first attempt at the oldest deferred event, if that was
            made after the event was deferred.
    """

    since: float
    why: Why
    owner: str
    letters_from: int
    resume_asked_at: float | None = None
    attempted_at: float | None = None


class Endpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """One endpoint in the tenants table.

    Attributes:
        event_types: Patterns, see `subscribes`.
        enabled: Events of a disabled endpoint are dead-lettered, so that none is lost.
        disabled_reason: `gone` (410) or `asked`.
        secret_version: Version of the current derived signing secret, from 1.
        previous_secret_until: Unix seconds until which the previous secret signs as well.
        retry_delays_s: The endpoint's own backoff in seconds; None = the operator's.
        suspension: None = its events are delivered, not deferred.
        paused_at: Unix seconds of the request to pause; None = not paused. A worker suspends a
            paused endpoint, and makes no attempt until it is resumed.
        ordering: The endpoint's own ordering mode; None = the operator's. See `looser`.
    """

    id: str
    url: str
    event_types: tuple[str, ...]
    headers: dict[str, str] = {}
    description: str = ""
    enabled: bool = True
    disabled_reason: str | None = None
    secret_version: int = 1
    previous_secret_until: float | None = None
    retry_delays_s: tuple[float, ...] | None = None
    suspension: Suspension | None = None
    limits: EndpointLimits = EndpointLimits()
    paused_at: float | None = None
    ordering: EndpointOrdering | None = None

    @property
    def state(self) -> Literal["active", "suspended", "paused", "disabled"]:
        """State of its deliveries."""
        if not self.enabled:
            return "disabled"
        if self.paused_at is not None:
            return "paused"
        return "active" if self.suspension is None else "suspended"

    def wants(self, event_type: str) -> bool:
        """Return whether the endpoint subscribes to the event type."""
        return subscribes(self.event_types, event_type)

    def secret_versions(self, now: float) -> tuple[int, ...]:
        """Return the valid versions of the signing secret at Unix second `now`, newest first."""
        until = self.previous_secret_until
        if until is not None and now < until and self.secret_version > 1:
            return self.secret_version, self.secret_version - 1
        return (self.secret_version,)


def looser(operators: Ordering, endpoints: EndpointOrdering | None) -> Ordering:
    """Return an endpoint's ordering mode: its own one relaxes the operator's, or has no effect."""
    if endpoints is None:
        return operators
    return max(operators, endpoints, key=_ORDERINGS.index)


def subscribes(patterns: tuple[str, ...], event_type: str) -> bool:
    """Return whether one of the patterns (`order.paid`, `order.*`, `*`) matches the event type.

    `order.*` matches `order.paid` and `order.item.added`, not `order`.
    """
    for pattern in patterns:
        if pattern in ("*", event_type):
            return True
        if pattern.endswith(".*") and event_type.startswith(pattern[:-1]):
            return True
    return False


def check_endpoint_id(text: str) -> str:
    """Return the endpoint id, or raise InvalidCommandError: `endpoint_id_invalid`."""
    if not _ENDPOINT_ID.fullmatch(text):
        raise InvalidCommandError(
            "endpoint_id_invalid",
            "Use 1 to 64 letters, digits, hyphens and underscores.",
            field="id",
        )
    return text


def check_event_types(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the patterns, or raise InvalidCommandError: `event_types_invalid`."""
    if not 0 < len(patterns) <= _PATTERNS_MAX or not all(
        len(pattern) <= _PATTERN_MAX and _PATTERN.fullmatch(pattern) for pattern in patterns
    ):
        raise InvalidCommandError(
            "event_types_invalid",
            f"Give 1 to {_PATTERNS_MAX} event types, each an exact name (`order.paid`), "
            "all below a name (`order.*`) or `*`.",
            field="event_types",
        )
    return patterns


def check_retry_delays(
    delays_s: tuple[float, ...], *, total_s: float | None = None
) -> tuple[float, ...]:
    """Return an endpoint's own backoff, or raise InvalidCommandError.

    Codes: `retry_delays_invalid`, and `retry_delays_too_long` if they exceed `total_s` in all.
    """
    if len(delays_s) > RETRY_DELAYS_MAX or not all(
        0 <= delay <= RETRY_DELAY_MAX_S for delay in delays_s
    ):
        raise InvalidCommandError(
            "retry_delays_invalid",
            f"Give at most {RETRY_DELAYS_MAX} waits from 0 to {RETRY_DELAY_MAX_S:.0f} seconds.",
            field="retry_delays_s",
        )
    if total_s is not None and sum(delays_s) > total_s:
        raise InvalidCommandError(
            "retry_delays_too_long",
            f"The waits take {sum(delays_s):,.0f} s in all; this operator allows {total_s:,.0f} s "
            "(HOOKSEAL_ENDPOINT_RETRY_MAX_S). Give fewer or shorter ones: events of an endpoint "
            "that stays away longer are deferred.",
            field="retry_delays_s",
        )
    return delays_s


def check_limits(limits: EndpointLimits) -> EndpointLimits:
    """Return the limits, or raise InvalidCommandError: `limits_invalid`."""
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
