from __future__ import annotations

import gzip
import hashlib
import struct
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import cramjam
import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from hookseal.kafka import record_batches
from hookseal.kafka.codecs import zstd
from hookseal.kafka.consumer import record_from
from tests.raw_batches import CODECS, RawRecord, batch, record_bytes, varint

if TYPE_CHECKING:
    from pathlib import Path

    from hookseal.domain.record import Record

TP = TopicPartition("events", 3)
EVENT = RawRecord()
CHECK_CRCS = True


def read(*batches: bytes, at: int = 0, isolation: int = fetcher.READ_UNCOMMITTED) -> list[Record]:
    """Return what a consumer gets of a fetch's answer."""
    records = fetcher.PartitionRecords(
        TP, fetcher.MemoryRecords(b"".join(batches)), [], at, None, None, CHECK_CRCS, isolation
    )
    return [record_from(record) for record in records]


@pytest.fixture(autouse=True)
def _no_suspects() -> None:
    record_batches._suspects.clear()


def damaged(*batches: bytes, at: int = 0) -> list[Record]:
    """Return what a consumer gets once it has fetched a damaged batch often enough."""
    for _ in range(record_batches._TRIES - 1):
        assert read(*batches, at=at) == []
    return read(*batches, at=at)


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_is_read(codec: str) -> None:
    records = [
        RawRecord(b"acme", b"x" * size, ((b"trace", b"1"),), timestamp_delta=size)
        for size in (0, 10, 70_000)
    ]

    found = read(batch(records, codec=codec, base_offset=7))

    assert [(one.offset, one.key, one.value, one.headers) for one in found] == [
        (7 + n, b"acme", record.value, (("trace", b"1"),)) for n, record in enumerate(records)
    ]
    assert found[2].timestamp_ms == 1_700_000_070_000


def framed(codec: str, records: list[RawRecord], squeezed: bytes) -> bytes:
    """Return a batch of these records whose payload was compressed elsewhere."""
    header = bytearray(batch(records)[:61])
    header[22] |= CODECS[codec]
    struct.pack_into(">i", header, 8, len(squeezed) + 49)
    struct.pack_into(">I", header, 17, calc_crc32c(bytes(header[21:]) + squeezed))
    return bytes(header) + squeezed


def test_raw_snappy_is_read() -> None:
    squeezed = bytes(cramjam.snappy.compress_raw(record_bytes(EVENT, 0)))

    assert [one.value for one in read(framed("snappy", [EVENT], squeezed))] == [EVENT.value]


def test_a_batch_of_several_frames_is_read() -> None:
    payload = record_bytes(EVENT, 0) + record_bytes(EVENT, 1)
    squeezed = gzip.compress(payload[:20]) + gzip.compress(payload[20:])

    assert len(read(framed("gzip", [EVENT, EVENT], squeezed))) == 2


@pytest.mark.parametrize("level", [1, 19, 22])
def test_a_zstd_window_of_any_level_is_read(level: int) -> None:
    records = [RawRecord(value=b"%06d" % n) for n in range(100)]
    # A stream whose size is not known in advance announces the whole window of its level.
    stream = zstd.ZstdCompressor(level=level)
    squeezed = b"".join(
        stream.compress(record_bytes(record, n)) for n, record in enumerate(records)
    )

    found = read(framed("zstd", records, squeezed + stream.flush()))

    assert [one.value for one in found] == [record.value for record in records]


def test_a_large_zstd_window_is_not_filled() -> None:
    records = [RawRecord(value=bytes(1_000_000)) for n in range(60)]
    parameter = zstd.CompressionParameter
    stream = zstd.ZstdCompressor(options={parameter.compression_level: 1, parameter.window_log: 27})
    squeezed = b"".join(
        stream.compress(record_bytes(record, n)) for n, record in enumerate(records)
    )

    *found, rest = read(framed("zstd", records, squeezed + stream.flush()))

    assert [one.offset for one in found] == list(range(33))
    assert rest.fault is not None
    assert (rest.fault.code, rest.fault.first_offset, rest.offset) == ("record_unreadable", 33, 59)


@pytest.mark.parametrize("codec", CODECS)
def test_a_header_name_that_is_not_utf8_keeps_its_bytes(codec: str) -> None:
    odd = RawRecord(headers=((b"\xff\xfe", b"1"), (b"\xff\xfe", None), (b"ok", b"")))

    found = read(batch([EVENT, odd, EVENT], codec=codec))

    assert [one.offset for one in found] == [0, 1, 2]
    assert [(n.encode("utf-8", "surrogateescape"), v) for n, v in found[1].headers] == [
        *odd.headers
    ]
    assert all(one.fault is None for one in found)


def test_sixty_thousand_headers_are_read() -> None:
    headers = tuple((b"h%d" % n, b"v") for n in range(60_000))

    (found,) = read(batch([RawRecord(headers=headers)]))

    assert len(found.headers) == 60_000


@pytest.mark.parametrize("timestamp", [-(2**63), -1, 0, 1_796_057_075_000_000, 2**63 - 1])
def test_timestamps_of_any_64_bits_are_read(timestamp: int) -> None:
    (found,) = read(batch([EVENT], first_timestamp=timestamp))

    assert found.timestamp_ms == timestamp


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd", "snappy"])
def test_records_beyond_the_quick_size_are_read_one_by_one(codec: str) -> None:
    records = [RawRecord(value=b"%06d" % n + b" " * 100_000) for n in range(100)]

    found = read(batch(records, codec=codec), at=40)

    assert [one.offset for one in found] == list(range(40, 100))
    assert [one.value for one in found] == [record.value for record in records[40:]]


def test_a_record_that_is_too_large_is_cut_and_the_others_are_whole() -> None:
    value = b'{"type":"a.b","data":"' + b" " * 6_000_000 + b'"}'
    large = RawRecord(b"acme", value, ((b"trace", b"1"),))

    before, cut, after = read(batch([EVENT, large, EVENT], codec="gzip"))

    assert (before.value, after.value) == (EVENT.value, EVENT.value)
    assert cut.key == b"acme"
    assert cut.headers == (("trace", b"1"),)
    assert cut.value is not None
    assert value.startswith(cut.value)
    assert cut.fault is not None
    assert (cut.fault.code, cut.fault.value_bytes, cut.fault.value_sha256) == (
        "payload_too_large",
        len(value),
        hashlib.sha256(value).hexdigest(),
    )


def test_headers_that_are_too_large_are_cut() -> None:
    large = RawRecord(headers=((b"a", b"1"), (b"b", b" " * 6_000_000), (b"c", b"2")))

    cut, after = read(batch([large, EVENT], codec="zstd"))

    assert cut.fault is not None
    assert (cut.fault.code, cut.value) == ("headers_too_large", EVENT.value)
    assert cut.headers == (("a", b"1"),)
    assert after.fault is None


BOMB = """
    import resource, sys
    from aiokafka.consumer import fetcher
    from aiokafka.structs import TopicPartition
    from hookseal.kafka.consumer import record_from

    raw = open(sys.argv[1], "rb").read()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    records = fetcher.PartitionRecords(
        TopicPartition("events", 0), fetcher.MemoryRecords(raw), [], 0, None, None, True, 0
    )
    found = [record_from(one) for one in records]
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(len(found), found[0].fault.value_bytes, grown // 1024)
"""


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
def test_a_record_that_grows_a_thousandfold_takes_little_memory(codec: str, tmp_path: Path) -> None:
    size = 200_000_000
    path = tmp_path / "batch"
    path.write_bytes(batch([RawRecord(value=b" " * size), EVENT], codec=codec))

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(BOMB), path],
        check=True,
        capture_output=True,
        text=True,
    )

    records, bytes_, grown_mib = map(int, done.stdout.split())
    assert (records, bytes_) == (2, size)
    assert grown_mib < 60


def test_a_batch_with_a_wrong_checksum_is_fetched_again_and_then_passed_over() -> None:
    bad = batch([EVENT, EVENT], base_offset=5, sealed=False)
    good = batch([EVENT], base_offset=7)

    found = damaged(bad, good, at=5)

    assert [(one.offset, one.fault and one.fault.code) for one in found] == [
        (6, "record_unreadable"),
        (7, None),
    ]
    fault = found[0].fault
    assert fault is not None
    assert fault.first_offset == 5
    assert "from offset 5 to 6" in fault.error
    assert (fault.value_bytes, fault.value_sha256) == (len(bad), hashlib.sha256(bad).hexdigest())


def test_a_batch_that_the_network_damaged_is_read_when_it_comes_again() -> None:
    assert read(batch([EVENT], sealed=False)) == []

    assert [one.fault for one in read(batch([EVENT]))] == [None]


@pytest.mark.parametrize(
    "raw",
    [
        batch([EVENT], attributes=7),
        batch([EVENT], payload=b"\x01\x02\x03"),
        batch([EVENT], codec="none", attributes=1),
        batch([EVENT], codec="none", attributes=2),
        batch([EVENT], codec="none", attributes=3),
        batch([EVENT], codec="none", attributes=4),
        batch([EVENT], count=5),
        batch([EVENT], payload=record_bytes(EVENT, 0)[:-1] + varint(2**62)),
        batch([EVENT], payload=varint(2**62) + record_bytes(EVENT, 0)),
    ],
    ids=lambda raw: hashlib.sha256(raw).hexdigest()[:6],
)
def test_a_batch_that_cannot_be_decoded_is_one_record_and_the_next_is_read(raw: bytes) -> None:
    end = struct.unpack_from(">i", raw, 23)[0]

    found = read(raw, batch([EVENT], base_offset=end + 1))

    assert found[-1].fault is None
    assert found[-1].offset == end + 1
    odd = found[-2]
    assert odd.fault is not None
    assert (odd.fault.code, odd.offset) == ("record_unreadable", end)


def test_what_is_left_of_a_batch_comes_behind_the_records_before_it() -> None:
    payload = record_bytes(EVENT, 0) + record_bytes(EVENT, 1) + b"\xff" * 30

    found = read(batch([EVENT] * 3, payload=payload), batch([EVENT], base_offset=3))

    assert [(one.offset, one.fault is None) for one in found] == [
        (0, True),
        (1, True),
        (2, False),
        (3, True),
    ]


@pytest.mark.parametrize("magic", [3, 77, 127])
def test_a_batch_of_an_unknown_format_is_passed_over(magic: int) -> None:
    raw = bytearray(batch([EVENT], base_offset=4))
    raw[16] = magic

    found = damaged(bytes(raw), batch([EVENT], base_offset=5), at=4)

    assert [(one.offset, one.fault is None) for one in found] == [(4, False), (5, True)]


def test_a_batch_that_cannot_be_decoded_is_counted_and_its_offsets_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[int] = []
    record_batches.install(lambda: calls.append(1))

    damaged(batch([EVENT], base_offset=4, sealed=False), at=4)

    assert calls == [1]
    assert "events, partition 3, offsets 4 to 4" in caplog.text


def test_control_batches_are_passed_over() -> None:
    assert read(batch([EVENT], attributes=0x20), batch([EVENT], base_offset=1))[0].offset == 1


@given(
    st.lists(
        st.builds(
            RawRecord,
            key=st.none() | st.binary(max_size=20),
            value=st.none() | st.binary(max_size=200),
            headers=st.lists(
                st.tuples(st.binary(max_size=9), st.none() | st.binary(max_size=9)), max_size=4
            ).map(tuple),
            timestamp_delta=st.integers(-1000, 1000),
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(list(CODECS)),
    st.integers(0, 2**40),
)
def test_whatever_is_written_is_read_byte_for_byte(
    records: list[RawRecord], codec: str, base: int
) -> None:
    found = read(batch(records, codec=codec, base_offset=base), at=base)

    assert [
        (
            one.key,
            one.value,
            tuple((name.encode("utf-8", "surrogateescape"), value) for name, value in one.headers),
        )
        for one in found
    ] == [(record.key, record.value, record.headers) for record in records]
    assert [one.offset for one in found] == [base + n for n in range(len(records))]


@given(
    st.sampled_from(list(CODECS)),
    st.lists(st.tuples(st.integers(21, 400), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_no_damage_stops_a_reader(codec: str, damage: list[tuple[int, int]]) -> None:
    raw = bytearray(batch([EVENT] * 3, codec=codec))
    for at, byte in damage:
        # Not the offsets: what the broker gives them is not the producer's.
        if at < len(raw) and not 21 < at < 27:
            raw[at] = byte
    struct.pack_into(">I", raw, 17, calc_crc32c(bytes(raw[21:])))

    good = batch([EVENT], base_offset=3)
    found: list[Record] = []
    for _ in range(record_batches._TRIES):
        found = read(bytes(raw), good)
        if found:
            break

    assert found[-1].offset == 3
    assert found[-1].fault is None


def test_a_call_returns_a_bounded_number_of_bytes() -> None:
    class Everything:
        active = True

        def state_value(self, _: object) -> Everything:
            return self

        paused = False
        position = 0

        def consumed_to(self, position: int) -> None:
            self.position = position

    raw = batch([RawRecord(value=b" " * 1_000_000)] * 30, codec="gzip")
    state = Everything()
    result = fetcher.FetchResult(
        TP,
        assignment=state,
        partition_records=fetcher.PartitionRecords(
            TP, fetcher.MemoryRecords(raw), [], 0, None, None, CHECK_CRCS, 0
        ),
        backoff=0,
    )

    counts = []
    while result.has_more():
        counts.append(len(result.getall(500)))

    assert max(counts) <= 5
    assert sum(counts) == state.position == 30
