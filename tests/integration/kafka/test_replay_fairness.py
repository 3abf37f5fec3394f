"""A tenant that replays all the time delays the replay of another by a few turns."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from hookseal.dead_letters.replay import Replayer
from hookseal.domain.letter_filter import LetterFilter
from hookseal.kafka import topics
from hookseal.kafka.partitioner import partition_of
from tests.conditions import until
from tests.integration.kafka.replaying import PARTITIONS, write_letters
from tests.integration.kafka.test_letter_index import an_index

if TYPE_CHECKING:
    from pathlib import Path

    from hookseal.config import Settings

# The fence is a transactional id, which the embedded broker does not know.
pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(180)]

LOOPS = 8
REPLAYS = 5


async def test_eight_loops_of_one_tenant_delay_another_by_three_turns_at_most(
    settings: Settings, tmp_path: Path
) -> None:
    await topics.create(settings.cluster, partitions=PARTITIONS)
    names = [f"c{number}" for number in range(30)]
    noisy, quiet = [name for name in names if partition_of(name, PARTITIONS) == 0][:2]
    await write_letters(settings, 2_000, customers=[noisy, quiet])
    done: list[str] = []
    async with an_index(settings, tmp_path) as index:
        replayer = Replayer(settings.cluster, index, event_max_bytes=settings.event_max_bytes)

        async def replay(customer_id: str) -> None:
            count = await replayer.replay(LetterFilter(customer_id=customer_id), limit=1)
            assert count == 1
            done.append(customer_id)

        async def loop() -> None:
            while not over.is_set():
                await replay(noisy)

        over = asyncio.Event()
        loops = [asyncio.create_task(loop()) for _ in range(LOOPS)]
        await until(lambda: done.count(noisy) >= LOOPS)
        waited = []
        for _ in range(REPLAYS):
            before = done.count(noisy)
            await replay(quiet)
            waited.append(done.count(noisy) - before)
        over.set()
        await asyncio.gather(*loops)

    # The turn under way, one that was asked for before, and one that ends while the index of the
    # quiet tenant's replay is asked, before it waits.
    assert max(waited) <= 3
