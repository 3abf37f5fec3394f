from __future__ import annotations

import asyncio
from typing import Any

from streams.stream_source import iter_records
from tests.unit.streams.fakes import Stream, an_arrival


async def first(stream: Stream, count: int) -> list[int]:
    """Return the offsets of so many events, then stop."""
    found: list[int] = []
    arriving: Any = iter_records(stream)
    async for arrival in arriving:
        found.append(arrival.offset)
        if len(found) == count:
            break
    await arriving.aclose()
    return found


async def test_records_come_in_their_order() -> None:
    assert await first(Stream(b"a", b"b", b"c"), 3) == [0, 1, 2]


async def test_what_is_of_an_older_generation_is_passed_over() -> None:
    stream = Stream(b"a", b"b")
    stream.app.consumer_generation_id = 2
    stream.channel.queue.put_nowait(an_arrival(7, b"c", generation_id=2))

    assert await first(stream, 1) == [7]


async def test_what_comes_while_the_flow_is_stopped_is_passed_over() -> None:
    stream = Stream(b"a", b"b", b"c")
    flow = iter((False, False, True))
    stream.app.flow_control.is_active = lambda: next(flow)

    assert await first(stream, 1) == [2]


async def test_a_stream_that_stops_hands_over_no_more() -> None:
    stream = Stream(b"a", b"b")
    found = []

    async for arrival in iter_records(stream):
        found.append(arrival.offset)
        stream.is_stopped = True

    assert found == [0]


async def test_without_the_fast_path_faust_s_events_bring_the_whole_record() -> None:
    fetched: Any = iter_records(Stream(b"a", b"b", fast_path=False))

    found = [await anext(fetched) for _ in range(2)]
    await fetched.aclose()

    assert found == [an_arrival(0, b"a").record, an_arrival(1, b"b").record]


async def test_others_get_their_turn_however_many_there_are() -> None:
    stream, turns = Stream(*[b"a"] * 100), 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await first(stream, 100)
    task.cancel()

    assert turns >= 6
