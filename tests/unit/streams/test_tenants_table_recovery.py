"""The changelog comes to the table in batches; every guarantee of record by record holds."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from faust.types import TP

from hookseal.config import Settings
from hookseal.domain.endpoint import Suspension
from hookseal.domain.tenant import encode
from hookseal.kafka.partitioner import partition_of
from streams.faust_patches.table_recovery import TableRecovery
from streams.topology import create_app
from tests.builders import MASTER_KEY, a_registry, a_tenant, an_endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.faust_app import HooksealApp

STORES = ("memory", "rocksdb")
PARTITIONS = 6


@pytest.fixture(params=STORES)
def app(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[HooksealApp]:
    made = create_app(
        Settings(
            kafka_bootstrap="127.0.0.1:1",
            master_key=base64.b64encode(MASTER_KEY).decode(),
            data_dir=tmp_path,
            max_in_progress=16,
            store=request.param,
        )
    )
    made._create_directories()
    yield made
    if request.param == "rocksdb":
        table_of(made).data._dbs.clear()


@pytest.fixture
async def recovery(app: HooksealApp, monkeypatch: pytest.MonkeyPatch) -> TableRecovery:
    """A recovery under way: partition 0 is to be read up to offset 3, 1 is a standby."""
    monkeypatch.setattr(app.consumer, "is_fetching", lambda _: True)
    monkeypatch.setattr(
        app.assignor, "assigned_actives", lambda: {TP(changelog(app), p) for p in range(PARTITIONS)}
    )
    made: TableRecovery = cast("Any", app.tables).recovery
    made.add_active(table_of(app), TP(changelog(app), 0))
    made.add_standby(table_of(app), TP(changelog(app), 1))
    made.active_offsets[TP(changelog(app), 0)] = -1
    made.active_highwaters[TP(changelog(app), 0)] = 3
    made._set_recovery_started()
    return made


def table_of(app: HooksealApp) -> Any:
    return app.lifecycle.tenants._table


def changelog(app: HooksealApp) -> str:
    return next(iter(app.tables.changelog_topics))


def record(offset: int, key: bytes | None, value: bytes | None) -> Any:
    return SimpleNamespace(offset=offset, key=key, value=value)


def written(offset: int, customer_id: str, **changes: Any) -> Any:
    document = a_registry().document(a_tenant(customer_id, **changes))
    return record(offset, customer_id.encode(), document)


def stored(app: HooksealApp, partition: int = 0) -> dict[bytes, bytes]:
    """What the store has of a partition."""
    return dict(table_of(app).items_of(partition, PARTITIONS))


class TestTake:
    async def test_is_what_the_app_recovers_by(self, app: HooksealApp) -> None:
        assert type(cast("Any", app.tables).recovery) is TableRecovery

    async def test_puts_a_batch_into_the_table(
        self, app: HooksealApp, recovery: TableRecovery
    ) -> None:
        tp = TP(changelog(app), 0)

        recovery.apply(tp, [written(0, "c1"), written(1, "c2"), written(2, "c1", enabled=False)])

        assert recovery.active_offsets[tp] == 2
        assert set(stored(app)) == {b"c1", b"c2"}
        assert stored(app)[b"c1"] == written(2, "c1", enabled=False).value

    async def test_the_last_word_on_a_key_counts(
        self, app: HooksealApp, recovery: TableRecovery
    ) -> None:
        tp = TP(changelog(app), 0)

        recovery.apply(tp, [written(0, "c1"), record(1, b"c1", None), written(2, "c2")])
        recovery.apply(tp, [record(3, b"c2", None), record(4, b"c3", None), written(5, "c3")])

        assert set(stored(app)) == {b"c3"}

    async def test_is_done_at_the_end_it_saw_at_its_start(
        self, app: HooksealApp, recovery: TableRecovery
    ) -> None:
        tp = TP(changelog(app), 0)

        recovery.apply(tp, [written(0, "c1")])
        assert (recovery.in_recovery, recovery.signal_recovery_end.is_set()) == (True, False)
        # Offsets 1 and 2 went with compaction.
        recovery.apply(tp, [written(3, "c1")])

        assert (recovery.in_recovery, recovery.signal_recovery_end.is_set()) == (False, True)
        assert app.in_recovery is False

    async def test_its_end_is_not_taken_for_that_of_the_next(
        self, app: HooksealApp, recovery: TableRecovery
    ) -> None:
        recovery.apply(TP(changelog(app), 0), [written(3, "c1")])

        recovery._set_recovery_started()

        assert not recovery.signal_recovery_end.is_set()

    async def test_passes_over_what_is_read_again(
        self, app: HooksealApp, recovery: TableRecovery
    ) -> None:
        tp = TP(changelog(app), 0)
        recovery.apply(tp, [written(0, "c1"), written(1, "c1", enabled=False)])

        recovery.apply(tp, [written(0, "c1")])

        assert stored(app)[b"c1"] == written(1, "c1", enabled=False).value
        assert recovery.active_offsets[tp] == 1

    async def test_refuses_what_somebody_else_wrote_and_goes_on(
        self, app: HooksealApp, recovery: TableRecovery
    ) -> None:
        tp = TP(changelog(app), 0)
        evil = encode(a_tenant("c1", an_endpoint(url="https://evil.test/")))

        recovery.apply(
            tp,
            [
                written(0, "c1"),
                record(1, b"c1", evil),
                record(2, None, evil),
                record(3, None, None),
            ],
        )

        assert stored(app) == {b"c1": written(0, "c1").value}
        assert not recovery.in_recovery

    async def test_leaves_partitions_alone_that_are_not_this_worker_s(
        self, app: HooksealApp, recovery: TableRecovery
    ) -> None:
        elsewhere = TP(changelog(app), 2)

        recovery.apply(elsewhere, [written(0, "c1")])

        assert stored(app, 2) == stored(app, 0) == {}
        assert elsewhere not in recovery.active_offsets

    async def test_leaves_alone_what_came_in_a_rebalance(
        self, app: HooksealApp, recovery: TableRecovery, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(app.consumer, "is_fetching", lambda _: False)

        recovery.apply(TP(changelog(app), 0), [written(0, "c1")])

        assert stored(app) == {}
        assert recovery.active_offsets[TP(changelog(app), 0)] == -1

    async def test_keeps_a_standby_apart(self, app: HooksealApp, recovery: TableRecovery) -> None:
        tp = TP(changelog(app), 1)
        recovery.standby_highwaters[tp] = 7

        recovery.apply(tp, [written(6, "c1")])
        assert not app.tables.standbys_ready
        recovery.apply(tp, [written(7, "c1", enabled=False)])

        assert app.tables.standbys_ready
        assert recovery.standby_offsets[tp] == 7
        assert recovery.in_recovery
        assert stored(app, 1) == {b"c1": written(7, "c1", enabled=False).value}

    async def test_a_store_that_fails_does_not_count_as_read(
        self, app: HooksealApp, recovery: TableRecovery, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object, **__: object) -> None:
            raise OSError

        monkeypatch.setattr(table_of(app).data, "apply_changelog_batch", full)

        with pytest.raises(OSError):  # noqa: PT011 - the store's own
            recovery.apply(TP(changelog(app), 0), [written(0, "c1")])

        assert recovery.active_offsets[TP(changelog(app), 0)] == -1


class TestRestart:
    async def test_a_store_on_disk_knows_where_to_go_on(
        self, app: HooksealApp, recovery: TableRecovery
    ) -> None:
        tp = TP(changelog(app), 0)

        recovery.apply(tp, [written(0, "c1"), written(1, "c2"), record(2, b"c1", b"nonsense")])

        expected = 1 if app.conf.store.scheme == "rocksdb" else None
        assert table_of(app).persisted_offset(tp) == expected


class TestPartitions:
    async def test_knows_its_tenants_by_where_they_stand(
        self, app: HooksealApp, recovery: TableRecovery
    ) -> None:
        recovery.apply(TP(changelog(app), 0), [written(0, "c1")])
        recovery.apply(TP(changelog(app), 1), [written(0, "c2")])
        tenants = app.lifecycle.tenants

        assert [tenant.customer_id for tenant in tenants.of_partition(0)] == ["c1"]
        assert [tenant.customer_id for tenant in tenants.of_partition(1)] == ["c2"]
        assert list(tenants.of_partition(4)) == []

    async def test_finds_those_with_a_suspended_endpoint(
        self, app: HooksealApp, recovery: TableRecovery
    ) -> None:
        held = an_endpoint(
            suspension=Suspension(since=1.0, why="behind", owner="a", letters_from=0)
        )
        talks = an_endpoint(description='"suspension":"ordering":')
        relaxed = an_endpoint(ordering="key")
        codec = a_registry()
        documents = {
            b"c1": codec.document(a_tenant("c1")),
            b"c2": codec.document(a_tenant("c2", held)),
            b"c3": codec.document(a_tenant("c3", talks)),
            b"c4": codec.document(a_tenant("c4", relaxed)),
        }

        recovery.apply(
            TP(changelog(app), 0),
            [record(offset, *item) for offset, item in enumerate(documents.items())],
        )

        tenants = app.lifecycle.tenants
        assert [one.customer_id for one in tenants.suspended_of(0)] == ["c2"]
        assert [one.customer_id for one in tenants.relaxed_of(0)] == ["c2", "c4"]


class TestKeepOnly:
    async def test_what_was_written_live_goes_too(
        self, app: HooksealApp, recovery: TableRecovery
    ) -> None:
        if app.conf.store.scheme != "memory":
            pytest.skip("on disk each partition has a file of its own")
        table = table_of(app)
        recovery.apply(TP(changelog(app), 0), [written(0, "c1")])
        table.data.data.update({f"live-{number}".encode(): b"{}" for number in range(20)})

        app.lifecycle.tenants.keep_only({0, 3})

        assert set(table.data.data) == {b"c1"} | {
            f"live-{number}".encode()
            for number in range(20)
            if partition_of(f"live-{number}", PARTITIONS) in (0, 3)
        }
