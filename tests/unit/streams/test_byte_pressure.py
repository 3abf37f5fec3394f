from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from mode.utils.queues import FlowControlEvent

from hookseal.domain.record import Record
from streams.faust_patches.byte_pressure import ByteBoundedQueue

MIB = 1024 * 1024


class Filling:
    """A queue of Faust's events, filled as Faust's conductor does it."""

    def __init__(self) -> None:
        self.queue = ByteBoundedQueue(1000, flow_control=FlowControlEvent())
        self.asked: list[str] = []

    def put(self, value: bytes) -> None:
        event = SimpleNamespace(message=SimpleNamespace(record=Record("events", 0, 0, value=value)))
        self.queue.put_nowait_enhanced(
            event, on_pressure_high=self.full, on_pressure_drop=self.again
        )

    def full(self) -> None:
        self.asked.append("full")

    def again(self) -> None:
        self.asked.append("again")


async def test_a_partition_of_large_records_is_fetched_no_more_until_it_has_room() -> None:
    filling = Filling()

    for _ in range(12):
        filling.put(b"x" * MIB)
    assert filling.asked == ["full"]

    for _ in range(8):
        await filling.queue.get()
    assert filling.asked == ["full"]

    await filling.queue.get()
    await filling.queue.get()
    assert filling.asked == ["full", "again"]


async def test_small_records_fill_it_by_their_number() -> None:
    filling = Filling()

    for _ in range(801):
        filling.put(b"x")

    assert filling.asked == ["full"]


async def test_cleared_it_has_room_for_as_many_bytes_as_before() -> None:
    filling = Filling()
    for _ in range(9):
        filling.put(b"x" * MIB)

    filling.queue.clear()
    filling.put(b"x" * MIB)
    filling.put(b"x" * MIB)

    assert filling.asked == []


async def test_what_is_no_record_takes_no_bytes() -> None:
    queue: Any = ByteBoundedQueue(10, flow_control=FlowControlEvent())

    queue.force_put_nowait("a sentinel")

    assert await queue.get() == "a sentinel"
