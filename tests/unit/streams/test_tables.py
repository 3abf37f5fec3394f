from __future__ import annotations

from typing import TYPE_CHECKING, cast

from hookseal.domain.tenant import encode
from hookseal.errors import BrokerError
from hookseal.kafka.partitioner import partition_of
from streams.tables import FaustTenants
from tests.builders import a_tenant
from tests.fakes import FakeClock

if TYPE_CHECKING:
    from hookseal.kafka.ends import LogEnds
    from streams.faust_app import HooksealApp

CUSTOMERS = [f"c{number}" for number in range(30)]


def filled(app: HooksealApp) -> FaustTenants:
    """The table with what recovery or live writes would put there."""
    tenants = app.lifecycle.tenants
    for customer_id in CUSTOMERS:
        tenants._table.data[customer_id.encode()] = encode(a_tenant(customer_id))
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


class TestCatchUp:
    async def test_outlasts_a_broker_that_is_away(self, app: HooksealApp) -> None:
        ends, clock = FailingEnds(3, end=0), FakeClock()
        tenants = FaustTenants(
            app.lifecycle.tenants._table,
            partitions=lambda: 6,
            ends=cast("LogEnds", ends),
            commands=lambda: app.lifecycle.commands,
            commands_topic="tenant-commands",
            clock=clock,
            hold_s=10,
        )

        await tenants.catch_up(0)

        assert (ends.failures, clock.slept) == (0, [1, 1, 1])


class TestFaustTenants:
    async def test_finds_a_tenant_and_decodes_it_once(self, app: HooksealApp) -> None:
        tenants = filled(app)

        assert tenants.get("c3") == a_tenant("c3")
        assert tenants.get("c3") is tenants.get("c3")
        assert tenants.get("nobody") is None

    async def test_sees_a_change(self, app: HooksealApp) -> None:
        tenants = filled(app)
        tenants.get("c3")

        tenants._table.data[b"c3"] = encode(a_tenant("c3", enabled=False))

        assert tenants.get("c3") == a_tenant("c3", enabled=False)

    async def test_knows_the_tenants_of_a_partition(self, app: HooksealApp) -> None:
        found = filled(app).of_partition(2)

        assert {tenant.customer_id for tenant in found} == {
            customer_id for customer_id in CUSTOMERS if partition_of(customer_id, 6) == 2
        }

    async def test_forgets_the_tenants_of_partitions_that_went(self, app: HooksealApp) -> None:
        tenants = filled(app)

        tenants.keep_only({0, 1})

        kept = {customer_id for customer_id in CUSTOMERS if tenants.get(customer_id) is not None}
        assert kept == {
            customer_id for customer_id in CUSTOMERS if partition_of(customer_id, 6) in (0, 1)
        }
