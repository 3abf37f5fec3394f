"""One conformance suite for each port that has an implementation per runtime."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from hookseal.dead_letters.deferred_events import KafkaDeferredEvents
from hookseal.dead_letters.index import LetterIndex
from hookseal.dead_letters.replay import Replayer
from hookseal.dead_letters.writer import KafkaDeadLetters
from hookseal.delivery.ports import Clock
from hookseal.domain.command import (
    AddEndpoint,
    AddPublicKey,
    ChangeEndpoint,
    CreateTenant,
    DeleteTenant,
    RotateSecret,
)
from hookseal.domain.dead_letter import DeadLetter, added_headers
from hookseal.domain.letter_filter import LetterFilter
from hookseal.domain.new_event import NewEvent
from hookseal.errors import ConflictError, EventIdReusedError
from hookseal.kafka import topics
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.producer import Producer
from hookseal.local.events import LocalEvents
from hookseal.local.index import LocalLetters
from hookseal.local.letters import LocalDeadLetters, LocalDeferredEvents, LocalReplays
from hookseal.local.memory_store import MemoryStore
from hookseal.local.redis_link import RedisLink
from hookseal.local.redis_store import RedisStore
from hookseal.local.tenants import LocalChanges, LocalCommands, LocalTenants
from hookseal.publishing.event_log import EventLog
from hookseal.tenants.commands import KafkaChanges, KafkaCommands
from hookseal.tenants.model import TenantsModel
from tests.brokers.reading import read_all
from tests.builders import a_record, a_registry, public_key
from tests.conditions import until
from tests.e2e.worker import Worker
from tests.fakes import RecordingObserver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from hookseal.api import ports as api
    from hookseal.config import Settings
    from hookseal.delivery import ports as engine
    from hookseal.domain.record import Record
    from hookseal.local.store import Store

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

PARTITIONS = 2
HOME = partition_of("acme", PARTITIONS)


@dataclass
class Ports:
    """The ports of one runtime."""

    events: api.Events
    changes: api.Changes
    model: api.TenantsModel
    dead_letters: engine.DeadLetters
    deferred: engine.DeferredEventStore
    letters: Any
    replays: api.Replays
    written: Callable[[], Awaitable[list[Record]]]
    applying: Callable[[], Awaitable[None]]
    """Has changes applied, where a process of its own does that."""


async def local_ports(store: Store, folder: Path, stack: AsyncExitStack) -> Ports:
    clock, observer, codec = Clock(), RecordingObserver(), a_registry()
    await store.start()
    stack.push_async_callback(store.close)
    model = LocalTenants(store, codec)
    await model.start()
    stack.push_async_callback(model.close)
    letters = LocalLetters(store, folder)
    await letters.start()
    stack.push_async_callback(letters.close)
    commands = LocalCommands(store, model, codec, on_applied=observer.command_applied, clock=clock)

    async def at_once() -> None:
        pass

    async def written() -> list[Record]:
        found: list[Record] = []
        for partition in range(store.partitions):
            found += await store.events(partition, -1, 1000, wait_s=0.001)
        return found

    return Ports(
        events=LocalEvents(store, room=1000),
        changes=LocalChanges(commands, timeout_s=10),
        model=model,
        dead_letters=LocalDeadLetters(store, observer, clock),
        deferred=LocalDeferredEvents(store, clock),
        letters=letters,
        replays=LocalReplays(store, letters),
        written=written,
        applying=at_once,
    )


async def kafka_ports(
    settings: Settings, env: dict[str, str], folder: Path, stack: AsyncExitStack
) -> Ports:
    cluster, names, codec = settings.cluster, settings.names, settings.tenant_codec()
    await topics.create(cluster, partitions=PARTITIONS)
    producer = await stack.enter_async_context(Producer(cluster))
    model = await stack.enter_async_context(TenantsModel(cluster, codec))
    events = await stack.enter_async_context(EventLog(cluster, now=time.time, timeout_s=10))
    letters = LetterIndex(cluster, folder / "index")
    await letters.start()
    stack.push_async_callback(letters.close)
    deferred = KafkaDeferredEvents(cluster, names, producer)
    stack.push_async_callback(deferred.close)
    await until(lambda: events.why_not_ready() is None)

    async def applying() -> None:
        worker = await Worker("worker", env, folder).start()
        stack.push_async_callback(worker.stop)
        await worker.ready()

    async def written() -> list[Record]:
        return [record async for record in read_all(cluster, names.events)]

    return Ports(
        events=events,
        changes=KafkaChanges(model, KafkaCommands(producer, names, codec), timeout_s=10),
        model=model,
        dead_letters=KafkaDeadLetters(producer, names, RecordingObserver()),
        deferred=deferred,
        letters=letters,
        replays=Replayer(cluster, letters, event_max_bytes=settings.event_max_bytes),
        written=written,
        applying=applying,
    )


@pytest.fixture(params=["memory", "redis", "kafka"])
async def ports(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ports]:
    # Before the loop is asked for more: these are fixtures of their own.
    settings = env = url = None
    if request.param == "kafka":
        if request.getfixturevalue("broker").kind != "apache":
            pytest.skip("proved on Apache Kafka only; this run has the embedded broker")
        settings = request.getfixturevalue("settings")
        env = request.getfixturevalue("settings_env")
    elif request.param == "redis":
        url = request.getfixturevalue("redis").url
    async with AsyncExitStack() as stack:
        if settings is not None and env is not None:
            yield await kafka_ports(settings, env, tmp_path, stack)
        elif url is not None:
            store = RedisStore(RedisLink(url, uuid4().hex), PARTITIONS)
            yield await local_ports(store, tmp_path, stack)
        else:
            yield await local_ports(MemoryStore(PARTITIONS, now=time.time), tmp_path, stack)


def draft(event_id: str, data: str = "1", customer_id: str = "acme") -> NewEvent:
    value = f'{{"type":"a.b","id":"{event_id}","data":{data}}}'.encode()
    return NewEvent(customer_id, value, event_id, "event")


def command(kind: Any, **fields: Any) -> Any:
    return kind(customer_id="acme", id=uuid4().hex, at=1.0, **fields)


class TestEvents:
    async def test_are_written_in_order_each_id_once(self, ports: Ports) -> None:
        places = await ports.events.publish_many([draft("1"), draft("2"), draft("1")])
        again = await ports.events.publish_many([draft("2"), draft("3")])

        assert [place.partition for (place,) in places] == [HOME] * 3
        assert places[0] == places[2] != places[1] == again[0]
        found = [record for record in await ports.written() if record.key == b"acme"]
        assert [record.value for record in found] == [draft(one).value for one in "123"]
        assert found[0].headers == draft("1").headers
        assert found[0].offset == places[0][0].offset

    async def test_an_id_that_stands_for_another_is_refused_with_all_of_its_batch(
        self, ports: Ports
    ) -> None:
        await ports.events.publish_many([draft("1")])

        with pytest.raises(EventIdReusedError) as refused:
            await ports.events.publish_many([draft("2"), draft("1", "2")])

        assert refused.value.index == 1
        assert len(await ports.written()) == 1

    async def test_a_broadcast_stands_on_each_partition_once(self, ports: Ports) -> None:
        places = await ports.events.publish_many([draft("1", customer_id="")])
        again = await ports.events.publish_many([draft("1", customer_id="")])

        assert places == again
        assert [place.partition for place in places[0]] == list(range(PARTITIONS))
        assert len(await ports.written()) == PARTITIONS


class TestTenants:
    @pytest.fixture(autouse=True)
    async def _applied(self, ports: Ports) -> None:
        await ports.applying()

    async def test_are_changed_and_known_at_once(self, ports: Ports) -> None:
        made = await ports.changes.submit(command(CreateTenant, name="Acme"))
        key = public_key()
        await ports.changes.submit(command(AddPublicKey, kid=key.kid, alg=key.alg, jwk=key.jwk))
        added = await ports.changes.submit(
            command(
                AddEndpoint,
                endpoint_id="ep_1",
                url="https://acme.test/",
                event_types=("*",),
                headers={"X-Secret": "CANARY"},
            )
        )

        assert made is not None
        assert added is not None
        assert (made.revision, added.revision) == (1, 3)
        assert await ports.model.settle(10)
        assert ports.model.get("acme") == added
        assert ports.model.page(None, 10) == [added]
        assert ports.model.why_not_ready() is None

    async def test_a_command_that_comes_again_answers_as_it_did(self, ports: Ports) -> None:
        create = command(CreateTenant)
        first = await ports.changes.submit(create)

        again = await ports.changes.submit(create)

        assert again == first
        with pytest.raises(ConflictError) as refused:
            await ports.changes.submit(
                CreateTenant(customer_id="acme", id=create.id, at=1.0, fingerprint="another")
            )
        assert refused.value.code == "idempotency_key_reused"

    async def test_what_cannot_be_is_refused_and_changes_nothing(self, ports: Ports) -> None:
        with pytest.raises(ConflictError) as unknown:
            await ports.changes.submit(command(DeleteTenant))
        await ports.changes.submit(command(CreateTenant))
        codes = [unknown.value.code]
        for refused in (
            command(CreateTenant),
            command(RotateSecret, endpoint_id="ep_1"),
            command(ChangeEndpoint, endpoint_id="ep_1", if_revision=9),
        ):
            with pytest.raises(ConflictError) as error:
                await ports.changes.submit(refused)
            codes.append(error.value.code)

        assert codes == ["unknown_tenant", "tenant_exists", "unknown_endpoint", "revision_conflict"]
        await ports.model.settle(10)
        tenant = ports.model.get("acme")
        assert tenant is not None
        assert tenant.revision == 1

    async def test_one_that_is_deleted_is_gone_and_may_be_made_anew(self, ports: Ports) -> None:
        await ports.changes.submit(command(CreateTenant))

        assert await ports.changes.submit(command(DeleteTenant)) is None
        await ports.model.settle(10)
        assert ports.model.get("acme") is None
        made = await ports.changes.submit(command(CreateTenant))
        assert made is not None
        assert made.revision == 1


def letter(number: int, reason: str = "attempts_exhausted", **more: Any) -> DeadLetter:
    value = b'{"type":"a.b","data":%d}' % number
    return DeadLetter(
        record=a_record(value, ("own", b"\xff"), partition=HOME, offset=number),
        reason=reason,
        error="It failed.",
        event_id=f"evt-{number}",
        failed_at=1_700_000_000.0 + number,
        key=b"acme",
        endpoint_id="ep_1",
        attempts=5,
        status=503,
        **more,
    )


class TestDeadLetters:
    async def test_come_back_as_they_were(self, ports: Ports) -> None:
        begin = await ports.deferred.end(HOME)
        for number in range(3):
            await ports.dead_letters.bury(letter(number))
        end = await ports.deferred.end(HOME)

        found = await ports.deferred.read(HOME, begin, end, lambda _: True)
        some = await ports.deferred.read(HOME, begin + 1, end - 1, lambda _: True)

        assert (begin, end, found.next) == (0, 3, 3)
        assert [(one.key, one.value, one.headers) for one in found.letters] == [
            (b"acme", letter(number).record.value, letter(number).headers()) for number in range(3)
        ]
        assert [one.offset for one in some.letters] == [1]

    async def test_are_listed_by_what_they_are(self, ports: Ports) -> None:
        for number in range(4):
            await ports.dead_letters.bury(letter(number))
        await ports.dead_letters.bury(letter(4, "endpoint_gone"))

        await ports.letters.catch_up(timeout_s=10)
        wanted = LetterFilter(customer_id="acme", reasons=frozenset({"attempts_exhausted"}))
        first = await ports.letters.page(wanted, order="oldest", limit=3)
        rest = await ports.letters.page(wanted, order="oldest", limit=3, cursor=first.next_cursor)

        assert [one.event_id for one in (*first.letters, *rest.letters)] == [
            f"evt-{number}" for number in range(4)
        ]
        assert rest.next_cursor is None
        document = first.letters[0].document()
        assert (document["event_type"], document["status"], document["attempts"]) == ("a.b", 503, 5)
        assert (await ports.letters.page(LetterFilter(customer_id="other"), limit=9)).letters == []

    async def test_are_replayed_once_but_for_what_is_settled(self, ports: Ports) -> None:
        for number in range(4):
            await ports.dead_letters.bury(letter(number))
        found = await ports.deferred.read(HOME, 0, 4, lambda _: True)
        await ports.deferred.settle(HOME, [found.letters[2]])
        everything = LetterFilter(customer_id="acme")
        await ports.letters.catch_up(timeout_s=10)

        plan = await ports.replays.plan(everything)
        some = await ports.replays.replay(everything, limit=1)
        rest = await ports.replays.replay(everything)
        none = await ports.replays.replay(everything)

        assert (plan.to_replay, plan.replayed) == (3, 1)
        assert (some, rest, none) == (1, 2, 0)
        written = await ports.written()
        assert [record.value for record in written] == [
            letter(number).record.value for number in (0, 1, 3)
        ]
        assert {record.partition for record in written} == {HOME}
        assert added_headers(written[0].headers)["endpoint-id"] == "ep_1"
        assert written[0].headers[0] == ("own", b"\xff")
        listed = await ports.letters.page(everything, limit=9)
        assert all(one.replayed_at_ms is not None for one in listed.letters)


async def test_the_clock_is_the_system_s() -> None:
    clock = Clock()
    before, began = time.time(), time.monotonic()

    told = clock.now()
    await clock.sleep(0.01)

    assert before <= told <= time.time()
    assert time.monotonic() - began >= 0.01
    draws = [clock.draw() for _ in range(1000)]
    assert 0 <= min(draws) < 0.1
    assert 0.9 < max(draws) < 1
