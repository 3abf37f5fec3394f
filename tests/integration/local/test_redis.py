"""What only a Redis can do: be another one's, be away, be set up wrong."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from hookseal.errors import BrokerError, ConfigurationError
from hookseal.local.leases import RedisLeases
from hookseal.local.redis_link import RedisLink
from hookseal.local.redis_store import RedisStore
from hookseal.local.store import Write
from tests.conditions import until
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


async def fill(store: RedisStore) -> None:
    for _ in range(100):
        await store.publish([Write(0, b"k", b"x" * 100_000)], room=None)


class TestStart:
    async def test_another_number_of_partitions_is_refused(
        self, link_of: Callable[[], RedisLink]
    ) -> None:
        await RedisStore(link_of(), 4).start()

        with pytest.raises(ConfigurationError) as refused:
            await RedisStore(link_of(), 6).start()

        assert (refused.value.code, refused.value.field) == (
            "partitions_differ",
            "HOOKSEAL_PARTITIONS",
        )

    async def test_another_form_is_refused(self, link_of: Callable[[], RedisLink]) -> None:
        link = link_of()
        await link.client.hset(link.key("meta"), mapping={"form": "2", "partitions": "1"})

        with pytest.raises(ConfigurationError) as refused:
            await RedisStore(link, 1).start()

        assert refused.value.code == "queue_form"

    async def test_one_that_forgets_when_it_is_full_is_refused(
        self, tmp_path: Path, connect: Callable[..., RedisLink]
    ) -> None:
        options = ("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
        with (
            RedisServer(tmp_path, *options) as redis,
            pytest.raises(ConfigurationError) as refused,
        ):
            await RedisStore(connect(redis.url), 1).start()

        assert refused.value.code == "redis_evicts"

    @pytest.mark.parametrize(
        "url", ["redis://h:port/", "redis://h/?socket_timeout=no", "http://h/"]
    )
    def test_what_is_no_url_of_a_redis_is_refused(self, url: str) -> None:
        with pytest.raises(ConfigurationError) as refused:
            RedisLink(url, "")

        assert refused.value.code == "queue_invalid"

    async def test_one_that_lets_nobody_in_is_told_apart_from_one_that_is_away(
        self, tmp_path: Path, connect: Callable[..., RedisLink]
    ) -> None:
        with RedisServer(tmp_path, "--requirepass", "CANARYpassword") as redis:
            link = connect(redis.url)
            with pytest.raises(BrokerError) as refused:
                await RedisStore(link, 1).start()
        with pytest.raises(BrokerError) as away:
            await RedisStore(connect(redis.url), 1).start()

        assert (refused.value.code, away.value.code) == ("redis_refused", "redis_unreachable")

    async def test_a_full_one_takes_nothing_and_says_so(
        self, tmp_path: Path, connect: Callable[..., RedisLink]
    ) -> None:
        with RedisServer(tmp_path, "--maxmemory", "4mb") as redis:
            store = RedisStore(connect(redis.url), 1)
            await store.start()
            with pytest.raises(BrokerError) as refused:
                await fill(store)
            reason = store.why_not_ready()
            await store.close()

        assert refused.value.code == "redis_full"
        assert reason is not None


class TestAway:
    async def test_all_that_was_answered_is_there_after_a_kill(
        self, own_redis: RedisServer, connect: Callable[..., RedisLink]
    ) -> None:
        store = RedisStore(connect(own_redis.url), 1)
        await store.start()
        await store.publish([Write(0, b"k", b"v")] * 3, room=None)
        await store.finish(0, [0])

        own_redis.kill()
        with pytest.raises(BrokerError) as away:
            await store.publish([Write(0, b"k", b"v")], room=None)
        reason = store.why_not_ready()
        own_redis.start()

        assert away.value.code == "redis_unreachable"
        assert reason is away.value
        assert [one.offset for one in await store.events(0, -1, 10, wait_s=1)] == [1, 2]
        assert store.why_not_ready() is None
        await store.close()


class Crew:
    """Processes that share partitions, and let go of what they should at once."""

    def __init__(self, link_of: Callable[[], RedisLink]) -> None:
        self._link_of = link_of
        self.started: list[RedisLeases] = []

    async def join(self, name: str = "") -> RedisLeases:
        leases = RedisLeases(self._link_of(), 6, lease_s=1.5, heartbeat_s=0.1, name=name)
        await leases.start(lambda: None)
        self.started.append(leases)
        return leases

    async def fair(self, *members: RedisLeases) -> None:
        """Wait until these hold all partitions, each its share."""
        share = 6 // len(members)
        async with asyncio.timeout(20):
            while not all(len(one.held) == share for one in members):
                for one in members:
                    await one.release(range(6))
                await asyncio.sleep(0.02)
        held = [partition for one in members for partition in one.held]
        assert sorted(held) == list(range(6))


@pytest.fixture
async def crew(link_of: Callable[[], RedisLink]) -> AsyncIterator[Crew]:
    made = Crew(link_of)
    yield made
    for leases in made.started:
        await leases.close()


class TestLeases:
    async def test_are_shared_evenly_and_given_back(self, crew: Crew) -> None:
        a = await crew.join()
        await crew.fair(a)
        b, c = await crew.join(), await crew.join()
        await crew.fair(a, b, c)

        await b.close()

        await crew.fair(a, c)

    async def test_what_is_in_hand_is_not_another_s_before_it_is_released(self, crew: Crew) -> None:
        a = await crew.join()
        await crew.fair(a)
        gates = [a.gate(partition) for partition in range(6)]
        b = await crew.join()
        await until(lambda: len(a.held) == 3)

        assert b.held == {}
        assert all(gate.is_open for gate in gates)
        await a.release(range(6))
        await until(lambda: len(b.held) == 3)
        assert [gate.is_open for gate in gates].count(True) == 3

    async def test_of_one_that_is_dead_go_to_others(self, crew: Crew) -> None:
        a, b = await crew.join(), await crew.join()
        await crew.fair(a, b)
        gate = a.gate(min(a.held))

        assert a._task is not None
        a._task.cancel()
        await crew.fair(b)

        # By its own clock, before anybody told it.
        assert not a.is_sure
        assert not gate.is_open

    async def test_of_one_that_was_frozen_are_new_ones_if_another_had_them(
        self, crew: Crew
    ) -> None:
        a = await crew.join()
        await crew.fair(a)
        gate, token = a.gate(0), a.held[0]
        assert a._task is not None
        a._task.cancel()
        b = await crew.join()
        await crew.fair(b)
        await b.close()

        await a.start(lambda: None)
        await until(lambda: a.is_sure)
        await crew.fair(a)

        assert a.held[0] != token
        assert not gate.is_open
        assert a.gate(0).is_open

    async def test_of_one_that_was_frozen_go_on_if_nobody_had_them(self, crew: Crew) -> None:
        a = await crew.join()
        await crew.fair(a)
        gate, token = a.gate(0), a.held[0]
        assert a._task is not None
        a._task.cancel()
        await until(lambda: not a.is_sure)
        assert not gate.is_open

        await a.start(lambda: None)
        await gate.opened()

        assert gate.is_open
        assert a.held[0] == token

    @pytest.mark.parametrize("steps", range(12))
    async def test_can_be_closed_at_any_moment(self, crew: Crew, steps: int) -> None:
        # redis-py 8 swallows a cancellation while it connects.
        leases = await crew.join()
        for _ in range(steps):
            await asyncio.sleep(0)

        async with asyncio.timeout(10):
            await leases.close()

    async def test_a_name_that_comes_back_has_its_own_at_once(self, crew: Crew) -> None:
        before = await crew.join("a")
        await crew.fair(before)
        assert before._task is not None
        before._task.cancel()

        after = await crew.join("a")
        async with asyncio.timeout(1.0):
            await crew.fair(after)

        assert after.held[0] != before.held[0]
