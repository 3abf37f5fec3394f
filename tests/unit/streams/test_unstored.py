"""What becomes of a change to a tenant that Kafka refuses to store."""

from __future__ import annotations

import asyncio
import weakref
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiokafka.errors import (
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotEnoughReplicasError,
    TopicAuthorizationFailedError,
)
from faust.exceptions import ProducerSendError
from faust.streams import _current_event
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from prometheus_client import REGISTRY

from hookseal.domain.command import (
    Command,
    CreateTenant,
    DisableTenant,
    EnableTenant,
    apply,
    command_result,
)
from hookseal.errors import ConflictError
from hookseal.kafka.partitioner import partition_of
from streams.consumer import OffsetTrackingTransport
from streams.faust_patches.producer_errors import ReportingProducer
from tests.builders import a_registry, a_tenant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hookseal.domain.tenant import Tenant
    from streams.faust_app import HooksealApp

PARTITIONS = 6


class Table:
    """The tenants table, with the writes to its changelog in the test's hand."""

    def __init__(self, app: HooksealApp) -> None:
        self._app = app
        self.tenants = app.lifecycle.tenants
        self.changed: list[tuple[str, int]] = []
        self.tenants.on_change = lambda *what: self.changed.append(what)
        self._refused_before = self._refused_ever()

    @property
    def refused(self) -> float:
        """How many writes were refused since the table was made."""
        return self._refused_ever() - self._refused_before

    def _refused_ever(self) -> float:
        return REGISTRY.get_sample_value("hookseal_tenant_writes_refused_total") or 0.0

    def run(self, command: Command) -> asyncio.Future[str]:
        before = self.tenants.get(command.customer_id)
        return self.tenants.put(command.customer_id, apply(before, command), command)

    def written(self) -> Any:
        """Return the next record for the changelog."""
        return self._app.producer.buffer.pending.get_nowait()

    @property
    def is_idle(self) -> bool:
        return bool(self._app.producer.buffer.pending.empty())


@pytest.fixture
def table(app: HooksealApp) -> Iterator[Table]:
    # Faust's table is written to in the course of an event.
    partition = partition_of("acme", PARTITIONS)
    tp = TP("tenant-commands", partition)
    message = SimpleNamespace(topic=tp.topic, partition=partition, offset=0, tp=tp)
    event = cast("Any", Event(message))
    reset = _current_event.set(weakref.ref(event))
    yield Table(app)
    _current_event.reset(reset)


class Event:
    """As much of Faust's as its table asks for."""

    def __init__(self, message: Any) -> None:
        self.message = message


def of(kind: type[Any], number: int) -> Any:
    return kind(customer_id="acme", id=f"c{number}", at=1.0, fingerprint="f")


async def settled(*futures: asyncio.Future[str]) -> list[str]:
    return await asyncio.wait_for(asyncio.gather(*futures), 5)


async def stored(table: Table, tenant: Tenant) -> None:
    """Have the changelog hold this tenant."""
    done = table.tenants.put("acme", tenant, of(CreateTenant, 0))
    table.written().set_result(None)
    assert await settled(done) == ["ok"]
    table.changed.clear()


class TestStored:
    async def test_says_ok_once_the_changelog_has_it(self, table: Table) -> None:
        done = table.run(of(CreateTenant, 1))
        await asyncio.sleep(0)
        assert not done.done()

        table.written().set_result(None)

        assert await settled(done) == ["ok"]
        assert table.refused == 0


class TestRefused:
    async def test_the_tenant_is_as_it_was_and_the_sender_reads_a_code(self, table: Table) -> None:
        await stored(table, a_tenant())
        command = of(DisableTenant, 1)
        done = table.run(command)

        table.written().set_exception(MessageSizeTooLargeError())
        await asyncio.sleep(0)
        refusal = table.written()
        refusal.set_result(None)

        assert await settled(done) == ["change_not_stored"]
        after = table.tenants.get("acme")
        assert after is not None
        assert after.enabled
        assert after.revision == a_tenant().revision
        assert a_registry().tenant_in(b"acme", refusal.message.value) == after
        with pytest.raises(ConflictError, match="change_not_stored"):
            command_result(after, command)
        assert table.refused == 1
        assert table.changed == [("acme", partition_of("acme", PARTITIONS))] * 2

    async def test_a_refusal_that_cannot_be_stored_either_ends_it(self, table: Table) -> None:
        await stored(table, a_tenant())
        done = table.run(of(DisableTenant, 1))

        for _ in range(2):
            table.written().set_exception(TopicAuthorizationFailedError())
            await asyncio.sleep(0)

        assert await settled(done) == ["change_not_stored"]
        assert table.tenants.get("acme") == a_tenant()
        assert table.is_idle

    async def test_a_tenant_that_was_not_created_is_not_there(self, table: Table) -> None:
        done = table.run(of(CreateTenant, 1))

        table.written().set_exception(TopicAuthorizationFailedError())

        assert await settled(done) == ["change_not_stored"]
        assert table.tenants.get("acme") is None
        assert table.is_idle

    async def test_a_tenant_that_was_not_deleted_is_there_again(self, table: Table) -> None:
        await stored(table, a_tenant())
        done = table.tenants.put("acme", None, of(DisableTenant, 1))
        assert table.tenants.get("acme") is None

        table.written().set_exception(TopicAuthorizationFailedError())
        await asyncio.sleep(0)
        table.written().set_result(None)

        assert await settled(done) == ["change_not_stored"]
        assert table.tenants.get("acme") is not None

    async def test_a_later_write_that_is_stored_brings_the_change_along(self, table: Table) -> None:
        await stored(table, a_tenant())
        first, second = table.run(of(DisableTenant, 1)), table.run(of(CreateTenant, 2))

        table.written().set_exception(MessageSizeTooLargeError())
        await asyncio.sleep(0)
        assert not first.done()
        table.written().set_result(None)

        assert await settled(first, second) == ["ok", "ok"]
        after = table.tenants.get("acme")
        assert after is not None
        assert not after.enabled
        assert table.refused == 0

    async def test_all_that_were_refused_are_undone_together(self, table: Table) -> None:
        await stored(table, a_tenant())
        futures = [
            table.run(of(kind, n)) for n, kind in enumerate((DisableTenant, EnableTenant), 1)
        ]

        for _ in futures:
            table.written().set_exception(TopicAuthorizationFailedError())
        await asyncio.sleep(0)
        table.written().set_result(None)

        assert await settled(*futures) == ["change_not_stored"] * 2
        after = table.tenants.get("acme")
        assert after is not None
        assert [result.code for result in after.recent][-2:] == ["change_not_stored"] * 2
        assert after.revision == a_tenant().revision

    async def test_a_change_on_top_of_the_refusal_keeps_it(self, table: Table) -> None:
        await stored(table, a_tenant())
        first = table.run(of(DisableTenant, 1))
        table.written().set_exception(MessageSizeTooLargeError())
        await asyncio.sleep(0)
        second = table.run(of(DisableTenant, 2))

        table.written().set_exception(MessageSizeTooLargeError())
        await asyncio.sleep(0)
        table.written().set_result(None)

        assert await settled(first, second) == ["change_not_stored", "ok"]
        after = table.tenants.get("acme")
        assert after is not None
        assert [after.result_of(f"c{n}") for n in (1, 2)] == ["change_not_stored", "ok"]

    async def test_what_may_work_after_a_restart_is_an_error_as_before(self, table: Table) -> None:
        done = table.run(of(CreateTenant, 1))

        table.written().set_exception(NotEnoughReplicasError())

        with pytest.raises(NotEnoughReplicasError):
            await asyncio.wait_for(done, 5)
        assert table.refused == 0

    async def test_nothing_is_undone_on_a_partition_that_went_away(self, table: Table) -> None:
        await stored(table, a_tenant())
        done = table.run(of(DisableTenant, 1))
        table.tenants.keep_only(set())

        table.written().set_exception(TopicAuthorizationFailedError())
        await asyncio.wait([done], timeout=5)

        assert done.cancelled()
        assert table.refused == 0
        assert table.is_idle


class Refusing:
    """An aiokafka producer that refuses at once."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def send(self, *_: Any, **__: Any) -> None:
        raise self._error


class TestReportingProducer:
    @pytest.mark.parametrize("error", [MessageSizeTooLargeError(), KafkaTimeoutError()])
    async def test_the_error_is_the_record_s_and_not_the_worker_s(
        self, app: HooksealApp, error: Exception
    ) -> None:
        producer = cast("Any", app.producer)
        producer._producer = Refusing(error)

        sent = await producer.send("topic", b"key", b"value", 0, None, None)

        assert type(producer) is ReportingProducer
        assert (await asyncio.gather(sent, return_exceptions=True))[0] is error

    async def test_faust_by_itself_raises_it(self, app: HooksealApp) -> None:
        producer = cast("Any", driver.Producer(OffsetTrackingTransport([], app)))
        producer._producer = Refusing(MessageSizeTooLargeError())

        with pytest.raises(ProducerSendError):
            await producer.send("topic", b"key", b"value", 0, None, None)
