from __future__ import annotations

from hookseal.domain.command import (
    AddPublicKey,
    Command,
    CreateTenant,
    DeleteTenant,
    DisableTenant,
    RemovePublicKey,
    encode,
)
from hookseal.domain.record import Record
from hookseal.seal.registry import RegistryMac
from hookseal.tenants.commands import ApplyCommand
from tests.builders import MASTER_KEY, a_record, a_registry, a_tenant, an_event, public_key
from tests.fakes import FakeNotices, FakeTenants, RecordingObserver


def on_topic(command: Command, key: bytes = b"acme") -> Record:
    value = RegistryMac([MASTER_KEY]).attach("tenant-commands", key, encode(command))
    return Record("tenant-commands", 0, 0, key, value)


def applying(
    table: FakeTenants,
    observer: RecordingObserver | None = None,
    notices: FakeNotices | None = None,
) -> ApplyCommand:
    return ApplyCommand(
        codec=a_registry(),
        table=table,
        watcher=observer or RecordingObserver(),
        notices=notices or FakeNotices(),
    )


class TestApplyCommand:
    async def test_writes_the_tenant_and_says_when_it_is_safe(self) -> None:
        table, observer = FakeTenants(), RecordingObserver()
        apply = applying(table, observer)

        written = apply(on_topic(CreateTenant(customer_id="acme", id="c", at=1.0)))

        assert written is not None
        await written
        assert table.held["acme"].result_of("c") == "ok"
        assert observer.commands == [("CreateTenant", "ok")]

    async def test_deletes(self) -> None:
        table = FakeTenants(a_tenant())
        apply = applying(table)

        apply(on_topic(DeleteTenant(customer_id="acme", id="c", at=1.0)))

        assert table.held == {}

    async def test_writes_nothing_for_a_tenant_there_is_not(self) -> None:
        table, observer = FakeTenants(), RecordingObserver()
        apply = applying(table, observer)

        written = apply(on_topic(DisableTenant(customer_id="acme", id="c", at=1.0)))

        assert written is None
        assert observer.commands == [("DisableTenant", "unknown_tenant")]

    async def test_writes_nothing_when_a_command_comes_twice(self) -> None:
        table = FakeTenants()
        apply = applying(table)
        record = on_topic(CreateTenant(customer_id="acme", id="c", at=1.0))
        apply(record)

        assert apply(record) is None

    async def test_skips_what_is_no_command(self) -> None:
        table, observer = FakeTenants(), RecordingObserver()
        apply = applying(table, observer)

        for value in (None, b"", b"nonsense", b"{}"):
            assert apply(Record("tenant-commands", 0, 0, b"acme", value)) is None

        assert observer.invalid == ["command_forged"] * 4

    async def test_skips_what_is_signed_and_no_command(self) -> None:
        observer = RecordingObserver()
        mac = RegistryMac([MASTER_KEY])

        for value in (b'{"v":1}', b'{"type":"x"}', b"{nonsense}"):
            signed = mac.attach("tenant-commands", b"acme", value)
            record = Record("tenant-commands", 0, 0, b"acme", signed)
            assert applying(FakeTenants(), observer)(record) is None

        assert observer.invalid == ["command_invalid"] * 3

    async def test_skips_what_somebody_else_wrote_or_moved(self) -> None:
        table, observer = FakeTenants(a_tenant()), RecordingObserver()
        apply = applying(table, observer)
        command = DeleteTenant(customer_id="acme", id="c", at=1.0)
        genuine = a_registry().command(command)

        assert apply(Record("tenant-commands", 0, 0, b"acme", encode(command))) is None
        assert apply(Record("tenant-commands", 0, 0, b"other", genuine)) is None

        assert observer.invalid == ["command_forged"] * 2
        assert table.held == {"acme": a_tenant()}

    async def test_refuses_a_command_under_a_foreign_key(self) -> None:
        table, observer = FakeTenants(), RecordingObserver()
        apply = applying(table, observer)

        written = apply(on_topic(CreateTenant(customer_id="acme", id="c", at=1.0), key=b"evil"))

        assert written is None
        assert observer.invalid == ["command_key"]
        assert table.held == {}


def a_new_key(command_id: str = "c") -> Record:
    jwk = public_key().jwk
    return on_topic(
        AddPublicKey(customer_id="acme", id=command_id, at=1.0, kid="key-2", alg="ECDH-ES", jwk=jwk)
    )


class TestNotices:
    async def test_another_key_is_told_to_the_owner_of_the_one_before(self) -> None:
        notices = FakeNotices()
        apply = applying(FakeTenants(a_tenant()), notices=notices)

        written = apply(a_new_key())

        assert written is not None
        await written
        (notice,) = notices.published
        event = an_event(a_record(notice.value, *notice.headers))
        assert event.type == "hookseal.key.changed"
        assert event.data == b'{"previous_kid":"key-1","kid":"key-2"}'
        assert event.seal_to is not None
        assert event.seal_to.kid == "key-1"

    async def test_the_same_one_comes_again_with_a_command_that_comes_again(self) -> None:
        notices = FakeNotices()
        apply = applying(FakeTenants(a_tenant()), notices=notices)

        for _ in range(2):
            written = apply(a_new_key())
            assert written is not None
            await written

        first, again = notices.published
        assert first == again

    async def test_so_is_the_removal_of_the_key_that_seals(self) -> None:
        notices = FakeNotices()
        apply = applying(FakeTenants(a_tenant()), notices=notices)

        written = apply(on_topic(RemovePublicKey(customer_id="acme", id="c", at=1.0, kid="key-1")))

        assert written is not None
        await written
        assert b'{"previous_kid":"key-1","kid":null}' in notices.published[0].value

    async def test_a_key_that_was_not_stored_is_told_to_nobody(self) -> None:
        table, notices = FakeTenants(a_tenant()), FakeNotices()
        table.write_ends = "change_not_stored"

        written = applying(table, notices=notices)(a_new_key())

        assert written is not None
        await written
        assert notices.published == []

    async def test_a_first_key_and_a_refused_one_are_told_to_nobody(self) -> None:
        notices = FakeNotices()
        first = applying(FakeTenants(a_tenant(public_keys=())), notices=notices)
        refused = applying(FakeTenants(a_tenant()), notices=notices)

        for apply, kid in ((first, "key-1"), (refused, "key-1")):
            jwk = public_key().jwk
            written = apply(
                on_topic(
                    AddPublicKey(
                        customer_id="acme", id="c", at=1.0, kid=kid, alg="ECDH-ES", jwk=jwk
                    )
                )
            )
            assert written is not None
            await written

        assert notices.published == []
