"""Records of many requests in few batches: one in progress per partition, in order.

`AIOKafkaProducer.send` creates a future for each record, and tasks that wait for space in a full
batch overtake one another. Here a request waits once for all its records, and records that arrive
during a batch form the next one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiokafka.errors import UnknownError

from hookseal.kafka.producer import is_permanent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiokafka import AIOKafkaProducer
    from aiokafka.structs import RecordMetadata

    from hookseal.domain.record import Headers
    from hookseal.errors import HooksealError

    # Gets each batch that ended, with its client and its error, if any.
    OnEnded = Callable[[AIOKafkaProducer, Sequence["PendingRecord"], BaseException | None], None]

# Approximate memory of a record's objects.
_OVERHEAD_BYTES = 512


class PendingAck:
    """A request that waits until all its records are written or one failed."""

    __slots__ = ("_left", "future")

    def __init__(self, writes: Sequence[PendingRecord]) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = len(writes)
        for write in writes:
            write.pending_acks.append(self)

    def one_less(self) -> None:
        """One more record is written."""
        self._left -= 1
        if self._left == 0 and not self.future.done():
            self.future.set_result(None)

    def failed(self, error: HooksealError) -> None:
        """One record failed, or its result is unknown."""
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(eq=False, slots=True)
class PendingRecord:
    """A record that waits to be written; with mark and fingerprint if its id was chosen."""

    partition: int
    key: bytes | None
    value: bytes
    headers: Headers
    mark: bytes | None = None
    fingerprint: bytes = b""
    offset: int = -1
    pending_acks: list[PendingAck] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Approximate bytes in memory."""
        return len(self.value) + _OVERHEAD_BYTES


class PartitionWriter:
    """Writes to one partition."""

    def __init__(self, topic: str, partition: int, *, on_ended: OnEnded) -> None:
        """Call `on_ended` for each batch; it is empty if its records are written one by one."""
        self.partition = partition
        self._topic = topic
        self._on_ended = on_ended
        self._waiting: deque[PendingRecord] = deque()
        self._is_busy = False
        self._since = 0.0
        self._singly = 0

    @property
    def is_ready(self) -> bool:
        """Whether records wait and no batch is in progress."""
        return bool(self._waiting) and not self._is_busy

    def is_overdue(self, timeout_s: float) -> bool:
        """Return whether a batch has been in progress for longer than this."""
        return self._is_busy and asyncio.get_running_loop().time() - self._since > timeout_s

    def put(self, write: PendingRecord) -> None:
        """Append a record to the queue."""
        self._waiting.append(write)

    async def send(self, client: AIOKafkaProducer) -> None:
        """Send the next batch of waiting records."""
        self._is_busy, self._since = True, asyncio.get_running_loop().time()
        batch: list[PendingRecord] = []
        try:
            builder = client.create_batch()
            while self._waiting and not (batch and self._singly):
                write = self._waiting[0]
                try:
                    added = builder.append(
                        timestamp=None,
                        key=write.key,
                        value=write.value,
                        headers=list(write.headers),
                    )
                except Exception:
                    if not batch:
                        batch.append(self._waiting.popleft())
                        raise
                    # It fails alone in the next batch, and these records are written.
                    break
                if added is None:
                    break
                batch.append(self._waiting.popleft())
            self._singly = max(0, self._singly - 1)
            sent = await client.send_batch(builder, self._topic, partition=self.partition)
        except Exception as error:  # noqa: BLE001 - every error belongs to the batch's requests
            self._end(client, batch, error)
        else:
            sent.add_done_callback(lambda done: self._acknowledged(client, batch, done))

    def _acknowledged(
        self,
        client: AIOKafkaProducer,
        batch: list[PendingRecord],
        sent: asyncio.Future[RecordMetadata],
    ) -> None:
        error = asyncio.CancelledError() if sent.cancelled() else sent.exception()
        if error is None:
            first = sent.result().offset
            if first < 0:
                # The broker knows that it has the batch, but not its offset.
                error = UnknownError()
            for offset, write in enumerate(batch, first):
                write.offset = offset
        self._end(client, batch, error)

    def _end(
        self, client: AIOKafkaProducer, batch: list[PendingRecord], error: BaseException | None
    ) -> None:
        self._is_busy = False
        if error is not None and is_permanent(error) and len(batch) > 1:
            # The broker refuses a whole batch. Each record is written alone, so that only the
            # refused one fails.
            self._waiting.extendleft(reversed(batch))
            self._singly = len(batch)
            batch = []
        self._on_ended(client, batch, error)

    def drop_abandoned(self) -> Sequence[PendingRecord]:
        """Remove and return the records at the head of the queue that no request waits for."""
        dropped = []
        while self._waiting and not self._waiting[0].pending_acks:
            dropped.append(self._waiting.popleft())
        return dropped

    def drop_all(self) -> Sequence[PendingRecord]:
        """Remove and return all waiting records."""
        dropped, self._waiting = list(self._waiting), deque()
        return dropped
