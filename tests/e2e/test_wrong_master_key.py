"""A process with another master key than the tenants were written under does nothing."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.builders import MASTER_KEY, a_tenant
from tests.changelog import writing
from tests.e2e.api import ADMIN_KEY
from tests.e2e.conftest import PARTITIONS, customers
from tests.e2e.process import BIN, Process

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Provider

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

WRONG = {"HOOKSEAL_MASTER_KEY": base64.b64encode(bytes(range(200, 232))).decode()}


async def committed(provider: Provider) -> list[int | None]:
    """Return the workers' offsets on `events` and `tenant-commands`."""
    cluster = provider.settings.cluster
    async with AIOKafkaConsumer(
        **cluster.arguments(), group_id=cluster.app_id, enable_auto_commit=False
    ) as consumer:
        return [
            await consumer.committed(TopicPartition(topic, partition))
            for topic in (provider.names.events, provider.names.commands)
            for partition in range(PARTITIONS)
        ]


async def doctor(provider: Provider, env: dict[str, str]) -> dict[str, dict[str, str]]:
    process = await asyncio.create_subprocess_exec(
        *(str(BIN / "hookseal"), "doctor", "--json"),
        env={**os.environ, **provider.env, **env},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return {check["name"]: check for check in json.loads(out)}


async def test_it_is_refused_and_harms_nothing(provider: Provider, tmp_path: Path) -> None:
    receiver = await provider.receiver()
    names = customers(3, partition=1) + customers(2, partition=4)
    for name in names:
        await provider.tenant(name, receiver.url(name))
    right = await provider.worker("right")
    for name in names:
        await provider.publish(name, 0)
    await receiver.until(lambda: len(receiver.arrivals) == len(names))
    right.terminate()
    await right.ended()
    for name in names:
        await provider.publish(name, 1)
    before = await committed(provider)

    wrong = await provider.worker("wrong", **WRONG)
    status = await wrong.ended()
    api = Process(
        "api-wrong",
        {"HOOKSEAL_ADMIN_KEY": ADMIN_KEY, **provider.env, **WRONG},
        tmp_path,
        *(str(BIN / "hookseal"), "api", "--port", "0"),
    )
    await api.start()
    api_status = await api.ended()
    after = await committed(provider)

    assert (status, api_status) == (78, 78)
    (refused,) = wrong.events("worker.start_failed")
    assert (refused["code"], refused["level"]) == ("master_key_wrong", "critical")
    assert "HOOKSEAL_MASTER_KEY_PREVIOUS" in refused["message"]
    assert not any("Traceback" in line for line in wrong.lines)
    assert sum('"level":"critical"' in line for line in wrong.lines) == 1
    assert [line["code"] for line in api.events("tenants.load_failed")] == ["master_key_wrong"]
    assert (
        wrong.events("tenants.unauthenticated_record")
        == api.events("tenants.unauthenticated_record")
        == []
    )
    assert after == before
    assert await provider.dead_letters() == []
    found = await doctor(provider, WRONG)
    assert found["master key"]["status"] == "fail"
    assert f"fits 0 of {len(names)} documents" in found["master key"]["message"]
    # With the right one behind it, everything is delivered.
    found = await doctor(
        provider,
        {**WRONG, "HOOKSEAL_MASTER_KEY_PREVIOUS": base64.b64encode(MASTER_KEY).decode()},
    )
    assert found["master key"] == {
        "name": "master key",
        "status": "ok",
        "message": f"fits {len(names)} of {len(names)} documents",
    }
    await provider.worker("again")
    await receiver.until(lambda: len(receiver.arrivals) == 2 * len(names))
    assert await provider.dead_letters() == []


async def test_it_is_refused_when_partitions_with_tenants_come(provider: Provider) -> None:
    """A worker whose partitions have no tenants cannot know it yet."""
    first = await provider.worker("first", **WRONG)
    await first.ready(partitions=PARTITIONS)
    async with writing(provider.settings.cluster) as changelog:
        for partition in range(PARTITIONS):
            (name,) = customers(1, partition=partition)
            await changelog.put(a_tenant(name))

    right = await provider.worker("right")

    assert await first.ended() == 78
    assert [line["code"] for line in first.events("worker.start_failed")] == ["master_key_wrong"]
    await right.ready(partitions=PARTITIONS)
