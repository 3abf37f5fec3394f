"""What the indexes take from records that anybody may have written."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiokafka import ConsumerRecord

from hookseal.dead_letters.index.attempts import AttemptSource
from hookseal.dead_letters.index.file import SCHEMA
from hookseal.dead_letters.index.letter_sources import LetterSource, ReplaySource
from hookseal.domain import attempt, replay
from hookseal.domain.attempt import AttemptRecord
from hookseal.domain.replay import DrainedEntry, ReplayEntry

if TYPE_CHECKING:
    from collections.abc import Iterable

LARGEST = 2**63 - 1
ATTEMPT = AttemptRecord(
    at=1.0,
    customer_id="acme",
    event_id="evt_1",
    event_type="order.paid",
    endpoint_id="ep_1",
    attempt=1,
    attempt_max=5,
    code="accepted",
    status=200,
    duration_s=0.01,
    kid="key-1",
    partition=0,
    offset=0,
    worker="host:1",
)
REPLAY = ReplayEntry("host/1/x", 1, 1, replayed=[(1, 1)])


def a_record(value: bytes) -> ConsumerRecord:
    return ConsumerRecord("topic", 0, 7, 1000, 0, b"acme", value, None, 4, len(value), ())


def rows(source: Any, table: str, values: Iterable[bytes]) -> list[Any]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(SCHEMA + source.schema)
    source.insert(connection, [a_record(value) for value in values])
    return connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - ours


@pytest.mark.parametrize(
    "value", [b'{"type":"\xff"}', rb'{"type":"\ud83d"}', b'{"type":' + b"1" * 9999 + b"}", b"\xff"]
)
def test_a_dead_letter_without_a_readable_type_is_listed_without_one(value: bytes) -> None:
    (row,) = rows(LetterSource("dead-letters"), "letters", [value])

    assert row[:4] == (0, 7, 1000, 1000)
    assert row[7] is None


@pytest.mark.parametrize(
    "value",
    [
        attempt.encode(ATTEMPT).replace(b"accepted", b"\xff"),
        *(
            attempt.encode(msgspec.structs.replace(ATTEMPT, **{name: number}))
            for name in ("attempt", "attempt_max", "status", "partition", "offset")
            for number in (LARGEST + 1, -LARGEST - 2, 10**40)
        ),
        *(
            attempt.encode(msgspec.structs.replace(ATTEMPT, **{name: number}))
            for name in ("at", "duration_s")
            for number in (1e300, 253_402_300_800.0, -1.0)
        ),
    ],
)
def test_an_attempt_that_cannot_be_stored_is_passed_over(value: bytes) -> None:
    good = attempt.encode(msgspec.structs.replace(ATTEMPT, attempt=LARGEST, at=2e11))

    assert len(rows(AttemptSource("deliveries", 10), "attempts", [value])) == 0
    assert len(rows(AttemptSource("deliveries", 10), "attempts", [value, good])) == 1


@pytest.mark.parametrize(
    "value",
    [
        replay.encode(REPLAY).replace(b"host", b"\xff"),
        replay.encode(ReplayEntry("host", 1, 1, replayed=[(LARGEST + 1, 1)])),
        replay.encode(ReplayEntry("host", 1, 1, replayed=[(1, 10**40)])),
        replay.encode(ReplayEntry("host", 1, 1, job="a", job_to=LARGEST + 1)),
        replay.encode(ReplayEntry("host", 10**40, 1)),
        replay.encode(DrainedEntry([(1, LARGEST + 1)])),
        replay.encode(DrainedEntry([(-LARGEST - 2, 1)])),
    ],
)
def test_a_replay_that_cannot_be_stored_is_passed_over(value: bytes) -> None:
    entries = [value, replay.encode(DrainedEntry([(LARGEST, -LARGEST - 1)]))]

    assert rows(ReplaySource("replays"), "replayed", entries) == [(0, LARGEST, -LARGEST - 1, 1000)]
