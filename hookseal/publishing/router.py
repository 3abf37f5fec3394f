"""Events that hookseal itself writes to `events`: notices, and rerouted events."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from aiokafka.errors import InvalidTimestampError

from hookseal.domain.event import EVENT_ID_HEADER, EVENT_TIMESTAMP_HEADER, REROUTED_HEADER
from hookseal.errors import RecordRefusedError
from hookseal.kafka.partitioner import partition_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookseal.domain.event import Event
    from hookseal.domain.new_event import Notice
    from hookseal.kafka.producer import Producer
    from hookseal.kafka.topics import TopicNames

_log = logging.getLogger(__name__)


class KafkaNotices:
    """`Notices` on the topic `events`, after the tenant's earlier events."""

    def __init__(self, producer: Producer, names: TopicNames) -> None:
        self._producer = producer
        self._topic = names.events

    async def publish(self, notice: Notice) -> None:
        """Write the notice; retry temporary errors until it is written.

        A notice that Kafka refuses is dropped. The key change stays in force.
        """
        try:
            await self._producer.publish_surely(
                self._topic,
                key=notice.customer_id.encode(),
                value=notice.value,
                headers=notice.headers,
            )
        except RecordRefusedError as error:
            _log.error(
                "The tenant %r gets no notice of its new key: %s", notice.customer_id, error.message
            )


class KafkaRouter:
    """`Router` over a topic's partitions."""

    def __init__(
        self, producer: Producer, names: TopicNames, partitions: Callable[[], int]
    ) -> None:
        self._producer = producer
        self._topic = names.events
        self._partitions = partitions

    def partition_of(self, customer_id: str) -> int:
        """Return the partition, counted from 0."""
        return partition_of(customer_id, self._partitions())

    async def reroute(self, event: Event, partition: int) -> None:
        """Write the event's record again, to its partition.

        Raises:
            RecordRefusedError: `record_refused`, for example because two more headers make the
                record too large.
        """
        record = event.record
        write = partial(
            self._producer.publish_surely,
            self._topic,
            key=record.key,
            value=record.value,
            partition=partition,
        )
        headers = (
            *record.headers,
            # The id may be derived from the record's old position.
            (EVENT_ID_HEADER, event.id.encode()),
            (REROUTED_HEADER, f"{record.partition}/{record.offset}".encode()),
        )
        try:
            await write(headers=headers, timestamp_ms=record.timestamp_ms)
        except RecordRefusedError as error:
            if not isinstance(error.__cause__, (InvalidTimestampError, OverflowError)):
                raise
            # The topic may refuse the producer's timestamp. A header keeps the event's time.
            timestamp = (EVENT_TIMESTAMP_HEADER, event.timestamp.encode())
            await write(headers=(*headers, timestamp))
