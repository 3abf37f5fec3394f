"""What the engine needs from outside: each runtime passes its implementations in `Ports`."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hookseal.delivery.ordering.partition import Gate
    from hookseal.delivery.tracing import Tracing
    from hookseal.domain.command import Command
    from hookseal.domain.dead_letter import DeadLetter
    from hookseal.domain.event import Event
    from hookseal.domain.record import Record
    from hookseal.domain.tenant import Tenant
    from hookseal.telemetry.observer import Observer

TRACEPARENT = "traceparent"
"""Header of a record and of a request (W3C Trace Context, section 3.2)."""


class SealedRequest(msgspec.Struct, frozen=True, gc=False):
    """One encrypted and signed request.

    Attributes:
        url: The endpoint's URL in its canonical form.
        headers: All headers except those that HTTP adds (host, content-length).
        body: The JWE.
        timeout_s: Seconds the whole attempt may take, connect to last byte.
    """

    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout_s: float = 15.0

    def __repr__(self) -> str:
        # No header and no body: a signature must not reach a log.
        return f"SealedRequest(url={self.url!r}, timeout_s={self.timeout_s})"


class Answer(msgspec.Struct, frozen=True, gc=False):
    """Status (200 to 599) and unparsed `Retry-After` of a response. The body was dropped."""

    status: int
    retry_after: str | None = None


class NotSentError(Exception):
    """No byte was sent: the partition was revoked or the worker stops. This is no attempt."""


class Transport(Protocol):
    """Sends one request to one endpoint."""

    async def post(self, request: SealedRequest, may_send: Callable[[], bool]) -> Answer:
        """POST the request and return the answer.

        `may_send` is called right before the first byte, with no wait in between: to dial may take
        seconds, in which another worker may get the partition.

        Raises:
            NotSentError: `may_send` returned False.
            LocalResourceError: This process lacks a resource. This is no attempt.
            BlockedAddressError: The URL leads to a refused address. Never retried.
            SealError: `request_invalid`, the request cannot be expressed in HTTP. Never retried.
            AttemptError: No usable answer came. Codes: `timeout`, `dns_failed`,
                `connection_refused`, `connection_reset`, `connection_failed`,
                `tls_failed`, `response_invalid`, `response_too_large`.
        """
        ...


class Clock:
    """The system's time and randomness. Tests pass one of their own."""

    def now(self) -> float:
        """Return the seconds since the Unix epoch."""
        return time.time()

    def draw(self) -> float:
        """Return a uniform random number from [0, 1)."""
        return random.random()  # noqa: S311 - jitter needs no secrecy

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)


class Tenants(Protocol):
    """The tenants of the assigned partitions."""

    def get(self, customer_id: str) -> Tenant | None:
        """Return the tenant as it is now, or None."""

    def of_partition(self, partition: int) -> Sequence[Tenant]:
        """Return the tenants whose events are on this partition."""
        ...

    def suspended_of(self, partition: int) -> Sequence[Tenant]:
        """Return at least those of them that have a suspended or paused endpoint."""
        ...

    def relaxed_of(self, partition: int) -> Sequence[Tenant]:
        """Return at least those with a suspended endpoint, or one with an ordering mode."""
        ...

    def is_shared(self, partition: int) -> bool:
        """Return whether the partition has several tenants."""
        ...

    async def catch_up(self, partition: int) -> None:
        """Wait until all commands now on the partition are applied."""

    async def settle(self, partition: int) -> None:
        """Wait, for a bounded time, until all commands now on the partition are applied."""


class Router(Protocol):
    """Knows the partition of each customer."""

    def partition_of(self, customer_id: str) -> int:
        """Return the partition, counted from 0."""
        ...

    async def reroute(self, event: Event, partition: int) -> None:
        """Write the event's record to this partition; return once it is acknowledged.

        Bytes, headers, timestamp and event id stay the same.

        Raises:
            RecordRefusedError: The record cannot be written there.
        """


class DeadLetters(Protocol):
    """Writes dead letters."""

    async def bury(self, letter: DeadLetter) -> None:
        """Write the dead letter; return once it is acknowledged.

        Retries without a limit: to drop a dead letter would lose the event.
        """

    async def bury_all(self, letters: Sequence[DeadLetter]) -> None:
        """Write dead letters of one partition, in this order; return once all are acknowledged.

        Faster than one after the other. A failure may write some of them twice.
        """


class DeferredPage(NamedTuple):
    """Matching dead letters in the order of their offsets, and the offset to read next."""

    letters: Sequence[Record]
    next: int


class DeferredEventStore(Protocol):
    """Reads deferred events from dead letters, and marks them as delivered."""

    async def end(self, partition: int) -> int:
        """Return the offset of the next dead letter.

        Raises:
            BrokerError: The broker cannot be asked now.
        """
        ...

    async def read(
        self, partition: int, start: int, end: int, wanted: Callable[[Record], bool]
    ) -> DeferredPage:
        """Return a page of matching dead letters between `start` and `end` (exclusive).

        Raises:
            BrokerError: The broker cannot be read now.
        """
        ...

    async def settle(self, partition: int, letters: Sequence[Record]) -> None:
        """Mark these as replayed; return once that is acknowledged or refused."""


class Commands(Protocol):
    """Writes tenant commands."""

    async def submit(self, command: Command) -> None:
        """Write the command; return once it is acknowledged.

        Raises:
            RecordRefusedError: The command cannot be written. Nothing changed.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The implementations that a runtime passes to the engine; without `tracing`, no spans."""

    tenants: Tenants
    transport: Transport
    commands: Commands
    letters: DeferredEventStore
    dead_letters: DeadLetters
    router: Router
    observer: Observer
    clock: Clock
    gate: Callable[[int], Gate | None]
    tracing: Tracing | None = None
