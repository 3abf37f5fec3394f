"""Publishing over the API: in batches, one after the other, while the next one is read."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from uuid import uuid4

import orjson

from hookseal.api.events import BATCH_EVENTS_MAX, BATCH_MAX_BYTES
from hookseal.domain.record import Position
from hookseal.errors import BrokerError, HooksealError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.cli.api_client import ApiClient
    from hookseal.domain.new_event import NewEvent

_PATH = "/v1/events"
_LINES = "application/x-ndjson"
# Each is a record on each partition, of which the API writes 20,000 at once.
_BROADCASTS_MAX = 20
_REFUSED = re.compile(r"events\[(?P<index>\d{1,9})\](?:\.(?P<field>.+))?", re.ASCII | re.DOTALL)


class _Line(NamedTuple):
    number: int
    text: bytes


class BatchPublisher:
    """Publishes events over an API, in order; an asynchronous context manager.

    While a batch is under way the next one fills up. So a file goes in full batches, a
    pipe without delay, and two batches at most are held. One after the other, since of two
    at a time the later one might be written first.

    Attributes:
        acknowledged: Events that the API has put on the log, by partition; one that it
            knew already counts where it stands.
        last: Where the latest of them stands, unless it was a broadcast.
    """

    def __init__(self, api: ApiClient) -> None:
        """Prepare; the client is entered already."""
        self.acknowledged: Counter[int] = Counter()
        self.last: Position | None = None
        self._api = api
        self._waiting: list[_Line] = []
        self._waiting_bytes = 0
        self._events_max = BATCH_EVENTS_MAX
        self._changed = asyncio.Condition()
        self._is_all = False
        self._is_over = False

    async def __aenter__(self) -> Self:
        self._sending = asyncio.create_task(self._send_all())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and not issubclass(kind, HooksealError):
            # Whoever interrupts does not wait for what may take a minute.
            self._sending.cancel()
        async with self._changed:
            self._is_all = True
            self._changed.notify_all()
        # A failure was raised by `put` or `drain`, or there is another one before it.
        await asyncio.gather(self._sending, return_exceptions=True)

    async def put(self, number: int, draft: NewEvent) -> None:
        """Hand over one event; wait while a batch is under way and the next one is full.

        Args:
            number: Of its line, from 1.
            draft: The event.

        Raises:
            HooksealError: As `ApiClient.ask`, for this event or an older one. Of a batch
                in which one is refused, those before it are published.
        """
        line = _Line(number, _text(draft))
        size = len(line.text) + 1
        if draft.is_broadcast:
            self._events_max = _BROADCASTS_MAX
        async with self._changed:
            await self._changed.wait_for(lambda: self._is_over or self._has_room(size))
            if not self._is_over:
                self._waiting.append(line)
                self._waiting_bytes += size
                self._changed.notify_all()
                return
        await self._sending

    async def put_alone(self, draft: NewEvent) -> None:
        """Publish the one event that there is; return when it is acknowledged.

        Raises:
            HooksealError: As `ApiClient.ask`.
        """
        # Not as a line: its data may have some of their own.
        self._count(await self._api.ask("POST", _PATH, _text(draft)))

    async def drain(self) -> None:
        """Wait until every event is acknowledged; nothing can be put any more.

        Raises:
            HooksealError: As `put`.
        """
        async with self._changed:
            self._is_all = True
            self._changed.notify_all()
        await self._sending

    def _has_room(self, size: int) -> bool:
        if not self._waiting:
            return True
        return (
            len(self._waiting) < self._events_max and self._waiting_bytes + size <= BATCH_MAX_BYTES
        )

    async def _send_all(self) -> None:
        try:
            while batch := await self._batch():
                await self._send(batch)
        finally:
            async with self._changed:
                self._is_over = True
                self._changed.notify_all()

    async def _batch(self) -> list[_Line]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._waiting or self._is_all)
            batch, self._waiting, self._waiting_bytes = self._waiting, [], 0
            self._changed.notify_all()
            return batch

    async def _send(self, batch: list[_Line]) -> None:
        refused: HooksealError | None = None
        # An attempt that nobody knows the end of may come before the refusal: ids follow from
        # the key and the place in the batch, so that what was written is known again.
        key = uuid4().hex
        while batch:
            body = b"\n".join(line.text for line in batch)
            try:
                answer = await self._api.ask(
                    "POST", _PATH, body, content_type=_LINES, idempotency_key=key
                )
            except HooksealError as error:
                # Without a line it is about all of the batch.
                index = _index(error, batch)
                refused = _at(error, batch, index)
                if index is None:
                    break
                batch = batch[:index]
                continue
            self._count_all(answer["items"], batch)
            break
        if refused is not None:
            raise refused

    def _count_all(self, items: Any, batch: Sequence[_Line]) -> None:
        if not isinstance(items, list) or len(items) != len(batch):
            raise _unexpected()
        for item in items:
            self._count(item)

    def _count(self, item: Any) -> None:
        match item:
            case {"partition": int(partition), "offset": int(offset)}:
                self.acknowledged[partition] += 1
                self.last = Position(partition, offset)
            case {"partition": None, "partitions": int(partitions)}:
                self.acknowledged.update(range(partitions))
                self.last = None
            case _:
                raise _unexpected()


def _text(draft: NewEvent) -> bytes:
    """Return the event as the API takes it, its data byte for byte."""
    if draft.is_broadcast:
        return draft.value
    return b'{"customer_id":' + orjson.dumps(draft.customer_id) + b"," + draft.value[1:]


def _index(error: HooksealError, batch: Sequence[_Line]) -> int | None:
    match = _REFUSED.fullmatch(error.field or "")
    if match is None or int(match["index"]) >= len(batch):
        return None
    return int(match["index"])


def _at(error: HooksealError, batch: Sequence[_Line], index: int | None) -> HooksealError:
    """Return the error with its line as its field, or with all lines of the batch."""
    match = _REFUSED.fullmatch(error.field or "")
    if index is not None and match is not None:
        place = f"line {batch[index].number}"
        field = place if match["field"] is None else f"{place}, {match['field']}"
    elif isinstance(error, BrokerError | InvalidInputError) and error.field is None:
        first, last = batch[0].number, batch[-1].number
        field = f"line {first}" if first == last else f"lines {first} to {last}"
    else:
        return error
    return type(error)(error.code, error.message, field=field)


def _unexpected() -> BrokerError:
    return BrokerError(
        "api_unexpected",
        "What answers is not the API of this release: it does not say where the events are.",
        field="HOOKSEAL_API_URL",
    )
