"""The interface of a store, with implementations in memory and in Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeVar

from hookseal.errors import BrokerError
from hookseal.retry import RetryDelay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from hookseal.delivery.ports import Clock
    from hookseal.domain.record import Headers, Position, Record

Log = Literal["dead-letters", "replays", "deliveries"]
LOGS: tuple[Log, ...] = ("dead-letters", "replays", "deliveries")

REPEAT_WINDOW_S = 600.0
"""Seconds for which the id of a published event is known."""

_T = TypeVar("_T")


class Write(NamedTuple):
    """A record to write.

    Attributes:
        key: The customer id, or None.
        mark: Digest of the event id that the publisher chose; None = no id was chosen.
        fingerprint: Digest of the value. Another value under the same id is refused.
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
    """Tenant documents at one version.

    Attributes:
        documents: By customer id; None = the tenant was deleted.
        is_all: Whether these are all tenants, or only the changed ones.
    """

    version: int
    documents: Mapping[str, bytes | None]
    is_all: bool


class Store(Protocol):
    """Events, logs and tenants. A write is as durable as the store when its method returns.

    With Redis, every method can raise `BrokerError` `redis_unreachable`. The request may have been
    executed all the same.

    Attributes:
        partitions: Number of partitions; fixed after `start`.
    """

    partitions: int

    async def start(self) -> None:
        """Connect.

        Raises:
            ConfigurationError: The store cannot be used with these settings.
        """
        ...

    async def close(self) -> None: ...

    def why_not_ready(self) -> BrokerError | None:
        """Return why nothing can be written now, or None."""
        ...

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
        """Return unfinished events above the offset `after`, in offset order.

        Waits up to `wait_s` seconds for the first one.
        """
        ...

    async def finish(self, partition: int, offsets: Sequence[int]) -> None: ...

    async def unfinished(self) -> Sequence[int]:
        """Return the number of unfinished events of each partition."""
        ...

    async def append(self, log: Log, writes: Sequence[Write], *, keep: int | None = None) -> None:
        """Append to a log; keep about the latest `keep` records per partition (None = all)."""
        ...

    async def bounds(self, log: Log, partition: int) -> tuple[int, int]:
        """Return the offset of the first record and that of the next one to be written."""
        ...

    async def read(self, log: Log, partition: int, start: int, limit: int) -> Sequence[Record]:
        """Return up to `limit` records from the offset `start` on."""
        ...

    async def drop_older(self, log: Log, partition: int, before_ms: int) -> None:
        """Delete records at the beginning of a log that were written before this time."""
        ...

    async def settle(self, partition: int, offsets: Sequence[int], entry: bytes) -> None:
        """Mark dead letters as settled, and append the ledger entry."""
        ...

    async def replay(
        self, partition: int, letters: Sequence[tuple[int, Write]], entry: bytes
    ) -> int:
        """Publish the events of dead letters that are not settled; settle them.

        One atomic step, ledger entry included: concurrent and repeated calls publish each event
        once. Returns how many events were published.
        """
        ...

    async def documents(self) -> Documents: ...

    async def changes(self, since: int, *, wait_s: float) -> Documents:
        """Return the documents that changed since a version; none after `wait_s` seconds."""
        ...

    async def document(self, customer_id: str) -> bytes | None: ...

    async def change(
        self, customer_id: str, before: bytes | None, after: bytes | None, notice: Write | None
    ) -> int | None:
        """Replace one document and publish a notice in one atomic step.

        Args:
            before: The expected document; None = no document.
            after: The new document; None = delete it.

        Returns:
            The new version; None if the store had another document, and nothing was done.
        """
        ...


def queue_full(limit: int) -> BrokerError:
    """Return the error for a publish above the limit."""
    return BrokerError(
        "queue_full",
        f"Queue is full (limit {limit:,} events). Retry later or raise the limit.",
        field="HOOKSEAL_QUEUE_MAX_EVENTS",
    )


async def record_at(store: Store, partition: int, offset: int) -> Record | None:
    """Return the dead letter at this offset, or None."""
    found = await store.read("dead-letters", partition, offset, 1)
    return found[0] if found and found[0].offset == offset else None


async def retry_forever(
    request: Callable[[], Awaitable[_T]],
    clock: Clock,
    failed: Callable[[Exception], None] = lambda _: None,
    *,
    retried: type[Exception] = BrokerError,
) -> _T:
    """Call until it succeeds, with backoff from 0.25 s to 5 s.

    `failed` gets the error of each failed attempt. The request may be executed more than once,
    because a response can be lost.
    """
    delay = RetryDelay(0.25, 5.0)
    while True:
        try:
            return await request()
        except retried as error:
            failed(error)
            await clock.sleep(delay.next_s())
