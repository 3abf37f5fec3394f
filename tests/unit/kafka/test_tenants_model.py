from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from hookseal.errors import BrokerError
from hookseal.kafka.broker.ports import HOST, free_ports
from hookseal.kafka.cluster import Cluster
from hookseal.tenants.model import TenantsModel
from tests.builders import a_registry
from tests.changelog import code_of
from tests.conditions import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class FaultyCluster(Cluster):
    """One whose connections fail for a reason nobody thought of."""

    asked = 0

    def arguments(self) -> dict[str, Any]:
        FaultyCluster.asked += 1
        raise RuntimeError("Nobody thought of this.")


def a_cluster_that_is_away() -> Cluster:
    return Cluster(f"{HOST}:{free_ports(1)[0]}")


@asynccontextmanager
async def started(cluster: Cluster) -> AsyncIterator[TenantsModel]:
    model = TenantsModel(cluster, a_registry(cluster.topic_prefix))
    model.start()
    try:
        yield model
    finally:
        await model.close()


class TestWithoutABroker:
    async def test_it_starts_and_is_not_ready(self) -> None:
        async with started(a_cluster_that_is_away()) as model:
            assert code_of(model) == "tenants_recovering"

            await until(lambda: code_of(model) == "broker_unreachable")

            assert not model.ready
            assert not await model.settle(timeout_s=60)
            assert (model.count, model.page(), model.get("acme")) == (0, [], None)

    async def test_nothing_is_said_of_a_tenant_before_the_changelog_is_read(self) -> None:
        async with started(a_cluster_that_is_away()) as model:
            with pytest.raises(BrokerError) as caught:
                await model.changed("acme", lambda tenant: tenant is None, timeout_s=0)

            assert caught.value.code == "no_worker_answered"

    async def test_who_only_looks_is_told_at_once_and_nothing_is_logged(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with pytest.raises(BrokerError) as caught:
            async with TenantsModel(a_cluster_that_is_away(), a_registry()):
                pass

        assert caught.value.code == "broker_unreachable"
        assert "tenants." not in caplog.text


class TestFaults:
    async def test_it_tries_again_and_says_once_that_it_is_away(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        FaultyCluster.asked = 0
        async with started(FaultyCluster("nowhere:9092")) as model:
            await until(lambda: FaultyCluster.asked >= 2)
            code = code_of(model)

        assert code == "tenants_failed"
        # Whatever another test had structlog do, it all comes to the standard logger.
        said = [str(record.msg) for record in caplog.records]
        assert sum("tenants.internal_error" in text for text in said) == 2
        assert sum("tenants.read_failed" in text for text in said) == 1
