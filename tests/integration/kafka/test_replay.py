"""Replays by real processes that are killed, frozen, and started twice at once."""

from __future__ import annotations

import asyncio
import random
import signal
from typing import TYPE_CHECKING

import pytest

from hookseal.domain.event import parse_event
from hookseal.kafka import topics
from hookseal.kafka.consumer import LogEnds
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.producer import Producer
from tests.builders import MAX_BYTES, a_tenant, an_endpoint
from tests.integration.kafka.replaying import (
    PARTITIONS,
    Replay,
    books,
    published,
    write_events,
    write_letters,
)
from tests.integration.kafka.test_letter_index import make_anew

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hookseal.config import Settings

# The fence is a transactional id, which the embedded broker does not know.
pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(180)]

CUSTOMERS = [f"c{number}" for number in range(12)]
LETTERS = 3000
KILLS = 10


class Replays:
    """Starts processes that replay on the test's topics."""

    def __init__(
        self, settings: Settings, env: dict[str, str], folder: Path, ends: LogEnds
    ) -> None:
        self.settings = settings
        self._env = env
        self._folder = folder
        self._ends = ends

    async def start(self, *arguments: str, name: str = "a") -> Replay:
        return await Replay(self._env, self._folder / name).start(*arguments)

    async def published(self) -> int:
        return await published(self._ends, self.settings)

    async def reach(self, count: int, *running: Replay) -> None:
        """Wait until so much is published, or one of the processes has ended."""
        async with asyncio.timeout(15):
            while await self.published() < count and not any(one.ended for one in running):
                pass


@pytest.fixture
async def replays(
    settings: Settings, settings_env: dict[str, str], tmp_path: Path
) -> AsyncIterator[Replays]:
    await topics.create(settings.cluster, partitions=PARTITIONS)
    ends = LogEnds(settings.cluster)
    await ends.start()
    yield Replays(settings, settings_env, tmp_path, ends)
    await ends.close()


@pytest.mark.extended
async def test_each_letter_is_replayed_once_though_replays_are_killed_again_and_again(
    replays: Replays,
) -> None:
    letters = 2 * LETTERS
    await write_letters(replays.settings, letters, customers=CUSTOMERS)
    chance = random.Random(20_26)  # noqa: S311 - a seed, not a secret

    for kill in range(KILLS):
        # Every other time two at once, and both are killed.
        names = ("a", "b")[: 1 + kill % 2]
        point = await replays.published() + chance.randint(1, 200)
        running = [await replays.start("--all", "--rate", "200", name=name) for name in names]
        await replays.reach(point, *running)
        for one in running:
            assert not one.ended
            one.signal(signal.SIGKILL)
            await one.gone()
    before = len((await books(replays.settings)).marks)
    figures = await (await replays.start()).figures()

    found = await books(replays.settings)
    assert set(found.marks.values()) == {1}
    assert len(found.marks) == letters
    assert found.in_order()
    assert figures == {
        "replayed": letters - before,
        "replayed_before": before,
        "not_replayable": 0,
    }
    assert KILLS < before < letters


async def test_two_at_once_replay_each_letter_once(replays: Replays) -> None:
    await write_letters(replays.settings, LETTERS, customers=CUSTOMERS)

    first, second = await replays.start(name="a"), await replays.start(name="b")
    figures = await asyncio.gather(first.figures(), second.figures())

    found = await books(replays.settings)
    assert set(found.marks.values()) == {1}
    assert len(found.marks) == sum(figure["replayed"] for figure in figures) == LETTERS
    assert found.in_order()


async def test_one_that_wakes_up_after_another_took_over_publishes_nothing_twice(
    replays: Replays,
) -> None:
    await write_letters(replays.settings, LETTERS, customers=CUSTOMERS)
    frozen = await replays.start("--all", "--rate", "600", name="a")
    await replays.reach(LETTERS // 4, frozen)
    frozen.signal(signal.SIGSTOP)
    try:
        assert await replays.published() < LETTERS
        other = await (await replays.start(name="b")).figures()
    finally:
        frozen.signal(signal.SIGCONT)
    rest = await frozen.figures()

    found = await books(replays.settings)
    assert set(found.marks.values()) == {1}
    assert len(found.marks) == LETTERS
    assert found.in_order()
    assert other["replayed"] > 0
    assert rest["replayed"] < LETTERS


async def test_what_is_replayed_is_the_event_for_the_endpoint_that_gave_up(
    replays: Replays,
) -> None:
    await write_letters(replays.settings, 2, customers=["acme"], endpoint_id="ep_7")

    assert (await (await replays.start()).figures())["replayed"] == 2

    found = await books(replays.settings)
    events = [parse_event(record, max_bytes=MAX_BYTES) for record in found.records]
    assert [event.id for event in events] == ["acme-0", "acme-1"]
    assert {event.only_endpoint for event in events} == {"ep_7"}
    assert [event.timestamp for event in events] == [
        "2023-11-14T22:13:20.000Z",
        "2023-11-14T22:13:20.001Z",
    ]
    assert {record.partition for record in found.records} == {partition_of("acme", PARTITIONS)}


async def test_only_what_is_asked_for_is_replayed_and_what_is_no_event_never(
    replays: Replays,
) -> None:
    settings = replays.settings
    await write_letters(settings, 4, customers=["acme"])
    await write_letters(settings, 3, customers=["acme"], reason="endpoint_disabled")
    await write_letters(settings, 2, customers=["acme"], reason="json_invalid")
    await write_letters(settings, 2, customers=["other"])

    dry = await (await replays.start("--customer", "acme", "--dry-run")).figures()
    by_id = await (
        await replays.start(f"{partition_of('acme', PARTITIONS)}/1", "--rate", "0")
    ).figures()
    set_aside = await (await replays.start("--customer", "acme", "--set-aside")).figures()
    limited = await (await replays.start("--customer", "acme", "--limit", "2")).figures()
    rest = await (await replays.start("--customer", "acme")).figures()

    assert dry == {"would_replay": 7, "replayed_before": 0, "not_replayable": 2}
    assert by_id["replayed"] == 1
    assert set_aside["replayed"] == 3
    assert limited["replayed"] == 2
    assert rest == {"replayed": 1, "replayed_before": 6, "not_replayable": 2}
    found = await books(settings)
    assert {record.key for record in found.records} == {b"acme"}


async def test_accepted_events_are_replayed_once_though_the_replay_is_killed(
    replays: Replays,
) -> None:
    settings = replays.settings
    endpoint = an_endpoint("ep_1", event_types=("order.*",))
    async with Producer(settings.cluster) as producer:
        await producer.publish(
            settings.names.tenants_changelog,
            key=b"acme",
            value=settings.tenant_codec().document(a_tenant("acme", endpoint)),
        )
    await write_events(settings, 1000, customers=["acme", "c0"])
    await write_events(settings, 10, customers=["acme"], event_type="invoice.paid")
    asked = ("--accepted", "--customer", "acme", "--endpoint", "ep_1", "--since", "2023-11-14")
    begun = await replays.published()

    for point in (100, 250):
        cut_off = await replays.start(*asked, "--rate", "200")
        await replays.reach(begun + point, cut_off)
        cut_off.signal(signal.SIGKILL)
        await cut_off.gone()
    await write_events(settings, 5, customers=["acme"])
    await (await replays.start(*asked, "--rate", "0")).figures()

    found = await books(settings)
    assert set(found.marks.values()) == {1}
    # What came after it was begun has been delivered by then, and is no part of it.
    assert len(found.marks) == 500
    assert found.in_order()
    events = [parse_event(record, max_bytes=MAX_BYTES) for record in found.records]
    assert {event.customer_id for event in events} == {"acme"}
    assert {event.type for event in events} == {"order.paid"}
    assert {event.only_endpoint for event in events} == {"ep_1"}
    assert len({event.id for event in events}) == 500
    assert (await (await replays.start(*asked)).figures())["replayed"] == 0
    again = await (await replays.start(*asked, "--again", "lost twice", "--rate", "0")).figures()
    assert again["replayed"] == 505


async def test_a_topic_that_is_made_anew_knows_nothing_of_older_replays(
    replays: Replays,
) -> None:
    settings = replays.settings
    await write_letters(settings, 3, customers=["acme"])
    await (await replays.start()).figures()
    # Same places, other letters: the ledger has their timestamps.
    await make_anew(settings, partitions=PARTITIONS)
    await write_letters(settings, 3, customers=["acme"])

    assert (await (await replays.start()).figures())["replayed"] == 3
