from __future__ import annotations

from typing import Any

from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v4

from streams.fast_path.fetch_batching import FetchBatching

ONE, ANOTHER = 1, 2
NOTHING, EVENTS = False, True


class Broker:
    """Answers as the test says, and notes how long it was allowed to wait, and for how much."""

    def __init__(self, *answers: bool) -> None:
        self.asked: list[tuple[int, int]] = []
        self._answers = list(answers)

    async def fetch(self, assignment: Any, node_id: int, request: Any) -> bool:
        sent = request.build(FetchRequest_v4)
        self.asked.append((sent.max_wait_time, sent.min_bytes))
        return self._answers.pop(0)


async def ask(gathering: FetchBatching, broker: Broker, *nodes: int) -> list[tuple[int, int]]:
    for node in nodes:
        # 500 ms and one byte: what the client was made with.
        await gathering.fetch(broker.fetch, None, node, FetchRequest(500, 1, 1_000_000, 0, []))
    return broker.asked


async def test_the_first_event_after_a_pause_comes_at_once_and_what_follows_is_gathered() -> None:
    asked = await ask(
        FetchBatching(0.02), Broker(NOTHING, EVENTS, EVENTS, NOTHING, NOTHING), *[ONE] * 5
    )

    assert asked == [(100, 1), (100, 1), (20, 65_536), (20, 65_536), (100, 1)]


async def test_each_broker_has_its_own() -> None:
    asked = await ask(FetchBatching(0.02), Broker(EVENTS, NOTHING, NOTHING), ONE, ANOTHER, ONE)

    assert asked == [(100, 1), (100, 1), (20, 65_536)]


async def test_none_gathers_where_that_is_switched_off() -> None:
    asked = await ask(FetchBatching(0), Broker(EVENTS, EVENTS), ONE, ONE)

    assert asked == [(100, 1), (100, 1)]
