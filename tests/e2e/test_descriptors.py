"""A worker with few descriptors delivers to more hosts than it may open connections."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import customers

if TYPE_CHECKING:
    from tests.e2e.conftest import Provider
    from tests.e2e.worker import Worker

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

LIMIT = 256
HOSTS = 400
PER_HOST = 2


def open_files(worker: Worker) -> int:
    return len(list(Path(f"/proc/{worker.pid}/fd").iterdir()))


async def test_a_worker_delivers_to_more_hosts_than_it_may_open_connections(
    provider: Provider,
) -> None:
    receiver = await provider.receiver("0.0.0.0")
    tenants = customers(HOSTS)
    await asyncio.gather(
        *(
            provider.tenant(
                customer, receiver.url(customer, host=f"127.0.{1 + n // 250}.{1 + n % 250}")
            )
            for n, customer in enumerate(tenants)
        )
    )
    worker = await provider.limited_worker(
        LIMIT, HOOKSEAL_ORDERING="customer", HOOKSEAL_RETRY_DELAYS_S="0.01"
    )
    await worker.until(
        lambda: (
            sum(line["command"] == "AddEndpoint" for line in worker.events("command.applied"))
            == HOSTS
        )
    )
    for number in range(PER_HOST):
        await asyncio.gather(*(provider.publish(customer, number) for customer in tenants))
    opened: list[int] = []

    def are_all_accepted() -> bool:
        opened.append(open_files(worker))
        return len(receiver.accepted()) == HOSTS * PER_HOST

    await receiver.until(are_all_accepted, timeout_s=120)

    for customer in tenants:
        assert receiver.accepted(customer) == [f"{customer}-{n}" for n in range(PER_HOST)]
    assert await provider.dead_letters() == []
    assert {line["code"] for line in worker.events("delivery.attempted")} == {"accepted"}
    assert {line["attempt"] for line in worker.events("delivery.attempted")} == {1}
    # Half of the limit is the pool's; all the rest of a worker has to fit beside it.
    assert LIMIT // 2 < max(opened) < LIMIT
