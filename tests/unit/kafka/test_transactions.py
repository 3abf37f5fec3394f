"""Record batches of transactions, as a fetch for committed records returns them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from hookseal.kafka import record_batches
from tests.raw_batches import CODECS, TRANSACTIONAL, RawRecord, batch, marker

TP = TopicPartition("events", 3)


class Fetch:
    """A fetch's answer, built like a partition's log."""

    def __init__(self) -> None:
        self.end = 0
        self.batches: list[bytes] = []
        self.aborted: list[tuple[int, int, int]] = []
        self.committed: list[int] = []
        self._open: dict[int, list[int]] = {}

    def plain(self, count: int = 1) -> None:
        """Append a batch without a transaction."""
        self.committed += range(self.end, self.end + count)
        self._append(batch([RawRecord()] * count, base_offset=self.end), count)

    def write(self, producer_id: int, count: int = 1, codec: str = "none") -> None:
        """Append a batch to the producer's transaction."""
        self._open.setdefault(producer_id, []).extend(range(self.end, self.end + count))
        raw = batch(
            [RawRecord()] * count,
            codec=codec,
            base_offset=self.end,
            attributes=TRANSACTIONAL,
            producer_id=producer_id,
        )
        self._append(raw, count)

    def finish(self, producer_id: int, *, commits: bool) -> None:
        """End the producer's transaction."""
        offsets = self._open.pop(producer_id, [])
        if commits:
            self.committed += offsets
        elif offsets:
            self.aborted.append((producer_id, offsets[0], self.end))
        self._append(marker(producer_id, base_offset=self.end, commits=commits), 1)

    def close(self) -> None:
        """Commit what is open: a fetch ends before an open transaction."""
        for producer_id in tuple(self._open):
            self.finish(producer_id, commits=True)

    def read(self, at: int = 0, most: int | None = None) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the offsets of the records, and the gaps, as a consumer at `at` gets them."""
        sent = [
            raw for raw in self.batches if record_batches.Batch(memoryview(raw)).next_offset > at
        ]
        records = fetcher.PartitionRecords(
            TP,
            fetcher.MemoryRecords(b"".join(sent)),
            # As the broker: without transactions that ended before the fetch.
            [(producer_id, first) for producer_id, first, end in self.aborted if end >= at],
            at,
            None,
            None,
            True,  # noqa: FBT003
            fetcher.READ_COMMITTED,
        )
        position = SimpleNamespace(paused=False, position=at)
        position.consumed_to = lambda offset: setattr(position, "position", offset)
        assignment = SimpleNamespace(active=True, state_value=lambda _: position)
        result = fetcher.FetchResult(
            TP, assignment=assignment, partition_records=records, backoff=0
        )
        result.gaps = []
        found: list[Any] = []
        while result.has_more():
            found += result.getall(most)
        assert position.position == max(self.end, at)
        return [record.offset for record in found], [gap[1:] for gap in result.gaps]

    def read_once(self) -> list[int]:
        """Return the offsets of one fetch's records, however far it gets."""
        records = fetcher.PartitionRecords(
            TP,
            fetcher.MemoryRecords(b"".join(self.batches)),
            [(producer_id, first) for producer_id, first, _ in self.aborted],
            0,
            None,
            None,
            True,  # noqa: FBT003
            fetcher.READ_COMMITTED,
        )
        return [record.offset for record in records]

    def _append(self, raw: bytes, count: int) -> None:
        self.batches.append(raw)
        self.end += count


@pytest.fixture(autouse=True)
def _installed() -> None:
    record_batches.install()


@pytest.mark.parametrize("codec", CODECS)
def test_interleaved_transactions_are_told_apart(codec: str) -> None:
    fetch = Fetch()
    fetch.write(1, 2, codec)
    fetch.write(2, 2, codec)
    fetch.plain()
    fetch.write(1, 1, codec)
    fetch.finish(1, commits=False)
    fetch.write(2, 1, codec)
    # The same producer goes on.
    fetch.write(1, 1, codec)
    fetch.finish(2, commits=True)
    fetch.finish(1, commits=True)

    assert fetch.read() == ([2, 3, 4, 7, 8], [(0, 2), (5, 7), (9, 11)])


def test_a_transaction_that_began_before_the_fetch_is_aborted() -> None:
    fetch = Fetch()
    fetch.write(1, 5)
    fetch.plain()
    fetch.write(1, 2)
    fetch.finish(1, commits=False)

    assert fetch.read(at=3) == ([5], [(3, 5), (6, 9)])
    assert fetch.read(at=7) == ([], [(7, 9)])


def test_a_damaged_marker_ends_its_transaction() -> None:
    fetch = Fetch()
    fetch.write(1)
    fetch.finish(1, commits=False)
    damaged = bytearray(fetch.batches[1])
    damaged[-1] ^= 0xFF
    fetch.batches[1] = bytes(damaged)
    fetch.write(1)
    fetch.finish(1, commits=True)

    # The damaged batch is fetched again before it is given up.
    found = [fetch.read_once() for _ in range(record_batches._TRIES)]

    # One record reports the damaged batch. The committed record is read.
    assert found == [[]] * (record_batches._TRIES - 1) + [[1, 2]]


def test_a_batch_whose_first_records_were_compacted_is_still_aborted() -> None:
    fetch = Fetch()
    fetch.write(1, 3)
    fetch.finish(1, commits=False)
    # The broker names the first record that is left.
    fetch.aborted = [(1, 2, 3)]

    assert fetch.read() == ([], [(0, 4)])


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["plain", "write", "commit", "abort"]),
        st.integers(1, 3),
        st.integers(1, 4),
        st.sampled_from(list(CODECS)),
    ),
    max_size=25,
)


@given(_STEPS, st.integers(0, 20), st.none() | st.integers(1, 3))
def test_each_committed_record_is_read_and_every_other_offset_is_a_gap(
    steps: list[tuple[str, int, int, str]], at: int, most: int | None
) -> None:
    fetch = Fetch()
    for what, producer_id, count, codec in steps:
        match what:
            case "plain":
                fetch.plain(count)
            case "write":
                fetch.write(producer_id, count, codec)
            case _:
                fetch.finish(producer_id, commits=what == "commit")
    fetch.close()

    read, gaps = fetch.read(at, most)

    assert read == sorted(offset for offset in fetch.committed if offset >= at)
    passed = [offset for start, end in gaps for offset in range(start, end)]
    assert sorted(read + passed) == list(range(at, fetch.end))
