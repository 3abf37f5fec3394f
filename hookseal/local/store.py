"""The interface of a store, with implementations in memory and in Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hookseal.domain.record import Headers, Position, Record
    from hookseal.errors import BrokerError

Log = Literal["dead-letters", "replays", "deliveries"]
LOGS: tuple[Log, ...] = ("dead-letters", "replays", "deliveries")

REPEAT_WINDOW_S = 600.0
"""Seconds for which the id of an event that was published is known."""


class Write(NamedTuple):
    """A record to be written.

    Attributes:
        partition: Counted from 0.
        key: The customer id, or None.
        mark: Digest of the id that the publisher chose; None = it chose none.
        fingerprint: Differs for another value under the same id.
        timestamp_ms: Milliseconds since the Unix epoch; None = now.
    """

    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    mark: bytes | None = None
    fingerprint: bytes = b""
    timestamp_ms: int | None = None


class Documents(NamedTuple):
    """Tenants' documents, as they were at one moment.

    Attributes:
        documents: By customer id; None = that tenant is gone.
        is_all: Whether these are all there are, not only those that changed.
    """

    version: int
    documents: Mapping[str, bytes | None]
    is_all: bool


class Store(Protocol):
    """Events, logs and tenants. A write is as durable as the store when its method returns.

    With Redis, every method may raise `BrokerError` `redis_unreachable`; the request may have
    been executed all the same.

    Attributes:
        partitions: Number of partitions; fixed after `start`.
    """

    partitions: int

    async def start(self) -> None:
        """Connect.

        Raises:
            ConfigurationError: It cannot be used as it is set up.
        """
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...

    def why_not_ready(self) -> BrokerError | None:
        """Return why nothing can be written just now, or None."""
        ...

    # -- events ----------------------------------------------------------------

    async def publish(self, writes: Sequence[Write], *, room: int | None) -> list[Position]:
        """Write all events or none; return their positions.

        An event whose mark was written within `REPEAT_WINDOW_S` is not written again.

        Args:
            room: Limit of unfinished events after the write; None = no limit.

        Raises:
            EventIdReusedError: A mark belongs to another value.
            BrokerError: `queue_full`.
        """
        ...

    async def events(
        self, partition: int, after: int, limit: int, *, wait_s: float
    ) -> Sequence[Record]:
        """Return unfinished events behind an offset, in their order.

        Args:
            partition: Counted from 0.
            after: -1 = from the first on.
            wait_s: Seconds to wait for the first one.
        """
        ...

    async def finish(self, partition: int, offsets: Sequence[int]) -> None:
        """Delete finished events."""
        ...

    async def unfinished(self) -> Sequence[int]:
        """Return how many events of each partition are not finished."""
        ...

    # -- logs --------------------------------------------------------------------

    async def append(self, log: Log, writes: Sequence[Write], *, keep: int | None = None) -> None:
        """Write to the end of a log.

        Args:
            keep: Records of a partition that are kept, about, the latest; None = all.
        """
        ...

    async def bounds(self, log: Log, partition: int) -> tuple[int, int]:
        """Return the offset of the first record, and that which the next one will get."""
        ...

    async def read(self, log: Log, partition: int, start: int, limit: int) -> Sequence[Record]:
        """Return up to `limit` records from an offset on."""
        ...

    async def drop_older(self, log: Log, partition: int, before_ms: int) -> None:
        """Drop records at the beginning of a log that were written before this moment."""
        ...

    async def settle(self, partition: int, offsets: Sequence[int], entry: bytes) -> None:
        """Mark dead letters as settled, and write the ledger entry."""
        ...

    async def replay(
        self, partition: int, letters: Sequence[tuple[int, Write]], entry: bytes
    ) -> int:
        """Publish dead letters' events, but for those that are settled; settle them.

        All at once, with the ledger's entry: whoever does it at the same time, and however
        often, each is published once.

        Args:
            partition: Counted from 0.

        Returns:
            How many were published.
        """
        ...

    # -- tenants -----------------------------------------------------------------

    async def documents(self) -> Documents:
        """Return all tenants' documents."""
        ...

    async def changes(self, since: int, *, wait_s: float) -> Documents:
        """Return the documents that changed since a version; none after `wait_s` seconds."""
        ...

    async def document(self, customer_id: str) -> bytes | None:
        """Return a tenant's document as it is now, or None."""
        ...

    async def change(
        self, customer_id: str, before: bytes | None, after: bytes | None, notice: Write | None
    ) -> int | None:
        """Replace one document and publish a notice in one step.

        Args:
            before: The expected document; None = no document.
            after: The new document; None = delete it.

        Returns:
            The version after it; None if something else was there, and nothing was done.
        """
        ...
