"""`hookseal local` on its own: what it promises, and what it refuses."""

from __future__ import annotations

import asyncio
import base64
import os
import random
import signal
from collections import Counter
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.e2e.customer import Customer
from tests.e2e.local import Local, local_env
from tests.e2e.process import Process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from hookseal.local.redis_link import RedisLink
    from tests.e2e.api import Api
    from tests.redis_server import RedisServer

pytestmark = pytest.mark.timeout(170)

MEMORY = "memory://"


class Place:
    """Processes of one test, and their customers."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder = folder
        self.env: dict[str, str] = {}
        self._stack = stack

    async def local(self, name: str, *options: str, **env: str) -> Local:
        process = Local(name, {**self.env, **env}, self.folder, *options)
        self._stack.push_async_callback(self._stop, process)
        await process.start()
        await process.ready()
        return process

    async def refused(self, *options: str, **env: str) -> tuple[int, str]:
        """Start one that must end by itself; return its exit status and what it said."""
        process = Local("refused", {**self.env, **env}, self.folder, *options)
        await Process.start(process)
        status = await process.ended()
        return status, process.tail()

    async def customer(self, api: Api, customer_id: str) -> Customer:
        customer = await self._stack.enter_async_context(Customer(api, customer_id))
        await customer.subscribe()
        await customer.add_key()
        await customer.add_endpoint("*")
        return customer

    @staticmethod
    async def _stop(process: Local) -> None:
        if hasattr(process, "url"):
            await process.stop()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        yield Place(tmp_path, stack)


async def publish(api: Api, customer_id: str, *numbers: int) -> None:
    events = [
        {
            "customer_id": customer_id,
            "type": "order.paid",
            "id": f"{customer_id}-{number}",
            "data": {"number": number},
        }
        for number in numbers
    ]
    await api.do("POST", "/v1/events", events)


def numbers(customer: Customer) -> list[int]:
    return [event.data["number"] for event in customer.got("order.paid")]


def first_of_each(found: list[int]) -> list[int]:
    return list(dict.fromkeys(found))


class TestMemory:
    async def test_a_full_queue_is_told_and_empties_itself(self, place: Place) -> None:
        place.env = local_env(MEMORY)
        # None of them is given up while the queue is to be full.
        again = ",".join(["0.1", *["0.5"] * 40])
        local = await place.local("a", HOOKSEAL_QUEUE_MAX_EVENTS="5", HOOKSEAL_RETRY_DELAYS_S=again)
        acme = await place.customer(local, "acme")
        acme.status = 503
        await publish(local, "acme", *range(5))

        status, problem = await local.ask(
            "POST",
            "/v1/events",
            {"customer_id": "acme", "type": "order.paid", "data": {"number": 5}},
        )
        retry_after = local.retry_after
        acme.status = 200
        await acme.until(lambda: len(acme.events) == 5)

        assert (status, problem["code"]) == (503, "queue_full")
        assert int(retry_after or "") > 0
        await local.eventually(
            "POST",
            "/v1/events",
            {"customer_id": "acme", "type": "order.paid", "data": {"number": 5}},
        )
        await acme.until(lambda: len(acme.events) == 6)

    async def test_what_is_left_is_reported(self, place: Place) -> None:
        place.env = local_env(MEMORY)
        local = await place.local("a", HOOKSEAL_RETRY_DELAYS_S="3600")
        acme = await place.customer(local, "acme")
        acme.status = 503
        await publish(local, "acme", 0, 1)

        await local.stop()

        assert local.returncode == 0
        assert "Lost with this process: 2 events, 0 dead letters, 1 tenants" in local.tail()

    async def test_what_is_left_is_spooled_and_goes_on(self, place: Place) -> None:
        place.env = local_env(MEMORY)
        spool = place.folder / "left.spool"
        options = ("--spool", str(spool), "--ordering", "customer")
        local = await place.local(
            "a", *options, HOOKSEAL_RETRY_DELAYS_S="0", HOOKSEAL_SUSPEND_AFTER="0"
        )
        acme = await place.customer(local, "acme")
        acme.status = 503
        await publish(local, "acme", 0, 1)
        path = f"{acme.path}/dead-letters"
        async with asyncio.timeout(30):
            while len((await local.do("GET", path))["items"]) < 2:
                pass
        (row,) = (await local.do("GET", "/v1/dead-letters/stats"))["items"]
        first = (await local.do("GET", "/v1/dead-letters?order=oldest&limit=1"))["items"][0]
        async with asyncio.timeout(30):
            # The delivery log is written a moment after the letter.
            shown = await local.do("GET", f"/v1/dead-letters/{first['id']}?reveal=true")
            while len(shown["history"]) < first["attempts"]:
                shown = await local.do("GET", f"/v1/dead-letters/{first['id']}?reveal=true")
        await local.do("POST", f"{path}/replay", {"limit": 1})
        async with asyncio.timeout(30):
            while len((await local.do("GET", path))["items"]) < 3:
                pass
        await local.stop()
        assert spool.stat().st_mode & 0o777 == 0o600

        again = await place.local("b", *options, HOOKSEAL_RETRY_DELAYS_S="3600")
        await publish(again, "acme", 2, 3)
        await again.stop()
        third = await place.local("c", *options)
        acme.status = 200
        acme.api = third
        await acme.until(lambda: len(acme.events) == 2)
        listed = await third.do("GET", f"{path}?order=oldest")
        done = await third.do("POST", f"{path}/replay", {})
        await acme.until(lambda: len(acme.events) == 4)

        assert (row["customer_id"], row["count"]) == ("acme", 2)
        assert (shown["customer_id"], shown["event_id"]) == ("acme", first["event_id"])
        assert first["event_id"] in shown["event"]
        assert [one["code"] for one in shown["history"]] == ["http_503"] * first["attempts"]
        assert numbers(acme)[:2] == [2, 3]
        assert [one["replayed_at"] is None for one in listed["items"]] == [False, True, True]
        assert done["replayed"] == 2
        assert not spool.exists()
        assert "2 events were read from left.spool." in third.tail()

    async def test_one_event_after_the_other_on_request(self, place: Place) -> None:
        place.env = local_env(MEMORY)
        local = await place.local("a", "--ordering", "sequential", HOOKSEAL_RETRY_DELAYS_S="3600")
        acme, other = [await place.customer(local, name) for name in ("acme", "other")]
        acme.status = 503
        await publish(local, "acme", 0)
        await publish(local, "other", 0)
        async with asyncio.timeout(30):
            while not (await acme.do("GET", "/deliveries"))["items"]:
                pass

        await local.stop()

        assert other.events == []
        assert "2 events" in local.tail()

    async def test_a_relaxed_endpoint_holds_nobody(self, place: Place) -> None:
        place.env = local_env(MEMORY)
        local = await place.local("a", "--ordering", "sequential", HOOKSEAL_RETRY_DELAYS_S="1")
        acme, other = [await place.customer(local, name) for name in ("acme", "other")]
        (endpoint,) = (await acme.do("GET", "/endpoints"))["items"]
        await acme.do("PATCH", f"/endpoints/{endpoint['id']}", {"ordering": "endpoint"})
        acme.status = 503
        await publish(local, "acme", *range(20))
        await publish(local, "other", *range(20))
        await other.until(lambda: len(other.events) == 20)
        await acme.until(lambda: acme.refused > 0)
        acme.status = 200
        await acme.until(lambda: len(acme.events) == 20)

        assert first_of_each(numbers(acme)) == numbers(other) == list(range(20))

    async def test_nobody_waits_for_a_customer_that_fails(self, place: Place) -> None:
        place.env = local_env(MEMORY)
        local = await place.local("a", HOOKSEAL_RETRY_DELAYS_S="3600")
        acme, other = [await place.customer(local, name) for name in ("acme", "other")]
        acme.status = 503
        await publish(local, "acme", *range(20))
        await publish(local, "other", *range(20))
        await acme.until(lambda: acme.refused == 1)
        await other.until(lambda: len(other.events) == 20)

    async def test_keys_are_made_where_nothing_outlives_them(self, place: Place) -> None:
        place.env = local_env(MEMORY)
        for name in ("HOOKSEAL_MASTER_KEY", "HOOKSEAL_ADMIN_KEY"):
            place.env[name] = ""
        local = await place.local("a")
        key = next(line for line in local.lines if line.startswith("HOOKSEAL_ADMIN_KEY="))

        await local.do(
            "POST", "/v1/tenants", {"customer_id": "acme"}, key=key.partition("=")[2].split()[0]
        )


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "env", "code"),
        [
            ((), {"HOOKSEAL_ORDERING": "partition"}, "ordering_unsupported"),
            ((), {"HOOKSEAL_QUEUE_URL": "http://redis"}, "settings_invalid"),
            ((), {"HOOKSEAL_QUEUE_URL": "redis://127.0.0.1:1/0"}, "redis_unreachable"),
            (("--spool", "x"), {"HOOKSEAL_QUEUE_URL": "redis://127.0.0.1:1/0"}, "options_conflict"),
            (("--spool", "/nowhere/x"), {}, "spool_unusable"),
            (("--spool", "x"), {"HOOKSEAL_MASTER_KEY": ""}, "master_key_missing"),
            (("--host", "192.0.2.1"), {}, "port_unavailable"),
            (("--queue", "redis://:CANARY@127.0.0.1:1/0"), {}, "redis_unreachable"),
            (("--queue", "redis://:CANARY@h:port/0"), {}, "settings_invalid"),
        ],
    )
    async def test_what_cannot_be_is_refused_at_start(
        self, place: Place, options: tuple[str, ...], env: dict[str, str], code: str
    ) -> None:
        place.env = local_env(MEMORY)

        status, said = await place.refused(*options, **env)

        assert status != 0
        assert code in said
        assert "Traceback" not in said
        assert "CANARY" not in said

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"\xff",
            b"{}\n",
            b'{"type":"head","version":1,"partitions":1}\n',
            b'{"type":"head","version":2,"partitions":1}\n{"type":"settled","offsets":[[]]}\n',
            b'{"type":"head","version":1,"partitions":9}\n{"type":"settled","offsets":[[]]}\n',
        ],
    )
    async def test_a_spool_that_is_none_is_left_alone(self, place: Place, text: bytes) -> None:
        place.env = local_env(MEMORY)
        spool = place.folder / "x.spool"
        spool.write_bytes(text)

        status, said = await place.refused("--spool", str(spool))

        assert status != 0
        assert "spool_invalid" in said
        assert spool.read_bytes() == text


def _has(customer: Customer, expected: set[int]) -> bool:
    return expected <= set(numbers(customer))


class Load:
    """Publishes for some customers all the time, through whichever process takes it."""

    def __init__(self, customers: list[Customer], apis: Callable[[], list[Local]]) -> None:
        self.customers = customers
        self.published: Counter[str] = Counter()
        self._apis = apis

    async def run(self, count: int) -> None:
        """Publish so many events for each customer, in order."""
        for number in range(count):
            for customer in self.customers:
                await self._publish(customer.customer_id, number)

    async def _publish(self, customer_id: str, number: int) -> None:
        body = {
            "customer_id": customer_id,
            "type": "order.paid",
            "id": f"{customer_id}-{number}",
            "data": {"number": number},
        }
        async with asyncio.timeout(60):
            while True:
                for api in self._apis():
                    try:
                        status, _ = await api.ask("POST", "/v1/events", body)
                    except (aiohttp.ClientError, OSError, RuntimeError):
                        # It was killed, and its session closed.
                        continue
                    if status == 202:
                        self.published[customer_id] += 1
                        return
                await asyncio.sleep(0.01)

    async def all_there(self, timeout_s: float = 90) -> None:
        """Wait until each customer has each of its events."""
        for customer in self.customers:
            expected = set(range(self.published[customer.customer_id]))
            await customer.until(partial(_has, customer, expected), timeout_s)

    def repeats(self) -> int:
        return sum(len(numbers(one)) - len(set(numbers(one))) for one in self.customers)


def _holds(member: Local, count: int) -> bool:
    return len(member.partitions) == count


class TestRedis:
    @pytest.mark.extended
    async def test_a_kill_at_any_moment_loses_nothing(
        self, place: Place, redis: RedisServer
    ) -> None:
        place.env = {**local_env(redis.url), "HOOKSEAL_GROUP_INSTANCE_ID": "one"}
        local = await place.local("p0", "--ordering", "customer")
        customers = [await place.customer(local, f"c{number}") for number in range(6)]
        current = [local]
        load = Load(customers, lambda: current)
        chance = random.Random(7)  # noqa: S311
        publishing = asyncio.create_task(load.run(250))

        for kill in range(1, 21):
            await asyncio.sleep(chance.uniform(0.0, 0.4))
            current[0].kill()
            await current[0].ended()
            await current[0]._session.close()
            current = []
            current = [await place.local(f"p{kill}", "--ordering", "customer")]
        await publishing
        await load.all_there()

        print(f"20 kills, {load.published.total()} events: 0 lost, {load.repeats()} repeats")  # noqa: T201
        for customer in customers:
            assert first_of_each(numbers(customer)) == list(range(250))
        assert load.repeats() < load.published.total() / 10

    async def test_a_redis_that_is_killed_and_comes_back_costs_nothing(
        self, place: Place, own_redis: RedisServer
    ) -> None:
        place.env = local_env(own_redis.url)
        local = await place.local("a", "--ordering", "customer", HOOKSEAL_API_MAX_STALENESS_S="2")
        customers = [await place.customer(local, f"c{number}") for number in range(4)]
        load = Load(customers, lambda: [local])
        publishing = asyncio.create_task(load.run(150))
        await customers[0].until(lambda: len(customers[0].events) > 20)

        for _ in range(2):
            own_redis.kill()
            await local.until_unavailable(
                "POST", "/v1/events", {"customer_id": "c0", "type": "order.tried", "data": 1}
            )
            assert (await local.ask("GET", "/healthz"))[0] == 200
            assert (await local.ask("GET", "/readyz"))[0] == 503
            own_redis.start()
            await local.ready()
        own_redis.freeze()
        await asyncio.sleep(1)
        own_redis.thaw()
        await publishing
        await load.all_there()

        for customer in customers:
            assert first_of_each(numbers(customer)) == list(range(150))

    async def test_processes_share_the_work_in_order(
        self, place: Place, redis: RedisServer
    ) -> None:
        place.env = local_env(redis.url)
        members = [await place.local(name, "--ordering", "customer") for name in "abc"]
        for member in members:
            await member.until(partial(_holds, member, 2))
        assert sorted(one for member in members for one in member.partitions) == list(range(6))
        customers = [await place.customer(members[0], f"c{number}") for number in range(12)]
        living = list(members)
        load = Load(customers, lambda: living)
        publishing = asyncio.create_task(load.run(120))
        await customers[0].until(lambda: len(customers[0].events) > 10)

        # One is killed, one is frozen for longer than its lease, one ends politely and one joins.
        members[1].kill()
        living.remove(members[1])
        await customers[0].until(lambda: len(customers[0].events) > 25)
        living.remove(members[2])
        os.kill(members[2].pid, signal.SIGSTOP)
        await members[0].until(lambda: len(members[0].partitions) == 6)
        os.kill(members[2].pid, signal.SIGCONT)
        joined = await place.local("d", "--ordering", "customer")
        living.append(joined)
        await joined.until(lambda: len(joined.partitions) == 2)
        await members[2].stop()
        await publishing
        await load.all_there()

        print(f"{load.published.total()} events: 0 lost, {load.repeats()} repeats")  # noqa: T201
        for customer in customers:
            assert first_of_each(numbers(customer)) == list(range(120))

    async def test_one_event_after_the_other_over_all_processes(
        self, place: Place, redis: RedisServer
    ) -> None:
        place.env = local_env(redis.url)
        members = [await place.local(name, "--ordering", "sequential") for name in "ab"]
        customers = [await place.customer(members[1], f"c{number}") for number in range(3)]
        arrived: list[str] = []
        for customer in customers:
            customer.arrived = arrived
        (holder,) = [one for one in members if one.partitions == [0]]
        (other,) = [one for one in members if one is not holder]
        body = [
            {
                "customer_id": customer.customer_id,
                "type": "order.paid",
                "id": f"{customer.customer_id}-{number}",
                "data": {"number": number},
            }
            for number in range(100)
            for customer in customers
        ]

        await other.do("POST", "/v1/events", body)
        await customers[0].until(lambda: len(arrived) > 50)
        holder.kill()
        await customers[2].until(lambda: len(set(arrived)) == 300)

        assert list(dict.fromkeys(arrived)) == [event["id"] for event in body]
        assert other.partitions == [0]

    async def test_a_master_key_is_exchanged(self, place: Place, redis: RedisServer) -> None:
        place.env = local_env(redis.url)
        old = place.env["HOOKSEAL_MASTER_KEY"]
        new = base64.b64encode(b"n" * 32).decode()
        first = await place.local("a")
        await place.customer(first, "acme")
        await first.stop()

        both = {"HOOKSEAL_MASTER_KEY": new, "HOOKSEAL_MASTER_KEY_PREVIOUS": old}
        second = await place.local("b", **both)
        await second.until(lambda: bool(second.events("tenants.reencrypted")))
        await second.stop()
        third = await place.local("c", HOOKSEAL_MASTER_KEY=new)

        found = await third.do("GET", "/v1/tenants/acme")
        assert len(found["endpoints"]) == 1
        assert third.events("tenants.unauthenticated_record") == []

    async def test_a_change_is_known_to_all_processes(
        self, place: Place, redis: RedisServer
    ) -> None:
        place.env = local_env(redis.url)
        a, b = [await place.local(name) for name in "ab"]
        acme = await place.customer(a, "acme")

        found = await b.do("GET", "/v1/tenants/acme")
        changes = await asyncio.gather(
            *(
                api.do("PATCH", "/v1/tenants/acme", {"enabled": enabled})
                for api in (a, b)
                for enabled in (True, False)
            )
        )
        await b.do("DELETE", "/v1/tenants/acme")

        assert found["endpoints"][0]["url"] == acme.url
        # One after the other, whichever process: no change is lost.
        assert sorted(change["revision"] for change in changes) == list(
            range(found["revision"] + 1, found["revision"] + 5)
        )
        await a.until_missing("GET", "/v1/tenants/acme")
        assert (await a.ask("GET", f"{acme.path}/endpoints", key=acme.api_key))[0] == 401

    async def test_nothing_readable_or_forged_passes(
        self, place: Place, redis: RedisServer, connect: Callable[..., RedisLink]
    ) -> None:
        place.env = {**local_env(redis.url), "HOOKSEAL_SEAL_AT_REST": "true"}
        local = await place.local("a", HOOKSEAL_RETRY_DELAYS_S="3600")
        acme = await place.customer(local, "acme")
        acme.status = 503
        link = connect(redis.url, place.env["HOOKSEAL_TOPIC_PREFIX"])
        body = {"customer_id": "acme", "type": "order.paid", "data": "CANARYpayload"}
        await local.do("POST", "/v1/events", body)
        stored = b"".join(
            [
                repr(await link.client.xrange(key)).encode()
                async for key in link.client.scan_iter(link.prefix + "events:*")
            ]
        )
        await link.client.hset(link.key("tenants"), "acme", b'{"customer_id":"acme","v":1}')
        await link.client.xadd(link.key("tenant-changes"), {"c": "acme"}, id="0-*")

        await local.until_missing("GET", "/v1/tenants/acme")

        assert b"order.paid" in stored
        assert b"CANARY" not in stored
        assert base64.b64encode(b"CANARYpayload") not in stored
