"""A process without Kafka whose master key fits none of the tenants in its store."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from hookseal.errors import BrokerError, ConfigurationError
from hookseal.kafka.topics import TopicNames
from hookseal.local.store import Documents
from hookseal.local.tenants import LocalTenants
from hookseal.tenants.codec import TenantCodec
from tests.builders import MASTER_KEY, a_registry, a_tenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hookseal.local.store import Store
    from tests.integration.local.conftest import OpenStore

OTHER = b"o" * 32


@asynccontextmanager
async def reading(store: Store, *keys: bytes) -> AsyncIterator[tuple[LocalTenants, list[None]]]:
    forged: list[None] = []
    codec = TenantCodec(TopicNames(), keys)
    model = LocalTenants(store, codec, on_forged=lambda: forged.append(None))
    await model.start()
    try:
        yield model, forged
    finally:
        await model.close()


async def filled(open_store: OpenStore, *names: str) -> Store:
    store = await open_store()
    for name in names:
        await store.change(name, None, a_registry().document(a_tenant(name)), None)
    return store


class TestMasterKey:
    async def test_one_that_fits_nothing_is_refused(self, open_store: OpenStore) -> None:
        store = await filled(open_store, "acme", "other")

        async with reading(store, OTHER) as (model, forged):
            with pytest.raises(ConfigurationError, match="master_key_wrong") as refused:
                await model.first()
            told = model.why_not_ready()

        assert "2 tenant documents" in refused.value.message
        assert told is not None
        assert told.code == "master_key_wrong"
        assert forged == []

    async def test_one_before_the_current_one_fits(self, open_store: OpenStore) -> None:
        store = await filled(open_store, "acme")

        async with reading(store, OTHER, MASTER_KEY) as (model, _):
            await model.first()

            assert model.get("acme") == a_tenant("acme")

    async def test_a_store_without_tenants_fits_every_key(self, open_store: OpenStore) -> None:
        async with reading(await open_store(), OTHER) as (model, _):
            await model.first()

            assert model.why_not_ready() is None

    async def test_a_document_of_somebody_else_among_genuine_ones_is_ignored(
        self, open_store: OpenStore
    ) -> None:
        store = await filled(open_store, "acme")
        await store.change("evil", None, b"{}", None)

        async with reading(store, MASTER_KEY) as (model, forged):
            await model.first()

            assert (model.get("evil"), len(forged)) == (None, 1)
            assert model.get("acme") is not None

    async def test_nobody_is_unknown_while_the_store_has_only_tenants_of_another_key(
        self, open_store: OpenStore
    ) -> None:
        """The store came back as another one: events must wait, not become dead letters."""
        store = await filled(open_store, "acme")

        async with reading(store, MASTER_KEY) as (model, _):
            await model.first()
            foreign = TenantCodec(TopicNames(), [OTHER]).document(a_tenant("acme"))
            told = await store.documents()
            await model._apply(Documents(told.version + 1, {"acme": foreign}, is_all=True))

            with pytest.raises(BrokerError, match="master_key_wrong"):
                await model.catch_up()
            assert not await model.settle(1.0)
