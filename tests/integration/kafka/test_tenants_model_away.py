"""The tenants' read model while the broker is away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from hookseal.kafka import topics
from hookseal.kafka.cluster import Cluster
from hookseal.tenants.model import TenantsModel
from tests.brokers import start_broker
from tests.builders import a_registry, a_tenant
from tests.changelog import code_of, writing
from tests.conditions import until

if TYPE_CHECKING:
    from tests.brokers import Broker

pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(120)]


async def test_it_starts_without_a_broker_and_is_ready_again_after_each_outage(
    broker: Broker,
) -> None:
    if broker.kind != "apache":
        pytest.skip("kills nodes of Apache Kafka; this run has another broker")
    with start_broker("apache") as own:
        cluster = Cluster(own.bootstrap)
        await topics.create(cluster, partitions=2)
        async with writing(cluster) as changelog:
            await changelog.put(a_tenant("acme", revision=1))
        (node,) = own.nodes
        node.kill()
        model = TenantsModel(cluster, a_registry(cluster.topic_prefix), max_staleness_s=3.0)
        model.start()
        try:
            await until(lambda: code_of(model) == "broker_unreachable")
            assert not model.ready

            await asyncio.to_thread(node.start)
            await until(lambda: model.ready)
            assert revision(model) == 1

            node.kill()
            await until(lambda: not model.ready and code_of(model) == "broker_unreachable")
            assert revision(model) == 1
            assert not await model.settle(timeout_s=0.5)

            await asyncio.to_thread(node.start)
            async with writing(cluster) as changelog:
                await changelog.put(a_tenant("acme", revision=2))
            await until(lambda: model.ready and revision(model) == 2)
        finally:
            await model.close()


def revision(model: TenantsModel) -> int | None:
    tenant = model.get("acme")
    return None if tenant is None else tenant.revision
