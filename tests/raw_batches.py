"""Record batches written byte by byte, as any client may write them (KIP-98, format 2)."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import cramjam
import lz4.frame
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import NotLeaderForPartitionError, UnknownTopicOrPartitionError
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from hookseal.kafka.codecs import zstd

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
TRANSACTIONAL, CONTROL = 0x10, 0x20
_ATTRIBUTES_AT = 21


class RawRecord(NamedTuple):
    """A record with nothing decoded: header names are bytes, everything may be null."""

    key: bytes | None = b"acme"
    value: bytes | None = b'{"type":"order.paid","data":{}}'
    headers: tuple[tuple[bytes, bytes | None], ...] = ()
    timestamp_delta: int = 0


def varint(number: int) -> bytes:
    """Return a zig-zag varint."""
    zigzag = (number << 1) ^ (number >> 63)
    encoded = bytearray()
    while True:
        low, zigzag = zigzag & 0x7F, (zigzag & (2**64 - 1)) >> 7
        if not zigzag:
            return bytes([*encoded, low])
        encoded.append(low | 0x80)


def nullable(content: bytes | None) -> bytes:
    """Return bytes behind their length."""
    return varint(-1) if content is None else varint(len(content)) + content


def record_bytes(record: RawRecord, offset_delta: int) -> bytes:
    """Return one record."""
    body = (
        b"\0"
        + varint(record.timestamp_delta)
        + varint(offset_delta)
        + nullable(record.key)
        + nullable(record.value)
        + varint(len(record.headers))
        + b"".join(varint(len(name)) + name + nullable(value) for name, value in record.headers)
    )
    return varint(len(body)) + body


def compressed(codec: str, payload: bytes) -> bytes:
    """Return the payload as a Java producer compresses it."""
    match codec:
        case "gzip":
            deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
            return deflate.compress(payload) + deflate.flush()
        case "snappy":
            blocks = [payload[at : at + 32_768] for at in range(0, len(payload), 32_768)]
            squeezed = [bytes(cramjam.snappy.compress_raw(block)) for block in blocks]
            framed = [struct.pack(">i", len(block)) + block for block in squeezed]
            return b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1) + b"".join(framed)
        case "lz4":
            return bytes(lz4.frame.compress(payload, block_linked=False))
        case "zstd":
            return bytes(zstd.compress(payload))
        case _:
            return payload


def batch(
    records: list[RawRecord],
    *,
    codec: str = "none",
    base_offset: int = 0,
    first_timestamp: int = 1_700_000_000_000,
    attributes: int = 0,
    payload: bytes | None = None,
    count: int | None = None,
    sealed: bool = True,
    producer_id: int = -1,
) -> bytes:
    """Return a batch as it goes on the wire.

    Args:
        records: What it holds.
        codec: Of `CODECS`.
        base_offset: Brokers give it another one.
        first_timestamp: Any 64 bits.
        attributes: More than the codec's.
        payload: In the place of the records, not yet compressed.
        count: In the place of how many there are.
        sealed: Whether the checksum fits.
        producer_id: Of a transactional producer; -1 = none.
    """
    if payload is None:
        payload = b"".join(record_bytes(record, n) for n, record in enumerate(records))
    number = len(records) if count is None else count
    times = [first_timestamp + record.timestamp_delta for record in records] or [first_timestamp]
    most = max(min(time, 2**63 - 1) for time in times)
    body = struct.pack(
        ">hiqqqhii",
        attributes | CODECS[codec],
        max(0, number - 1),
        first_timestamp,
        most,
        producer_id,
        -1 if producer_id < 0 else 0,
        -1,
        number,
    ) + compressed(codec, payload)
    crc = calc_crc32c(body) ^ (0 if sealed else 1)
    return struct.pack(">qiibI", base_offset, len(body) + 9, -1, 2, crc) + body


def marker(producer_id: int, *, base_offset: int, commits: bool) -> bytes:
    """Return the control batch that ends a transaction (KIP-98, "Control Messages")."""
    record = RawRecord(struct.pack(">hh", 0, int(commits)), struct.pack(">hi", 0, 0))
    attributes = TRANSACTIONAL | CONTROL
    return batch([record], base_offset=base_offset, attributes=attributes, producer_id=producer_id)


async def produce(bootstrap: str, topic: str, partition: int, raw: bytes) -> int:
    """Send one batch as it is; return the error code of the broker's answer, 0 = accepted."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    await client.bootstrap()
    try:
        await client.set_topics([topic])
        while True:
            code = await _produce(client, topic, partition, raw)
            # A topic that was just created has no leader everywhere yet.
            if code not in (UnknownTopicOrPartitionError.errno, NotLeaderForPartitionError.errno):
                return code
            await client.force_metadata_update()
    finally:
        await client.close()


async def _produce(client: AIOKafkaClient, topic: str, partition: int, raw: bytes) -> int:
    node = client.cluster.leader_for_partition(TopicPartition(topic, partition))
    if node in (None, -1):
        return int(NotLeaderForPartitionError.errno)
    request = ProduceRequest(None, -1, 30_000, [(topic, [(partition, raw)])])
    ((_, ((_, code, *_),)),) = (await client.send(node, request)).topics
    return int(code)
