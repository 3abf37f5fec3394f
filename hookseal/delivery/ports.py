"""What the engine needs from outside, declared by the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hookseal.domain.attempt import Attempt, Outcome
    from hookseal.domain.command import Command
    from hookseal.domain.dead_letter import DeadLetter
    from hookseal.domain.endpoint import Why
    from hookseal.domain.event import Event
    from hookseal.domain.record import Record
    from hookseal.domain.tenant import Tenant

__all__ = [
    "Answer",
    "AttemptLog",
    "Clock",
    "Commands",
    "DeadLetters",
    "DeferredEventStore",
    "DeferredPage",
    "NotSentError",
    "Observer",
    "Router",
    "SealedRequest",
    "Tenants",
    "Transport",
]


class SealedRequest(msgspec.Struct, frozen=True, gc=False):
    """One request, ready to go on the wire.

    Attributes:
        url: The endpoint's URL as it was registered, canonical.
        headers: Complete but for what HTTP itself adds (host, content-length).
        body: The JWE; holds no plaintext.
        timeout_s: Seconds the whole attempt may take, connect to last byte.
    """

    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout_s: float = 15.0

    def __repr__(self) -> str:
        """Return where it goes, and nothing of what it says."""
        return f"SealedRequest(url={self.url!r}, timeout_s={self.timeout_s})"


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What the endpoint answered; its body was read to the end and dropped.

    Attributes:
        status: HTTP status, 200 to 599.
        retry_after: The `Retry-After` header as it came, or None.
    """

    status: int
    retry_after: str | None = None


class NotSentError(Exception):
    """Nothing of the request went out: the partition was revoked, or the worker is stopping.

    Neither an error nor an attempt.
    """


class Transport(Protocol):
    """Carries one sealed request to one endpoint."""

    async def post(self, request: SealedRequest, may_send: Callable[[], bool]) -> Answer:
        """POST the request and return the answer.

        Args:
            request: What to send.
            may_send: Asked in the moment before the first byte goes out, with nothing that
                waits in between: dialling may have taken seconds, in which the partition
                went to another worker.

        Raises:
            NotSentError: `may_send` said no, and nothing went out.
            LocalResourceError: This process lacks a resource of its own. Not an attempt.
            BlockedAddressError: The URL leads to an address we refuse; never retried.
            SealError: `request_invalid`, no HTTP request can be built so; never retried.
            AttemptError: No usable answer came back. Codes: `timeout`, `dns_failed`,
                `connection_refused`, `connection_reset`, `connection_failed`,
                `tls_failed`, `response_invalid`, `response_too_large`.
        """
        ...


class Clock(Protocol):
    """Time and chance."""

    def now(self) -> float:
        """Return the seconds since the Unix epoch."""
        ...

    def draw(self) -> float:
        """Return a uniform draw from [0, 1)."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Tenants(Protocol):
    """The tenants of the partitions at hand."""

    def get(self, customer_id: str) -> Tenant | None:
        """Return the tenant as it is now, or None."""
        ...

    def of_partition(self, partition: int) -> Sequence[Tenant]:
        """Return the tenants whose events stand on this partition."""
        ...

    def suspended_of(self, partition: int) -> Sequence[Tenant]:
        """Return at least those of them that have a suspended endpoint."""
        ...

    async def settle(self, partition: int) -> None:
        """Wait until every command that stands on the partition by now is applied.

        Gives up after a bounded time.
        """
        ...


class Router(Protocol):
    """Knows which partition a customer's records belong to."""

    def partition_of(self, customer_id: str) -> int:
        """Return the partition, counted from 0."""
        ...

    async def reroute(self, event: Event, partition: int) -> None:
        """Produce the event's record once more, on this partition.

        Bytes, headers, timestamp and event id are kept. Returns only once it is safe.

        Raises:
            RecordRefusedError: The record cannot be written there.
        """
        ...


class DeadLetters(Protocol):
    """Where deliveries go that were given up."""

    async def bury(self, letter: DeadLetter) -> None:
        """Store the letter; return only once it is safe.

        Holds on, and tries again for as long as it takes: a letter that cannot be
        stored holds its partition, since dropping it would be a loss.
        """
        ...


class DeferredPage(NamedTuple):
    """A part of a partition of `dead-letters`.

    Attributes:
        letters: Those that were wanted, in their order.
        next: The offset behind the part.
    """

    letters: Sequence[Record]
    next: int


class DeferredEventStore(Protocol):
    """Reads dead letters back, and notes that they need no replay any more."""

    async def end(self, partition: int) -> int:
        """Return the offset that the next letter will get.

        Raises:
            BrokerError: It cannot be asked now.
        """
        ...

    async def read(
        self, partition: int, start: int, end: int, wanted: Callable[[Record], bool]
    ) -> DeferredPage:
        """Return what is wanted from `start` on: not all at once, and nothing from `end` on.

        Raises:
            BrokerError: It cannot be read now.
        """
        ...

    async def settle(self, partition: int, letters: Sequence[Record]) -> None:
        """Enter these letters in the ledger of replays; return once it is safe, or refused."""
        ...


class Commands(Protocol):
    """The way to a change of a tenant."""

    async def submit(self, command: Command) -> None:
        """Write the command; return only once it is safe.

        Raises:
            RecordRefusedError: The command cannot be written at present; nothing changed.
        """
        ...


class AttemptLog(Protocol):
    """Where attempts are noted one by one; must neither raise nor wait."""

    def attempted(self, event: Event, customer_id: str, attempt: Attempt) -> None:
        """One HTTP request ended."""
        ...


class Observer(Protocol):
    """Hears of what happens; must neither raise nor wait."""

    def attempted(self, event: Event, customer_id: str, attempt: Attempt) -> None:
        """One HTTP request ended."""
        ...

    def sealed(self, seconds: float) -> None:
        """A request was sealed and signed, which took so long."""
        ...

    def delivered(self, event: Event, customer_id: str, endpoint_id: str, outcome: Outcome) -> None:
        """One delivery ended, accepted or given up."""
        ...

    def waiting(self, partition: int, seconds: float) -> None:
        """A lane goes into backoff for this long."""
        ...

    def resumed(self, partition: int) -> None:
        """A lane comes out of backoff."""
        ...

    def in_hand(self, partition: int, *, attempts: int, lines: int, oldest_s: float) -> None:
        """So much of a partition is in hand; told about once a second.

        Args:
            partition: Counted from 0.
            attempts: On the wire now.
            lines: Lanes that have events.
            oldest_s: Seconds for which the oldest unfinished event is in hand.
        """
        ...

    def skipped(self, event: Event) -> None:
        """No endpoint subscribes to the event."""
        ...

    def misrouted(self, customer_id: str) -> None:
        """A record stood on the wrong partition and was produced to the right one."""
        ...

    def gap(self, partition: int, expected: int, offset: int) -> None:
        """A record came before the one that was due; the partition is read again."""
        ...

    def buried(self, letter: DeadLetter) -> None:
        """A dead letter was stored."""
        ...

    def suspended(self, customer_id: str, endpoint_id: str, why: Why) -> None:
        """An endpoint is suspended."""
        ...

    def probed(self, customer_id: str, endpoint_id: str, code: str, next_in_s: float) -> None:
        """An attempt at what was set aside failed; the next one follows in so many seconds."""
        ...

    def drained(self, event: Event, customer_id: str, endpoint_id: str, outcome: Outcome) -> None:
        """What was set aside was delivered, or given up."""
        ...

    def recovered(self, customer_id: str, endpoint_id: str) -> None:
        """A suspension ended; the endpoint's events are delivered again."""
        ...

    def suspensions(self, partition: int, count: int) -> None:
        """So many endpoints of the partition are suspended."""
        ...

    def bury_failed(self, times: int) -> None:
        """A dead letter could not be stored, for the so-manieth time; its partition holds on."""
        ...

    def bury_ended(self) -> None:
        """A letter that could not be stored at first is stored now, or its partition stopped."""
        ...

    def resource_exhausted(self, resource: str) -> None:
        """This process lacked a resource of its own; the same attempt is repeated soon."""
        ...

    def crashed(self, event_id: str, error: Exception) -> None:
        """Something failed that never should; the delivery goes on as a failed attempt."""
        ...
