from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from hookseal.domain.tenant import encode
from hookseal.errors import BrokerError, InvalidInputError
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.topics import TopicNames
from hookseal.tenants.codec import TenantCodec
from hookseal.tenants.key_check import KeyFit, UnauthenticatedRecords
from streams.tenant_commands import PATIENCE_S, CommandProgress
from tests.builders import MASTER_KEY, a_registry, a_tenant, an_endpoint
from tests.fakes import FakeClock

if TYPE_CHECKING:
    from hookseal.domain.tenant import Tenant
    from hookseal.kafka.consumer import LogEnds
    from streams.faust_app import HooksealApp
    from streams.tenants_table import FaustTenants

CUSTOMERS = [f"c{number}" for number in range(30)]


def document_of(tenant: Tenant) -> bytes:
    return a_registry().document(tenant)


def from_changelog(key: bytes, value: bytes | None, offset: int = 0) -> Any:
    message = SimpleNamespace(
        key=key, value=value, topic="c", partition=0, offset=offset, tp=("c", 0)
    )
    return SimpleNamespace(key=key, value=value, message=message)


def filled(app: HooksealApp) -> FaustTenants:
    """The table with what recovery or live writes would put there."""
    tenants = app.lifecycle.tenants
    for customer_id in CUSTOMERS:
        tenants._table.data[customer_id.encode()] = document_of(a_tenant(customer_id))
    return tenants


class FailingEnds:
    """Fails so many times, then knows."""

    def __init__(self, failures: int, end: int) -> None:
        self.failures = failures
        self._end = end

    async def of(self, topic: str, partitions: list[int]) -> dict[int, int]:
        if self.failures:
            self.failures -= 1
            raise BrokerError("broker_unreachable", "Away.")
        return dict.fromkeys(partitions, self._end)


def progress_of(app: HooksealApp, ends: FailingEnds, clock: FakeClock) -> CommandProgress:
    return CommandProgress(
        "tenant-commands",
        consumer=lambda: app.consumer,
        ends=cast("LogEnds", ends),
        clock=clock,
        is_recovering=lambda: bool(app.in_recovery),
    )


class TestCatchUp:
    async def test_outlasts_a_broker_that_is_away(self, app: HooksealApp) -> None:
        ends, clock = FailingEnds(3, end=0), FakeClock()

        assert await progress_of(app, ends, clock).catch_up(0)

        assert (ends.failures, clock.slept) == (0, [1, 1, 1])

    async def test_has_patience_while_the_table_is_read(
        self, app: HooksealApp, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks = Looks(app, recovered_at=5)
        monkeypatch.setattr("streams.tenant_commands._RECHECK_S", 0.0)
        progress = progress_of(app, FailingEnds(0, end=1), ManualClock())
        monkeypatch.setattr(progress, "applied", looks.applied)

        assert not await progress.catch_up(0)

        # Each look was longer after the one before than its patience: it gave up on none
        # while the table was read, and on the first behind that.
        assert looks.recovering == [True] * 5 + [False]


class ManualClock(FakeClock):
    """A clock that moves on with each look at it."""

    def now(self) -> float:
        self.time += PATIENCE_S + 1
        return self.time


class Looks:
    """Says that no command is applied; notes whether the table was read meanwhile."""

    def __init__(self, app: HooksealApp, recovered_at: int) -> None:
        self.recovering: list[bool] = []
        self._app = app
        self._recovered_at = recovered_at

    def applied(self, _: object) -> int:
        self._app.in_recovery = len(self.recovering) < self._recovered_at
        self.recovering.append(self._app.in_recovery)
        return 0


class TestFaustTenants:
    async def test_finds_a_tenant_and_decodes_it_once(self, app: HooksealApp) -> None:
        tenants = filled(app)

        assert tenants.get("c3") == a_tenant("c3")
        assert tenants.get("c3") is tenants.get("c3")
        assert tenants.get("nobody") is None

    async def test_sees_a_change(self, app: HooksealApp) -> None:
        tenants = filled(app)
        tenants.get("c3")

        tenants._table.data[b"c3"] = document_of(a_tenant("c3", enabled=False))

        assert tenants.get("c3") == a_tenant("c3", enabled=False)

    async def test_recovery_passes_over_what_somebody_else_wrote(self, app: HooksealApp) -> None:
        tenants = filled(app)
        forged: list[None] = []
        tenants._forged = UnauthenticatedRecords(lambda: forged.append(None))
        evil = a_tenant("c3", an_endpoint(url="https://evil.test/"))

        tenants._table.apply_changelog_batch(
            [
                from_changelog(b"c3", encode(evil)),
                from_changelog(b"c3", document_of(a_tenant("c4"))),
                from_changelog(b"c3", b"nonsense"),
                from_changelog(b"c5", b"of the key before"),
                from_changelog(b"c7", b"nonsense"),
                from_changelog(b"c5", document_of(a_tenant("c5", enabled=False))),
                from_changelog(b"c6", None),
            ]
        )

        assert tenants.get("c3") == a_tenant("c3")
        assert tenants.get("c5") == a_tenant("c5", enabled=False)
        assert tenants.get("c6") is None
        assert forged == []
        tenants._forged.report()
        # Not of the one that one of ours followed.
        assert len(forged) == 2

    async def test_a_document_of_somebody_else_s_is_never_used(self, app: HooksealApp) -> None:
        tenants = filled(app)
        tenants._table.data[b"c3"] = encode(a_tenant("c3", enabled=False))

        with pytest.raises(InvalidInputError, match="tenant_document_forged"):
            tenants.get("c3")

    async def test_knows_the_tenants_of_a_partition(self, app: HooksealApp) -> None:
        found = filled(app).of_partition(2)

        assert {tenant.customer_id for tenant in found} == {
            customer_id for customer_id in CUSTOMERS if partition_of(customer_id, 6) == 2
        }

    async def test_knows_whether_a_partition_has_several_tenants(self, app: HooksealApp) -> None:
        tenants = app.lifecycle.tenants
        first, second = [one for one in CUSTOMERS if partition_of(one, 6) == 2][:2]
        other = next(one for one in CUSTOMERS if partition_of(one, 6) != 2)
        shared = [tenants.is_shared(2)]
        for customer_id in (first, other, second):
            tenants._table.data[customer_id.encode()] = document_of(a_tenant(customer_id))
            shared.append(tenants.is_shared(2))

        assert shared == [False, False, False, True]

    async def test_forgets_the_tenants_of_partitions_that_went(self, app: HooksealApp) -> None:
        tenants = filled(app)

        tenants.keep_only({0, 1})

        kept = {customer_id for customer_id in CUSTOMERS if tenants.get(customer_id) is not None}
        assert kept == {
            customer_id for customer_id in CUSTOMERS if partition_of(customer_id, 6) in (0, 1)
        }


class TestMasterKey:
    """Whether the worker may go on after a recovery."""

    def tenants(self, app: HooksealApp, fit: KeyFit | None = None) -> FaustTenants:
        tenants = app.lifecycle.tenants
        self.asked = 0

        async def key_fit() -> KeyFit:
            self.asked += 1
            return fit or KeyFit(0, 0)

        tenants._key_fit = key_fit
        return tenants

    async def code(self, tenants: FaustTenants) -> str | None:
        error = await tenants._table.why_unusable()
        return None if error is None else error.code

    async def test_a_key_that_fits_nothing_is_wrong(self, app: HooksealApp) -> None:
        tenants = self.tenants(app, KeyFit(0, 7))
        foreign = [from_changelog(f"c{n}".encode(), encode(a_tenant(f"c{n}"))) for n in range(3)]

        tenants._table.apply_changelog_batch(foreign)
        error = await tenants._table.why_unusable()

        assert error is not None
        assert (error.code, error.field) == ("master_key_wrong", "HOOKSEAL_MASTER_KEY")
        assert "7 tenant documents" in error.message

    async def test_one_document_of_it_is_enough(self, app: HooksealApp) -> None:
        tenants = self.tenants(app)
        tenants._table.apply_changelog_batch(
            [
                from_changelog(b"c1", b"nonsense"),
                from_changelog(b"c2", document_of(a_tenant("c2"))),
            ]
        )

        assert (await self.code(tenants), self.asked) == (None, 0)

    async def test_so_is_one_on_a_partition_of_another_worker(self, app: HooksealApp) -> None:
        tenants = self.tenants(app, KeyFit(1, 7))
        tenants._table.apply_changelog_batch([from_changelog(b"c1", b"nonsense")])

        assert (await self.code(tenants), self.asked) == (None, 1)

    async def test_a_key_before_it_counts(self, app: HooksealApp) -> None:
        tenants = self.tenants(app)
        old = TenantCodec(TopicNames(), [b"o" * 32])
        tenants._codec = TenantCodec(TopicNames(), [MASTER_KEY, b"o" * 32])
        tenants._table.apply_changelog_batch([from_changelog(b"c1", old.document(a_tenant("c1")))])

        assert await self.code(tenants) is None

    async def test_without_tenants_nothing_is_known(self, app: HooksealApp) -> None:
        tenants = self.tenants(app)
        tenants._table.apply_changelog_batch(
            [from_changelog(b"c1", b"nonsense"), from_changelog(b"c1", None)]
        )

        assert (await self.code(tenants), self.asked) == (None, 0)

    async def test_what_a_store_on_disk_kept_counts(self, app: HooksealApp) -> None:
        tenants = self.tenants(app, KeyFit(0, 1))
        tenants._table.data[b"c1"] = encode(a_tenant("c1"))

        assert await self.code(tenants) == "master_key_wrong"
