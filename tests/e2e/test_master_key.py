"""Exchanging the master key, step by step as the docs say."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.builders import MASTER_KEY
from tests.e2e.customer import Customer
from tests.e2e.process import BIN

if TYPE_CHECKING:
    from tests.e2e.conftest import Provider

pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(180)]

NEW = bytes(range(100, 132))


def keys(current: bytes, *before: bytes) -> dict[str, str]:
    texts = [base64.b64encode(key).decode() for key in before]
    return {
        "HOOKSEAL_MASTER_KEY": base64.b64encode(current).decode(),
        "HOOKSEAL_MASTER_KEY_PREVIOUS": ",".join(texts),
    }


async def rotate(provider: Provider, env: dict[str, str]) -> dict[str, int]:
    process = await asyncio.create_subprocess_exec(
        *(str(BIN / "hookseal"), "master-key", "rotate", "--json"),
        env={**os.environ, **provider.env, **env},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    figures: dict[str, int] = json.loads(out)
    return figures


def ids(customer: Customer) -> list[str]:
    return [event.id for event in customer.events]


@pytest.mark.extended
async def test_the_master_key_is_exchanged_and_nobody_misses_an_event(provider: Provider) -> None:
    worker, api = await provider.worker("a"), await provider.api("api-a")
    async with Customer(api, "acme") as customer:
        await customer.subscribe()
        await customer.add_key()
        endpoint = await customer.add_endpoint("*", headers={"X-Token": "s3cret"})
        await provider.publish("acme", 0)
        await customer.until(lambda: "acme-0" in ids(customer))
        for process in (worker, api):
            process.terminate()
            await process.ended()

        # 1. Everybody has both. The customer verifies with the secret it has.
        both = keys(NEW, MASTER_KEY)
        worker, api = await provider.worker("b", **both), await provider.api("api-b", **both)
        customer.api = api
        await provider.publish("acme", 1)
        await customer.until(lambda: "acme-1" in ids(customer))
        # 2. All is written under the new one; given again there is nothing left to do.
        first, again = await rotate(provider, both), await rotate(provider, both)
        # 3. The customer takes over its new secret; its old API key passes meanwhile.
        rotated = await customer.do("POST", f"/endpoints/{endpoint}/rotate-secret")
        customer.secrets = [rotated["signing_secret"]]
        customer.api_key = (await customer.do("POST", "/api-keys"))["api_key"]
        for process in (worker, api):
            process.terminate()
            await process.ended()

        # 4. The one before is gone.
        only = keys(NEW)
        worker, api = await provider.worker("c", **only), await provider.api("api-c", **only)
        customer.api = api
        await provider.publish("acme", 2)
        await customer.until(lambda: "acme-2" in ids(customer))
        shown = await customer.do("GET", f"/endpoints/{endpoint}")

    assert first == {"rewritten": 1, "tenants": 1}
    assert again == {"rewritten": 0, "tenants": 1}
    # In their order; a worker that is stopped in the middle of a rebalance cannot commit.
    assert list(dict.fromkeys(ids(customer))) == ["acme-0", "acme-1", "acme-2"]
    assert shown["headers"] == {"X-Token": "s3cret"}
    assert worker.events("tenants.unauthenticated_record") == []
