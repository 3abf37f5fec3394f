"""What a tracing back end is told about a delivery; `None` stands for tracing that is off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hookseal.domain.record import last_header

if TYPE_CHECKING:
    from hookseal.domain.attempt import Outcome
    from hookseal.domain.event import Event

TRACEPARENT = "traceparent"
"""Header of a record and of a request (W3C Trace Context, section 3.2)."""


class AttemptTrace(Protocol):
    """One attempt; must neither raise nor wait."""

    @property
    def traceparent(self) -> str | None:
        """What the receiver's own span hangs on; None = nothing."""
        ...

    def sealed(self, seconds: float) -> None:
        """Sealing and signing just ended, and took so long."""
        ...

    def ended(self, code: str, status: int | None) -> None:
        """The attempt ended."""
        ...


class Trace(Protocol):
    """One delivery; must neither raise nor wait."""

    def attempt(self, number: int) -> AttemptTrace:
        """An attempt begins, counted from 1."""
        ...

    def ended(self, outcome: Outcome | None) -> None:
        """The delivery ended; None = it was cut off, and somebody else begins it anew."""
        ...


class Tracing(Protocol):
    """Follows deliveries; must neither raise nor wait."""

    def delivery(self, event: Event, customer_id: str, endpoint_id: str) -> Trace:
        """A delivery begins."""
        ...


def traceparent_of(event: Event) -> str | None:
    """Return the trace context that the event's producer gave it, if any, unchecked."""
    value = last_header(event.record.headers, TRACEPARENT)
    return None if value is None else value.decode("ascii", "replace")
