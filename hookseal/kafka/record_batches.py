"""Decodes fetched record batches, so that no batch stops a consumer.

aiokafka raises for a batch that it cannot decode, and raises again at each fetch of the batch. So
this module decodes what every consumer of the process fetches:

* all four codecs, one bounded piece at a time: decompressed, a batch may be a thousand times larger
* header names that are not UTF-8 (decoded with `surrogateescape`, which loses nothing)
* a record that is too large to keep: its start, its size and its SHA-256 are kept
* a batch that cannot be decoded at all: reported, and replaced by one record

A record that is not whole is an `ImperfectRecord`. Layout: the Kafka protocol, "Record Batch"
(KIP-98), message format 2; aiokafka decodes older formats.
"""

from __future__ import annotations

import hashlib
import logging
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch
from aiokafka.structs import ConsumerRecord, TopicPartition

from hookseal.domain.record import HEADERS_MAX_BYTES, RecordFault, headers_bytes
from hookseal.kafka.codecs import BatchTooLargeError, decompressor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hookseal.kafka.codecs import Decompressor

_log = logging.getLogger(__name__)

# A batch that decompresses to no more than this is decoded by aiokafka's C code.
_QUICK_BYTES: Final = 4 * 1024 * 1024
# A record with a longer key or value is cut. No topic of hookseal allows a record of this size.
_WHOLE_BYTES: Final = 4 * 1024 * 1024
# Bytes that are kept of a value, a key or a batch that is not kept whole.
_KEPT_BYTES: Final = 64 * 1024
_PIECE_BYTES: Final = 256 * 1024
# Most that one call returns for one partition, beyond its first record.
_FETCHED_BYTES: Final = 4 * 1024 * 1024
# Fetches of a batch with a wrong checksum: the network may have damaged it, or the disk.
_TRIES: Final = 3

# Skipped: length, leader epoch, magic, checksum, producer epoch, first sequence number.
_HEADER: Final = struct.Struct(">q4x4xx4xhiqqq2x4xi")
_LENGTH: Final = struct.Struct(">qi")
_MAGIC_AT: Final = 16
_ATTRIBUTES_AT: Final = 21
_CODEC_MASK: Final = 0x07
_LOG_APPEND_TIME: Final = 0x08
_TRANSACTIONAL: Final = 0x10
_CONTROL: Final = 0x20
_OLDEST_BATCH_BYTES: Final = 14
_OLD_FORMATS: Final = (0, 1)
_NEW_FORMAT: Final = 2
_VARINT_BYTES: Final = 10


@dataclass
class ImperfectRecord(ConsumerRecord):  # type: ignore[misc]
    """A record that is not as its producer wrote it; `fault` says why."""

    fault: RecordFault


class _CorruptError(Exception):
    """A batch, or the rest of it, cannot be decoded."""


class _OldFormatError(Exception):
    """A batch of message format 0 or 1."""


class _Read(NamedTuple):
    """A decoded record, instead of aiokafka's `DefaultRecord`."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    fault: RecordFault | None = None
    checksum: None = None


class Batch:
    """One batch of a fetch, its header decoded.

    `next_offset` is the offset behind its last record. A control batch holds a transaction marker
    and no records.
    """

    def __init__(self, view: memoryview) -> None:
        self.view = view
        if len(view) < _LENGTH.size + _LENGTH.unpack_from(view)[1]:
            raise _CorruptError("it is cut short")
        magic = view[_MAGIC_AT]
        if magic in _OLD_FORMATS:
            raise _OldFormatError
        if magic != _NEW_FORMAT:
            raise _CorruptError(f"message format {magic} is not known")
        if len(view) < _HEADER.size:
            raise _CorruptError("its header is cut short")
        header: tuple[int, ...] = _HEADER.unpack_from(view)
        self.base_offset, attributes, last, self._first_timestamp, self.max_timestamp = header[:5]
        self.producer_id, self._count = header[5:]
        if last < 0 or self._count < 0:
            raise _CorruptError("its header counts backwards")
        self.next_offset = self.base_offset + last + 1
        self.codec = attributes & _CODEC_MASK
        self.is_control_batch = bool(attributes & _CONTROL)
        self.is_transactional = bool(attributes & _TRANSACTIONAL)
        self._timestamp_type = int(bool(attributes & _LOG_APPEND_TIME))

    def has_valid_crc(self) -> bool:
        """Verify the checksum (CRC-32C)."""
        return bool(DefaultRecordBatch(self.view).validate_crc())

    def records(self, start: int) -> Iterator[Any]:
        """Yield the records from this offset on; any exception ends a damaged batch."""
        stream: _Stream | None = None
        plain = self.view
        if self.codec:
            unpacked = decompressor(self.codec, self.view[_HEADER.size :])
            payload = unpacked.read(_QUICK_BYTES)
            if unpacked.is_done:
                header = bytearray(self.view[: _HEADER.size])
                header[_ATTRIBUTES_AT + 1] &= ~_CODEC_MASK
                plain = memoryview(bytes(header) + payload)
            else:
                stream = _Stream(payload, unpacked)
        if stream is None:
            try:
                for record in DefaultRecordBatch(plain):
                    if record.offset >= start:
                        yield record
                        start = record.offset + 1
            except UnicodeDecodeError:
                stream = _Stream(bytes(plain[_HEADER.size :]), None)
        if stream is not None:
            for _ in range(self._count):
                read = self._record(stream)
                if read.offset >= start:
                    yield read

    def _record(self, stream: _Stream) -> _Read:
        length = stream.varint()
        end = stream.position + length
        stream.varint()  # Attributes: none are defined.
        delta = stream.varint()
        offset = self.base_offset + stream.varint()
        key, key_bytes, key_sha256 = stream.field(_WHOLE_BYTES)
        value, size, sha256 = stream.field(_WHOLE_BYTES)
        headers, table_bytes = self._headers(stream)
        if stream.position != end:
            raise _CorruptError("a record is longer or shorter than it says")
        fault = None
        if key_sha256:
            fault = RecordFault(
                "customer_id_invalid", f"The key has {key_bytes:,} bytes.", offset, size, sha256
            )
        elif sha256:
            fault = RecordFault(
                "payload_too_large", f"The value has {size:,} bytes.", offset, size, sha256
            )
        elif table_bytes > _WHOLE_BYTES:
            fault = RecordFault(
                "headers_too_large",
                f"The headers have {table_bytes:,} bytes; at most {HEADERS_MAX_BYTES:,} are "
                "allowed.",
                offset,
                size,
            )
        timestamp = self.max_timestamp if self._timestamp_type else self._first_timestamp + delta
        return _Read(offset, timestamp, self._timestamp_type, key, value, headers, fault)

    @staticmethod
    def _headers(stream: _Stream) -> tuple[list[tuple[str, bytes | None]], int]:
        headers: list[tuple[str, bytes | None]] = []
        total = 0
        for _ in range(stream.varint()):
            name, name_bytes, _ = stream.field(_WHOLE_BYTES - min(total, _WHOLE_BYTES))
            value, value_bytes, _ = stream.field(_WHOLE_BYTES - min(total, _WHOLE_BYTES))
            total += name_bytes + value_bytes
            if total <= _WHOLE_BYTES:
                headers.append(((name or b"").decode("utf-8", "surrogateescape"), value))
        return headers, total


class _Stream:
    """Bytes of a batch's records, decompressed while they are read."""

    def __init__(self, start: bytes, rest: Decompressor | None) -> None:
        self._buffer = start
        self._at = 0
        self._dropped = 0
        self._rest = rest

    @property
    def position(self) -> int:
        """Number of bytes read."""
        return self._dropped + self._at

    def varint(self) -> int:
        """Read a zig-zag varint of up to 64 bits."""
        self._fill(_VARINT_BYTES)
        value = 0
        number = self._buffer[self._at : self._at + _VARINT_BYTES]
        for index, byte in enumerate(number):
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follow
                self._at += index + 1
                return (value >> 1) ^ -(value & 1)
        raise _CorruptError("a number is cut short")

    def field(self, whole_bytes: int) -> tuple[bytes | None, int, str]:
        """Read a length and as many bytes; keep the start of more than `whole_bytes`.

        Returns:
            The bytes that are kept, the length, and the SHA-256 (hexadecimal) of all bytes if they
            were cut, else an empty string.
        """
        size = self.varint()
        if size < 0:
            return None, 0, ""
        if size <= whole_bytes:
            return self._take(size), size, ""
        digest = hashlib.sha256()
        kept = self._take(min(size, _KEPT_BYTES))
        digest.update(kept)
        left = size - len(kept)
        while left:
            piece = self._take(min(left, _PIECE_BYTES))
            digest.update(piece)
            left -= len(piece)
        return kept, size, digest.hexdigest()

    def _take(self, size: int) -> bytes:
        self._fill(size)
        taken = self._buffer[self._at : self._at + size]
        if len(taken) < size:
            raise _CorruptError("it ends in the middle of a record")
        self._at += size
        return taken

    def _fill(self, size: int) -> None:
        have = len(self._buffer) - self._at
        if have >= size or self._rest is None:
            return
        pieces = [self._buffer[self._at :]]
        while have < size and not self._rest.is_done:
            piece = self._rest.read(max(size - have, _PIECE_BYTES))
            pieces.append(piece)
            have += len(piece)
        self._dropped += self._at
        self._buffer, self._at = b"".join(pieces), 0


class Batches:
    """The batches of one partition in a fetch's answer; replaces `MemoryRecords`."""

    def __init__(self, answer: bytes | None) -> None:
        self._view = memoryview(answer or b"")
        self._at = 0
        self._end = self._end_of_next()

    def size_in_bytes(self) -> int:
        """Return 0: aiokafka skips an offset where this is more and no batch is next."""
        return 0

    def has_next(self) -> bool:
        """Return whether a whole batch follows."""
        return self._end > 0

    def next_batch(self) -> memoryview:
        """Return the bytes of the next batch."""
        found = self._view[self._at : self._end]
        self._at = self._end
        self._end = self._end_of_next()
        return found

    def _end_of_next(self) -> int:
        left = len(self._view) - self._at
        if left < _LENGTH.size:
            return 0
        _, length = _LENGTH.unpack_from(self._view, self._at)
        if length < _OLDEST_BATCH_BYTES:
            # No batch starts here, so none behind it can be found.
            return len(self._view)
        end = self._at + _LENGTH.size + int(length)
        if end <= len(self._view):
            return end
        # The last batch may be cut off; the next fetch has it whole. The first batch is always
        # whole (KIP-74), unless its length is damaged.
        return 0 if self._at else len(self._view)


# The batch of a partition whose checksum was wrong last: its offset, and the number of fetches.
_suspects: dict[Any, tuple[int, int]] = {}


class CheckedRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of one partition in a fetch's answer. It raises nothing.

    `on_unreadable` is called for each batch that cannot be decoded.
    """

    next_fetch_offset: int
    on_unreadable: Callable[[], None] = staticmethod(lambda: None)

    def _unpack_records(self) -> Iterator[ConsumerRecord]:
        while self._records.has_next():
            view = self._records.next_batch()
            try:
                batch = Batch(view)
            except Exception as error:  # noqa: BLE001 - whatever it is, the partition goes on
                if not isinstance(error, _OldFormatError) and self._is_fetched_again():
                    return
                yield from self._without_header(view, error)
                continue
            if self._check_crcs and not batch.has_valid_crc():
                if self._is_fetched_again():
                    return
                # A damaged marker still ends its transaction.
                self._is_to_be_read(batch)
                yield self._unreadable(
                    view, batch.next_offset, "wrong checksum", batch.max_timestamp
                )
            elif self._is_to_be_read(batch):
                yield from self._records_of(batch)
            # Also where the last records of the batch were compacted away.
            self.next_fetch_offset = max(self.next_fetch_offset, batch.next_offset)

    def _records_of(self, batch: Batch) -> Iterator[ConsumerRecord]:
        try:
            for record in batch.records(self.next_fetch_offset):
                if record.offset >= batch.next_offset:
                    raise _CorruptError("a record has an offset outside of its batch")  # noqa: TRY301
                self.next_fetch_offset = record.offset + 1
                fault = getattr(record, "fault", None)
                if fault is None:
                    yield self._consumer_record(self._tp, record)
                else:
                    yield self._imperfect(record, fault)
        except Exception as error:  # noqa: BLE001 - whatever it is, the partition goes on
            if self.next_fetch_offset >= batch.next_offset:
                # Bytes behind the last record: no record is lost.
                return
            why = str(error) if isinstance(error, _CorruptError | BatchTooLargeError) else ""
            yield self._unreadable(
                batch.view, batch.next_offset, why or type(error).__name__, batch.max_timestamp
            )

    def _imperfect(self, record: Any, fault: RecordFault) -> ImperfectRecord:
        return ImperfectRecord(**vars(self._consumer_record(self._tp, record)), fault=fault)

    def _is_to_be_read(self, batch: Batch) -> bool:
        if self._isolation_level == fetcher.READ_COMMITTED and batch.producer_id >= 0:
            self._consume_aborted_up_to(batch.next_offset - 1)
            if batch.is_control_batch:
                # It ends the transaction, whether its marker can be decoded or not.
                self._aborted_producers.discard(batch.producer_id)
            elif batch.is_transactional and batch.producer_id in self._aborted_producers:
                return False
        return not batch.is_control_batch

    def _is_fetched_again(self) -> bool:
        """Return whether to fetch the damaged batch once more."""
        offset, tries = _suspects.get(self._tp, (-1, 0))
        tries = tries + 1 if offset == self.next_fetch_offset else 1
        if tries < _TRIES:
            _suspects[self._tp] = (self.next_fetch_offset, tries)
            return True
        _suspects.pop(self._tp, None)
        return False

    def _without_header(self, view: memoryview, error: Exception) -> Iterator[ConsumerRecord]:
        """Yield the records of a batch in an older format, or one record for a damaged batch."""
        if isinstance(error, _OldFormatError):
            try:
                yield from self._old_records(view)
            except Exception as fault:  # noqa: BLE001 - whatever it is, the partition goes on
                error = fault
            else:
                return
        # The number of its offsets is unknown: skip one, and the broker finds the next. The
        # header may contain anything.
        said = 0 if len(view) < _LENGTH.size else int(_LENGTH.unpack_from(view)[0]) + 1
        end = max(self.next_fetch_offset + 1, said)
        yield self._unreadable(view, end, str(error) or type(error).__name__)

    def _old_records(self, view: memoryview) -> Iterator[ConsumerRecord]:
        batch = LegacyRecordBatch(view, view[_MAGIC_AT])
        if self._check_crcs and not batch.validate_crc():
            raise _CorruptError("wrong checksum")
        for record in batch:
            if record.offset >= self.next_fetch_offset:
                self.next_fetch_offset = record.offset + 1
                yield self._consumer_record(self._tp, record)

    def _unreadable(
        self, view: memoryview, end: int, why: str, timestamp: int = -1
    ) -> ImperfectRecord:
        """Report the rest of a batch, and return one record instead, at its last offset."""
        first, last, size = self.next_fetch_offset, end - 1, len(view)
        _log.error(
            "Records that cannot be decoded are skipped: %s, partition %d, offsets %d to %d "
            "(%s; a batch of %d bytes).",
            *(*self._tp, first, last, why, size),
        )
        self.on_unreadable()
        self.next_fetch_offset = end
        fault = RecordFault(
            "record_unreadable",
            f"The records from offset {first} to {last} cannot be decoded: {why}.",
            first,
            size,
            hashlib.sha256(view).hexdigest(),
        )
        return self._imperfect(
            _Read(last, timestamp, 0, None, bytes(view[:_KEPT_BYTES]), []), fault
        )


class BoundedResult(fetcher.FetchResult):  # type: ignore[misc]
    """A fetch's answer, returned a bounded number of bytes at a time.

    aiokafka bounds the number of records only. A few hundred records of a megabyte are more than
    a worker has memory for.

    Attributes:
        gaps: Gets the offsets without a record: partition, first offset, offset behind the last.
    """

    gaps: list[tuple[TopicPartition, int, int]] | None = None
    _partition_records: CheckedRecords | None

    def getall(self, max_records: int | None = None) -> list[ConsumerRecord]:
        """Return the next records and move the position behind them."""
        records = self._partition_records
        if not self.check_assignment(self._topic_partition) or records is None:
            return []
        taken: list[ConsumerRecord] = []
        size, start = 0, records.next_fetch_offset
        for record in records:
            taken.append(record)
            size += record.serialized_value_size + record.serialized_key_size
            if record.headers:
                size += headers_bytes(record.headers)
            if len(taken) == max_records or size > _FETCHED_BYTES:
                break
        else:
            self._partition_records = None
        end = records.next_fetch_offset
        self._assignment.state_value(self._topic_partition).consumed_to(end)
        if self.gaps is not None and end - start != len(taken):
            self.gaps += self._gaps(taken, start, end)
        return taken

    def _gaps(
        self, taken: list[ConsumerRecord], start: int, end: int
    ) -> Iterator[tuple[TopicPartition, int, int]]:
        """Yield the offsets from `start` to before `end` that hold none of the records.

        They are transaction markers, records of aborted transactions and compacted records.
        """
        for offset in (*(record.offset for record in taken), end):
            if offset > start:
                yield self._topic_partition, start, offset
            start = offset + 1


def install(on_unreadable: Callable[[], None] | None = None) -> None:
    """Make every consumer of this process decode batches as this module does."""
    if on_unreadable is not None:
        CheckedRecords.on_unreadable = staticmethod(on_unreadable)
    fetcher.MemoryRecords = Batches
    fetcher.PartitionRecords = CheckedRecords
    fetcher.FetchResult = BoundedResult
