from __future__ import annotations

from agents.tenants import ApplyCommand
from hookseal.domain import command as commands
from hookseal.domain.command import CreateTenant, DeleteTenant, DisableTenant
from hookseal.domain.record import Record
from tests.builders import a_tenant
from tests.fakes import FakeTenants, RecordingObserver


def on_topic(command: commands.Command, key: bytes = b"acme") -> Record:
    return Record("tenant-commands", 0, 0, key, commands.encode(command))


class TestApplyCommand:
    async def test_writes_the_tenant_and_says_when_it_is_safe(self) -> None:
        table, observer = FakeTenants(), RecordingObserver()
        apply = ApplyCommand(table=table, watcher=observer)

        written = apply(on_topic(CreateTenant(customer_id="acme", id="c", at=1.0)))

        assert written is not None
        await written
        assert table.held["acme"].result_of("c") == "ok"
        assert observer.commands == [("CreateTenant", "ok")]

    async def test_deletes(self) -> None:
        table = FakeTenants(a_tenant())
        apply = ApplyCommand(table=table, watcher=RecordingObserver())

        apply(on_topic(DeleteTenant(customer_id="acme", id="c", at=1.0)))

        assert table.held == {}

    async def test_writes_nothing_for_a_tenant_there_is_not(self) -> None:
        table, observer = FakeTenants(), RecordingObserver()
        apply = ApplyCommand(table=table, watcher=observer)

        written = apply(on_topic(DisableTenant(customer_id="acme", id="c", at=1.0)))

        assert written is None
        assert observer.commands == [("DisableTenant", "unknown_tenant")]

    async def test_writes_nothing_when_a_command_comes_twice(self) -> None:
        table = FakeTenants()
        apply = ApplyCommand(table=table, watcher=RecordingObserver())
        record = on_topic(CreateTenant(customer_id="acme", id="c", at=1.0))
        apply(record)

        assert apply(record) is None

    async def test_skips_what_is_no_command(self) -> None:
        table, observer = FakeTenants(), RecordingObserver()
        apply = ApplyCommand(table=table, watcher=observer)

        for value in (None, b"", b"nonsense", b"{}"):
            assert apply(Record("tenant-commands", 0, 0, b"acme", value)) is None

        assert observer.invalid == ["command_invalid"] * 4

    async def test_refuses_a_command_under_a_foreign_key(self) -> None:
        table, observer = FakeTenants(), RecordingObserver()
        apply = ApplyCommand(table=table, watcher=observer)

        written = apply(on_topic(CreateTenant(customer_id="acme", id="c", at=1.0), key=b"evil"))

        assert written is None
        assert observer.invalid == ["command_key"]
        assert table.held == {}
