"""Whoever can write to the registry's topics, and has no key, changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hookseal.domain.command import ChangeEndpoint, encode
from hookseal.domain.tenant import encode as encode_tenant
from hookseal.kafka.partitioner import partition_of
from tests.brokers.reading import read_all
from tests.builders import a_tenant, an_endpoint
from tests.e2e.conftest import PARTITIONS, customers

if TYPE_CHECKING:
    from tests.e2e.conftest import Provider
    from tests.e2e.process import Process
    from tests.e2e.receiver import Receiver

pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(120)]


async def forge(provider: Provider, receiver: Receiver, victim: str, other: str) -> None:
    """Write what would lead the victim's events to an endpoint of somebody else's."""
    evil = receiver.url("evil")
    key, partition = victim.encode(), partition_of(victim, PARTITIONS)
    command = ChangeEndpoint(
        customer_id=victim, id="cmd_forged", at=1.0, endpoint_id="ep_1", url=evil
    )
    document = encode_tenant(a_tenant(victim, an_endpoint(url=evil), revision=99))
    for value in (encode(command), encode(command)[:-1] + b',"mac":"%b"}' % (b"A" * 43)):
        await provider.producer.publish(
            provider.names.commands, key=key, value=value, partition=partition
        )
    moved = [
        record.value
        async for record in read_all(provider.settings.cluster, provider.names.tenants_changelog)
        if record.key == other.encode()
    ]
    for foreign in (document, moved[-1]):
        await provider.producer.publish(
            provider.names.tenants_changelog, key=key, value=foreign, partition=partition
        )


def told(process: Process) -> int:
    return len(process.events("tenants.unauthenticated_record"))


async def test_a_forged_record_changes_nothing_and_is_reported(provider: Provider) -> None:
    receiver = await provider.receiver()
    victim, other = customers(2, partition=1)
    for customer in (victim, other):
        await provider.tenant(customer, receiver.url(customer))
    first, api = await provider.worker("a"), await provider.api()
    await provider.publish(victim, 0)
    await receiver.until(lambda: len(receiver.accepted(victim)) == 1)

    await forge(provider, receiver, victim, other)
    await first.until(lambda: told(first) == 2)
    await api.until(lambda: len(api.events("tenants.unauthenticated_record")) == 2)
    await provider.publish(victim, 1)
    await receiver.until(lambda: len(receiver.accepted(victim)) == 2)
    shown = await api.do("GET", f"/v1/tenants/{victim}")
    # Whoever recovers the table from the changelog reads the forged documents, too.
    first.terminate()
    await first.ended()
    second = await provider.worker("b")
    await second.until(lambda: told(second) == 1)
    await provider.publish(victim, 2)
    await receiver.until(lambda: len(receiver.accepted(victim)) == 3)

    assert receiver.accepted(victim) == [f"{victim}-{number}" for number in range(3)]
    assert {arrival.event["customer_id"] for arrival in receiver.arrivals} == {victim}
    assert [endpoint["url"] for endpoint in shown["endpoints"]] == [receiver.url(victim)]
    assert await provider.dead_letters() == []
