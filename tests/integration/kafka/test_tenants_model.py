"""The tenants' read model on a real broker: what stands, what changes, what is gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from hookseal.domain.tenant import ApiKey, CommandResult
from hookseal.errors import BrokerError, ConfigurationError
from hookseal.kafka import topics
from hookseal.kafka.topics import TopicNames
from hookseal.tenants.codec import TenantCodec
from hookseal.tenants.key_check import key_fit
from hookseal.tenants.model import TenantsModel
from tests.builders import MASTER_KEY, a_registry, a_tenant
from tests.changelog import code_of, writing
from tests.conditions import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from hookseal.config import Settings
    from hookseal.domain.tenant import Tenant
    from hookseal.kafka.cluster import Cluster
    from tests.changelog import Changelog

pytestmark = pytest.mark.broker

A_KEY = ApiKey("key000000001", "digest", 1, ("events:write",))


@pytest.fixture
async def cluster(settings: Settings) -> Cluster:
    await topics.create(settings.cluster, partitions=3)
    return settings.cluster


@pytest.fixture
async def changelog(cluster: Cluster) -> AsyncIterator[Changelog]:
    async with writing(cluster) as changelog:
        yield changelog


async def test_entering_returns_once_all_that_stands_is_read(
    cluster: Cluster, changelog: Changelog
) -> None:
    for number in range(50):
        await changelog.put(a_tenant(f"c{number:02d}"))
    await changelog.put(a_tenant("c07", api_keys=(A_KEY,)))
    await changelog.write("c08", None)

    async with TenantsModel(cluster, a_registry(cluster.topic_prefix)) as model:
        assert model.ready
        assert model.why_not_ready() is None
        assert model.count == 49
        assert model.customer_of(A_KEY.id) == "c07"
        assert [tenant.customer_id for tenant in model.page("c05", 3)] == ["c06", "c07", "c09"]


async def test_a_change_arrives_and_a_deleted_tenant_leaves_nothing(
    cluster: Cluster, changelog: Changelog
) -> None:
    async with TenantsModel(cluster, a_registry(cluster.topic_prefix)) as model:
        await changelog.put(a_tenant("acme", api_keys=(A_KEY,)))
        made = await model.changed("acme", lambda tenant: tenant is not None, timeout_s=10)
        holder = model.customer_of(A_KEY.id)
        await changelog.write("acme", None)
        gone = await model.changed("acme", lambda tenant: tenant is None, timeout_s=10)

        assert made is not None
        assert holder == "acme"
        assert gone is None
        assert (model.count, model.page(), model.customer_of(A_KEY.id)) == (0, [], None)


async def test_a_document_that_cannot_be_read_leaves_no_key_that_passes(
    cluster: Cluster, changelog: Changelog
) -> None:
    await changelog.put(a_tenant("acme", api_keys=(A_KEY,)))
    await changelog.write("acme", changelog.signed("acme", b'{"v":9}'))

    async with TenantsModel(cluster, a_registry(cluster.topic_prefix)) as model:
        assert model.ready
        assert (model.get("acme"), model.customer_of(A_KEY.id)) == (None, None)


async def test_only_these_partitions_are_followed(cluster: Cluster, changelog: Changelog) -> None:
    home = {name: (await changelog.put(a_tenant(name))).partition for name in map(str, range(20))}

    async with TenantsModel(cluster, a_registry(cluster.topic_prefix), partitions=[1]) as model:
        held = {tenant.customer_id for tenant in model.page()}

    assert held == {name for name, partition in home.items() if partition == 1}


async def test_settling_sees_what_another_process_has_just_written(
    cluster: Cluster, changelog: Changelog
) -> None:
    async with TenantsModel(cluster, a_registry(cluster.topic_prefix)) as model:
        for revision in range(1, 21):
            await changelog.put(a_tenant("acme", revision=revision))

            assert await model.settle(timeout_s=10)

            tenant = model.get("acme")
            assert tenant is not None
            assert tenant.revision == revision


def has_result(command_id: str) -> Callable[[Tenant | None], bool]:
    return lambda tenant: tenant is not None and tenant.recent_of(command_id) is not None


async def test_the_result_of_a_command_is_awaited(cluster: Cluster, changelog: Changelog) -> None:
    result = CommandResult("cmd_1", "too_many_keys", "f")
    async with TenantsModel(cluster, a_registry(cluster.topic_prefix)) as model:
        waiting = asyncio.create_task(model.changed("acme", has_result("cmd_1"), timeout_s=10))
        await changelog.put(a_tenant("acme"))
        await changelog.put(a_tenant("acme", revision=2, recent=(result,)))

        found = await waiting
        assert found is not None
        assert found.recent == (result,)
        waiting = asyncio.create_task(
            model.changed("acme", lambda tenant: tenant is None, timeout_s=10)
        )
        await changelog.write("acme", None)
        assert await waiting is None


async def test_a_result_is_seen_however_many_others_follow_at_once(
    cluster: Cluster, changelog: Changelog
) -> None:
    results = [CommandResult(f"cmd_{number}", "ok", str(number)) for number in range(100)]
    async with TenantsModel(cluster, a_registry(cluster.topic_prefix)) as model:
        waiting = asyncio.create_task(model.changed("acme", has_result("cmd_7"), timeout_s=10))
        await asyncio.sleep(0)
        await asyncio.gather(
            *(changelog.put(a_tenant("acme", recent=(result,))) for result in results)
        )

        found = await waiting
        assert found is not None
        assert found.recent == (results[7],)


async def test_a_topic_that_is_missing_is_awaited(settings: Settings) -> None:
    cluster = settings.cluster
    model = TenantsModel(cluster, a_registry(cluster.topic_prefix))
    model.start()
    try:
        await until(lambda: code_of(model) == "topic_missing")
        await topics.create(cluster, partitions=3)
        async with writing(cluster) as changelog:
            await changelog.put(a_tenant("acme"))

        await until(lambda: model.ready and model.count == 1)
    finally:
        await model.close()


async def test_who_only_looks_is_told_that_the_topic_is_missing(settings: Settings) -> None:
    with pytest.raises(BrokerError) as caught:
        async with TenantsModel(settings.cluster, a_registry(settings.topic_prefix)):
            pass

    assert caught.value.code == "topic_missing"


@pytest.mark.apache
async def test_of_a_topic_that_is_made_anew_nothing_old_is_left(
    cluster: Cluster, changelog: Changelog
) -> None:
    for revision in range(20):
        await changelog.put(a_tenant("old", revision=revision, api_keys=(A_KEY,)))
    async with TenantsModel(cluster, a_registry(cluster.topic_prefix)) as model:
        await remake(cluster)
        async with writing(cluster) as remade:
            await remade.put(a_tenant("new"))

        await until(lambda: model.ready and model.get("new") is not None)

        assert (model.count, model.customer_of(A_KEY.id)) == (1, None)


async def remake(cluster: Cluster) -> None:
    admin = AIOKafkaAdminClient(**cluster.arguments())
    await admin.start()
    try:
        await admin.delete_topics([TopicNames(cluster.topic_prefix).tenants_changelog])
    finally:
        await admin.close()
    async with asyncio.timeout(30):
        while not await topics.create(cluster, partitions=3):
            pass


async def test_a_master_key_that_fits_nothing_is_told_until_it_fits(
    cluster: Cluster, changelog: Changelog
) -> None:
    for number in range(5):
        await changelog.put(a_tenant(f"c{number}"))
    other = TenantCodec(TopicNames(cluster.topic_prefix), [b"o" * 32])
    forged: list[None] = []
    model = TenantsModel(cluster, other, on_forged=lambda: forged.append(None))
    model.start()
    try:
        error = await model.key_known()
        with pytest.raises(ConfigurationError, match="master_key_wrong"):
            await model.first()
        told = code_of(model)
        fit = await key_fit(cluster, other)
        # Somebody makes a tenant under this key: then it is no longer wrong.
        await changelog.write("new", other.document(a_tenant("new")))
        await until(lambda: model.ready)
    finally:
        await model.close()

    assert error is not None
    assert "5 tenant documents" in error.message
    assert (error.code, told) == ("master_key_wrong", "master_key_wrong")
    assert (fit.is_wrong, fit.documents) == (True, 5)
    assert model.count == 1
    # The others were written by somebody else, as far as this key goes.
    assert len(forged) == 5


async def test_a_changelog_without_tenants_fits_every_key(
    cluster: Cluster, changelog: Changelog
) -> None:
    await changelog.put(a_tenant("gone"))
    await changelog.write("gone", None)
    other = TenantCodec(TopicNames(cluster.topic_prefix), [b"o" * 32])

    async with TenantsModel(cluster, other) as model:
        assert await model.key_known() is None

    assert await key_fit(cluster, other) == (0, 0)


async def test_a_key_before_the_current_one_fits(cluster: Cluster, changelog: Changelog) -> None:
    await changelog.put(a_tenant("old"))
    await changelog.write("forged", b"{}")
    rotated = TenantCodec(TopicNames(cluster.topic_prefix), [b"n" * 32, MASTER_KEY])

    async with TenantsModel(cluster, rotated) as model:
        assert (await model.key_known(), model.count) == (None, 1)

    assert await key_fit(cluster, rotated) == (1, 2)
