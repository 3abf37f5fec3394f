"""The consumer group of the workers: members, committed offsets, lag, oldest events."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    GroupAuthorizationFailedError,
    KafkaError,
    NotCoordinatorForGroupError,
    for_code,
)

from hookseal.delivery.ordering import offset_metadata
from hookseal.domain.event import event_id_if_any, is_broadcast, parse_event
from hookseal.domain.progress import OldestEvent, PartitionProgress, Progress, Worker
from hookseal.errors import BrokerError, InvalidEventError
from hookseal.kafka.consumer import consume, record_from, topic_partitions
from hookseal.kafka.topics import TopicNames, admin_client

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.structs import OffsetAndMetadata

    from hookseal.domain.record import Record
    from hookseal.kafka.cluster import Cluster

_TIMEOUT_S = 8.0
_OLDEST_WITHIN_S = 2.0
_POLL_MS = 200
_RETRY_S = 0.2
# One record of each partition is needed. A broker returns at least one, however large it is.
_FETCH_BYTES = 16 * 1024
_SMALL: Mapping[str, Any] = {"max_partition_fetch_bytes": _FETCH_BYTES}
_ANY_SIZE = 2**31
# A group that never had a member makes the broker create the topic of its offsets first.
_RETRIED = (
    CoordinatorNotAvailableError,
    CoordinatorLoadInProgressError,
    NotCoordinatorForGroupError,
)


class ConsumerGroup:
    """The group of the workers, asked anew at each call."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._topic = TopicNames(cluster.topic_prefix).events
        # Requests that come at the same time ask the broker one after the other.
        self._asking = asyncio.Lock()

    async def progress(self) -> Progress:
        """Return members, offsets and oldest events.

        Raises:
            BrokerError: `broker_unreachable`, `topic_missing`, `group_forbidden`.
        """
        try:
            async with asyncio.timeout(_TIMEOUT_S), self._asking:
                return await self._progress()
        except GroupAuthorizationFailedError as error:
            raise BrokerError(
                "group_forbidden",
                f"Kafka does not allow to describe the consumer group {self._cluster.app_id}. "
                "Grant DESCRIBE on the group.",
                field=self._cluster.app_id,
            ) from error
        except (KafkaError, OSError, TimeoutError) as error:
            raise self._cluster.unreachable() from error

    async def _progress(self) -> Progress:
        tps = await topic_partitions(self._cluster, self._topic)
        async with admin_client(self._cluster) as admin:
            state, workers, committed = await self._group(admin, tps)
        async with (
            consume(self._cluster, from_earliest=True, **_SMALL) as stable,
            consume(self._cluster, committed=False, from_earliest=True, **_SMALL) as unstable,
        ):
            starts = await stable.beginning_offsets(tps)
            ends = await stable.end_offsets(tps)
            written = await unstable.end_offsets(tps)
            done = {tp: _completed(committed.get(tp), ends[tp]) for tp in tps}
            positions = {tp: _position(committed.get(tp), starts[tp]) for tp in tps}
            lags = {
                tp: max(0, ends[tp] - positions[tp] - sum(end - start for start, end in done[tp]))
                for tp in tps
            }
            oldest = await _first_records(stable, {tp: positions[tp] for tp in tps if lags[tp]})
            opened = await _first_records(
                unstable, {tp: ends[tp] for tp in tps if written[tp] > ends[tp]}
            )
        return Progress(
            group=self._cluster.app_id,
            state=state,
            workers=workers,
            partitions=[
                PartitionProgress(
                    partition=tp.partition,
                    lag=lags[tp],
                    committed=_offset(committed.get(tp)),
                    start=positions[tp],
                    end=ends[tp],
                    done=done[tp],
                    oldest=oldest_event(oldest[tp]) if tp in oldest else None,
                    open_since_ms=opened[tp].timestamp_ms if tp in opened else None,
                )
                for tp in tps
            ],
        )

    async def _group(
        self, admin: AIOKafkaAdminClient, tps: list[TopicPartition]
    ) -> tuple[str, Sequence[Worker], Mapping[TopicPartition, OffsetAndMetadata]]:
        group = self._cluster.app_id
        while True:
            try:
                coordinator = await admin.find_coordinator(group)
                answers = await admin.describe_consumer_groups([group], coordinator)
                committed = await admin.list_consumer_group_offsets(group, coordinator, tps)
                error_code, _, state, _, _, members, *_ = answers[0].groups[0]
                if error_code:
                    raise for_code(error_code)
            except _RETRIED:
                await asyncio.sleep(_RETRY_S)
            else:
                return state, [self._worker(*member) for member in members], committed

    def _worker(
        self, member_id: str, client_id: str, host: str, _: bytes, assignment: bytes
    ) -> Worker:
        # Empty while the group rebalances.
        topics = (
            ConsumerProtocolMemberAssignment.decode(assignment).partitions() if assignment else ()
        )
        partitions = sorted(tp.partition for tp in topics if tp.topic == self._topic)
        return Worker(member_id, client_id, host.lstrip("/"), tuple(partitions))


def oldest_event(record: Record) -> OldestEvent:
    """Return id and customer of the event of a record, which may be invalid."""
    try:
        event_id = parse_event(record, max_bytes=_ANY_SIZE).id
    except InvalidEventError:
        event_id = event_id_if_any(record)
    customer_id = None
    if record.key is not None and not is_broadcast(record):
        customer_id = record.key.decode("utf-8", "replace")
    return OldestEvent(record.offset, record.timestamp_ms, customer_id, event_id)


async def _first_records(
    consumer: AIOKafkaConsumer, positions: Mapping[TopicPartition, int]
) -> dict[TopicPartition, Record]:
    """Return the first record at or behind each offset, as far as they arrive in time."""
    found: dict[TopicPartition, Record] = {}
    if not positions:
        return found
    consumer.assign(list(positions))
    for tp, offset in positions.items():
        consumer.seek(tp, offset)
    deadline = time.monotonic() + _OLDEST_WITHIN_S
    while len(found) < len(positions) and time.monotonic() < deadline:
        batches: Mapping[TopicPartition, Sequence[ConsumerRecord]] = await consumer.getmany(
            timeout_ms=_POLL_MS
        )
        for tp, records in batches.items():
            if records and tp not in found:
                found[tp] = record_from(records[0])
                consumer.pause(tp)
    return found


def _offset(committed: OffsetAndMetadata | None) -> int | None:
    """Return the committed offset; Kafka sends -1 for none."""
    return None if committed is None or committed.offset < 0 else committed.offset


def _position(committed: OffsetAndMetadata | None, start: int) -> int:
    """Return the first offset that is not done. Retention may have removed what was not."""
    return max(_offset(committed) or 0, start)


def _completed(committed: OffsetAndMetadata | None, end: int) -> tuple[tuple[int, int], ...]:
    offset = _offset(committed)
    if committed is None or offset is None:
        return ()
    ranges = offset_metadata.decode(committed.metadata or "", offset)
    return tuple((start, min(stop, end)) for start, stop in ranges if start < end)
