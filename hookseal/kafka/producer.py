"""Writes records to Kafka. An acknowledged record is on all in-sync replicas.

Every error of a write is of one of two kinds:

* temporary: no broker, a timeout, too few replicas. The write is retried with backoff.
* permanent (`is_permanent`): too large, not authorised, no such topic. A retry of the same record
  fails again, so the caller gets `RecordRefusedError` and needs a way out.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Required, Self, TypedDict, Unpack

from aiokafka import AIOKafkaProducer
from aiokafka import errors as kafka_errors
from aiokafka.errors import BrokerResponseError, KafkaError, UnknownTopicOrPartitionError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from hookseal.domain.record import Position, is_utf8_name
from hookseal.errors import BrokerError, RecordRefusedError
from hookseal.kafka.topics import partitions_of
from hookseal.retry import LogThrottle, RetryDelay

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiokafka.structs import RecordMetadata

    from hookseal.domain.record import Headers
    from hookseal.kafka.cluster import Cluster

_log = logging.getLogger(__name__)

REQUEST_MAX_BYTES = 2 * 1024 * 1024
"""Largest record that hookseal sends, and `max.message.bytes` of `dead-letters`."""

_BATCH_BYTES = 256 * 1024
_PAUSE_S = 0.5
_PAUSE_CAP_S = 10.0


class InvalidRecordError(BrokerResponseError):  # type: ignore[misc]
    """A record breaks a rule of its topic: a null key where the topic is compacted."""

    errno = 87
    message = "INVALID_RECORD"


class UnsupportedCompressionTypeError(BrokerResponseError):  # type: ignore[misc]
    """The topic or the protocol version does not allow the codec."""

    errno = 76
    message = "UNSUPPORTED_COMPRESSION_TYPE"


# aiokafka 0.14 knows the error codes up to 72 and reports each later one as `UnknownError`,
# which would be retried. Drop this when aiokafka knows these two.
for _error in (InvalidRecordError, UnsupportedCompressionTypeError):
    kafka_errors.kafka_errors.setdefault(_error.errno, _error)

_TOO_LARGE = (
    kafka_errors.MessageSizeTooLargeError,
    kafka_errors.RecordListTooLargeError,
    kafka_errors.RecordTooLargeError,
)
_PERMANENT = (
    *_TOO_LARGE,
    UnknownTopicOrPartitionError,
    kafka_errors.InvalidTopicError,
    kafka_errors.TopicAuthorizationFailedError,
    kafka_errors.ClusterAuthorizationFailedError,
    kafka_errors.TransactionalIdAuthorizationFailed,
    kafka_errors.SecurityDisabled,
    kafka_errors.PolicyViolationError,
    InvalidRecordError,
    kafka_errors.InvalidTimestampError,
    kafka_errors.InvalidRequestError,
    kafka_errors.InvalidRequiredAcksError,
    kafka_errors.UnsupportedVersionError,
    kafka_errors.UnsupportedForMessageFormatError,
    kafka_errors.IncompatibleBrokerVersion,
    kafka_errors.UnsupportedCodecError,
    UnsupportedCompressionTypeError,
    kafka_errors.IllegalArgumentError,
)


def is_permanent(error: BaseException) -> bool:
    """Return whether a write that failed so fails again, however often it is retried.

    `UnknownTopicOrPartitionError` counts as permanent: the client raises it after a whole request
    timeout without metadata of the topic, and `Producer` asks once more where a broker raised it.
    Errors of other kinds (`ValueError`, `AssertionError`, `struct.error`) come from the client and
    concern this record, except for errors of the operating system.
    """
    if isinstance(error, RecordRefusedError):
        return True
    if isinstance(error, (KafkaError, BrokerError)):
        return isinstance(error, _PERMANENT)
    return isinstance(error, Exception) and not isinstance(error, (OSError, MemoryError))


def is_too_large(error: BaseException) -> bool:
    """Return whether the record was refused for its size, by the client or by the broker."""
    return isinstance(error, _TOO_LARGE) or isinstance(error.__cause__, _TOO_LARGE)


class NewRecord(TypedDict, total=False):
    """A record to write. Without a partition, the key chooses it (murmur2).

    A value of None is a tombstone. Names of headers may hold surrogates U+DC80 to U+DCFF, which
    stand for bytes that are not UTF-8. A timestamp counts from the Unix epoch; None = now.
    """

    key: Required[bytes | None]
    value: Required[bytes | None]
    headers: Headers
    partition: int | None
    timestamp_ms: int | None


class _RawName(str):
    """A header name that encodes to the bytes it was decoded from."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "surrogateescape") -> bytes:
        return super().encode(encoding, errors)


class _SingleRecordBatch(BatchBuilder):  # type: ignore[misc]
    """A batch of one record, whose header names may be any bytes.

    aiokafka's compiled builder encodes names as strict UTF-8. Its builder in pure Python calls
    `name.encode("utf-8")`, so `_RawName` works there.
    """

    def __init__(
        self, key: bytes | None, record: NewRecord, headers: Headers, *, is_transactional: bool
    ) -> None:
        super().__init__(REQUEST_MAX_BYTES, 0, is_transactional=is_transactional)
        self._builder = _DefaultRecordBatchBuilderPy(
            2, 0, int(is_transactional), -1, -1, 0, REQUEST_MAX_BYTES
        )
        self.append(
            timestamp=record.get("timestamp_ms"),
            key=key,
            value=record["value"],
            headers=[(_RawName(name), value) for name, value in headers],
        )
        self.close()
        if self.size() > REQUEST_MAX_BYTES:
            raise kafka_errors.MessageSizeTooLargeError

    def _set_producer_state(
        self, producer_id: int, producer_epoch: int, base_sequence: int
    ) -> None:
        # The original asserts that the builder is compiled.
        self._builder.set_producer_state(producer_id, producer_epoch, base_sequence)


async def connect(
    cluster: Cluster,
    *,
    acks: int | str = "all",
    make_client: Callable[..., Any] = AIOKafkaProducer,
    **options: Any,
) -> AIOKafkaProducer:
    """Return a started client: idempotent, unless `acks` or the cluster forbids it.

    `make_client` returns a client that is not started; `options` are arguments of aiokafka's.
    """
    client: AIOKafkaProducer = make_client(
        **cluster.arguments(),
        acks=acks,
        enable_idempotence=cluster.idempotence and acks == "all",
        **options,
    )
    await cluster.connect(client.start, client.stop)
    return client


async def enqueue(
    client: AIOKafkaProducer,
    topic: str,
    *,
    alone: bool = False,
    is_transactional: bool = False,
    **record: Unpack[NewRecord],
) -> asyncio.Future[RecordMetadata]:
    """Give one record to the client, byte for byte; return the future of its acknowledgement.

    The record gets a batch of its own if it is sent `alone`. After any exception, the broker has
    not seen the record.
    """
    key, value, headers = record["key"], record["value"], record.get("headers", ())
    partition = record.get("partition")
    if key is None and value is None:
        # The client refuses a record with neither. An empty key has no meaning to anyone.
        key = b""
    if not alone and all(is_utf8_name(name) for name, _ in headers):
        acknowledged: asyncio.Future[RecordMetadata] = await client.send(
            topic,
            value=value,
            key=key,
            partition=partition,
            timestamp_ms=record.get("timestamp_ms"),
            headers=list(headers),
        )
        return acknowledged
    if partition is None:
        partitions = sorted(await client.partitions_for(topic))
        partition = DefaultPartitioner()(key, partitions, partitions)
    batch = _SingleRecordBatch(key, record, headers, is_transactional=is_transactional)
    batch_sent: asyncio.Future[RecordMetadata] = await client.send_batch(
        batch, topic, partition=partition
    )
    return batch_sent


class Producer:
    """An idempotent producer that waits for all in-sync replicas.

    It connects when it is started, or else with the first record. After `timeout_s` seconds it
    gives up a record without acknowledgement. `on_failure` gets topic and error code of each
    failed write.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        timeout_s: float = 30.0,
        on_failure: Callable[[str, str], None] = lambda *_: None,
        make_client: Callable[..., Any] = AIOKafkaProducer,
    ) -> None:
        self._cluster = cluster
        self._timeout_s = timeout_s
        self._on_failure = on_failure
        self._make_client = make_client
        self._client: AIOKafkaProducer | None = None
        self._renewing = asyncio.Lock()
        self._log_throttle = LogThrottle()

    async def start(self) -> None:
        """Connect."""
        self._client = await self._connect()

    async def close(self) -> None:
        """Send the pending records, then disconnect."""
        if self._client is not None:
            await self._client.stop()
            self._client = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def publish(self, topic: str, **record: Unpack[NewRecord]) -> Position:
        """Write one record; return its position once all in-sync replicas have it.

        Raises:
            RecordRefusedError: `record_refused`, the error is permanent. Its cause is the error.
            BrokerError: `publish_failed`: the record may still have been written.
        """
        try:
            sent = await self._write(topic, record, alone=False)
        except BrokerError as error:
            self._on_failure(topic, error.code)
            if self._log_throttle.lines(asyncio.get_running_loop().time(), (topic, error.code)):
                _log.error("%s (%s)", error.message, error.code)
            raise
        return Position(sent.partition, sent.offset)

    async def publish_surely(
        self,
        topic: str,
        *,
        on_failure: Callable[[], None] = lambda: None,
        **record: Unpack[NewRecord],
    ) -> Position:
        """Write one record as `publish` does; retry temporary errors until it is written.

        `on_failure` is called on each failed attempt that is retried. A permanent error raises
        `RecordRefusedError`.
        """
        delay = RetryDelay(_PAUSE_S, _PAUSE_CAP_S)
        while True:
            try:
                return await self.publish(topic, **record)
            except RecordRefusedError:
                raise
            except BrokerError:
                on_failure()
            await asyncio.sleep(delay.next_s())

    async def publish_batch(
        self,
        topic: str,
        partition: int,
        records: Sequence[tuple[bytes | None, bytes | None, Headers]],
    ) -> int:
        """Write the first records, each a key, a value and headers, as one batch.

        Returns how many fitted into the batch. Kafka writes all of them or none. 0 = the first one
        has a header name that is not UTF-8; `publish` writes it.

        Raises:
            RecordRefusedError: As `publish`.
            BrokerError: `publish_failed`: the records may still have been written.
        """
        client = self._client
        if client is None:
            client = await self._first()
        batch = BatchBuilder(_BATCH_BYTES, 0, is_transactional=False)
        count = 0
        for key, value, headers in records:
            if not all(is_utf8_name(name) for name, _ in headers):
                break
            if batch.append(timestamp=None, key=key, value=value, headers=list(headers)) is None:
                break
            count += 1
        if not count:
            return 0
        try:
            await (await client.send_batch(batch, topic, partition=partition))
        except Exception as error:
            await self._renew(client)
            kind = _refused if is_permanent(error) else _publish_failed
            failed = kind(topic, error)
            self._on_failure(topic, failed.code)
            raise failed from error
        return count

    async def _write(self, topic: str, record: NewRecord, *, alone: bool) -> RecordMetadata:
        client = self._client
        if client is None:
            client = await self._first()
        try:
            acknowledged = await enqueue(client, topic, alone=alone, **record)
        except Exception as error:
            # The broker has seen nothing, so the sequence has no gap: a client that refuses one
            # record continues with the others.
            if not is_permanent(error):
                await self._renew(client)
                raise _publish_failed(topic, error) from error
            if isinstance(error, AssertionError) and record.get("partition") is not None:
                # The client's list of partitions may be minutes old.
                await self._check_partition(client, topic, record, error)
            raise _refused(topic, error) from error
        try:
            return await acknowledged
        except Exception as error:
            await self._renew(client)
            if not is_permanent(error):
                raise _publish_failed(topic, error) from error
            if isinstance(error, UnknownTopicOrPartitionError):
                await self._check_partition(client, topic, record, error)
            if alone:
                raise _refused(topic, error) from error
        # The broker refuses a batch as a whole, maybe because of another record in it. So this
        # record is written once more in a batch of its own.
        return await self._write(topic, record, alone=True)

    async def _check_partition(
        self, client: Any, topic: str, record: NewRecord, error: Exception
    ) -> None:
        """Raise a temporary error if the topic has the record's partition after all."""
        try:
            found = await partitions_of(self._cluster, [topic])
        except (KafkaError, OSError):
            raise _publish_failed(topic, error) from error
        if (record.get("partition") or 0) < found.get(topic, 0):
            await self._renew(client)
            raise _publish_failed(topic, error) from error

    async def _first(self) -> AIOKafkaProducer:
        async with self._renewing:
            if self._client is None:
                self._client = await self._connect()
            return self._client

    async def _renew(self, failed: Any) -> None:
        # A batch that expired or was refused leaves a gap in the idempotent producer's sequence
        # numbers, after which the broker refuses everything (OutOfOrderSequenceNumber). Other
        # errors are fatal to the client. A new client starts a new sequence.
        async with self._renewing:
            if self._client != failed:
                return
            try:
                self._client = await self._connect()
            except BrokerError:
                return
        await failed.stop()

    async def _connect(self) -> AIOKafkaProducer:
        return await connect(
            self._cluster,
            make_client=self._make_client,
            max_request_size=REQUEST_MAX_BYTES,
            request_timeout_ms=round(self._timeout_s * 1000),
        )


def _publish_failed(topic: str, error: Exception) -> BrokerError:
    return BrokerError(
        "publish_failed", f"Writing to topic {topic} failed: {type(error).__name__}. Retry later."
    )


def _refused(topic: str, error: Exception) -> RecordRefusedError:
    return RecordRefusedError(
        f"Topic {topic} refuses the record: {type(error).__name__}. Check the topic, its "
        "max.message.bytes and the rights of this client.",
        field=topic,
    )
