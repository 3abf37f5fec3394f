"""`hookseal worker --processes 2`: two workers on one host, behind one command."""

from __future__ import annotations

import asyncio
import os
import signal
from itertools import chain
from typing import TYPE_CHECKING

import pytest

from benchmarks.scale_run import ports_in_a_row
from tests.e2e.conftest import PARTITIONS, customers
from tests.e2e.process import BIN, Process
from tests.e2e.test_rolling import ready

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.e2e.conftest import Provider
    from tests.e2e.receiver import Receiver

# No guarantee is proved on the embedded broker.
pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(170)]


class Crew(Process):
    """The command and its two workers; what all of them say comes in one log."""

    def __init__(self, env: dict[str, str], folder: Path) -> None:
        command = (str(BIN / "hookseal"), "worker", "--processes", "2")
        super().__init__("crew", env, folder, *command)

    @property
    def pids(self) -> list[int]:
        """Of the two workers, as they were started last."""
        started = {line["worker"]: line["pid"] for line in self.events("worker.process_started")}
        return [started[worker] for worker in sorted(started)]

    async def shared(self) -> None:
        """Wait until both of them were assigned half of the partitions."""

        def is_shared() -> bool:
            halves = [line["partitions"] for line in self.events("worker.partitions_assigned")][-2:]
            return sorted(chain(*halves)) == list(range(PARTITIONS)) and all(halves)

        await self.until(is_shared)


@pytest.fixture
async def receiver(provider: Provider) -> Receiver:
    return await provider.receiver()


@pytest.fixture
def port() -> int:
    """The first one's; the second one has the next."""
    return ports_in_a_row(2)[0]


@pytest.fixture
async def crew(provider: Provider, tmp_path: Path, port: int) -> AsyncIterator[Crew]:
    env = {
        **provider.env,
        "HOOKSEAL_ORDERING": "customer",
        "HOOKSEAL_STORE": "rocksdb",
        "HOOKSEAL_GROUP_INSTANCE_ID": "host",
        "HOOKSEAL_METRICS_PORT": str(port),
    }
    running = await Crew(env, tmp_path).start()
    yield running
    await running.stop()


async def test_two_processes_share_the_partitions_and_lose_nothing_when_one_is_killed(
    provider: Provider, receiver: Receiver, crew: Crew, port: int
) -> None:
    tenants = customers(12)
    for tenant in tenants:
        await provider.tenant(tenant, receiver.url(tenant))
    await crew.shared()
    for each in (port, port + 1):
        await ready(each)
    published = 0
    stop = asyncio.Event()

    async def publish() -> None:
        nonlocal published
        while not stop.is_set():
            await asyncio.gather(*(provider.publish(tenant, published) for tenant in tenants))
            published += 1
            # A pace, not a wait: events are to arrive while a worker is killed.
            await asyncio.sleep(0.1)

    publishing = asyncio.create_task(publish())
    await receiver.until(lambda: len(receiver.accepted()) > 100)
    first, second = crew.pids
    os.kill(second, signal.SIGKILL)
    await crew.until(lambda: crew.pids[1] != second)
    await ready(port + 1)
    seen = len(receiver.accepted())
    await receiver.until(lambda: len(receiver.accepted()) > seen + 100)
    stop.set()
    await publishing
    await receiver.until(lambda: len(set(receiver.accepted())) == published * len(tenants))

    (ended,) = crew.events("worker.process_exited")
    assert (ended["worker"], ended["code"], crew.pids[0]) == (1, "sigkill", first)
    for tenant in tenants:
        found = list(dict.fromkeys(receiver.accepted(tenant)))
        assert found == [f"{tenant}-{number}" for number in range(published)]
    assert await provider.dead_letters() == []

    crew.terminate()

    assert await crew.ended() == 0
    assert len(crew.events("worker.draining")) == 2
    assert len(crew.events("worker.process_exited")) == 1


async def test_a_fault_that_starting_again_does_not_mend_ends_the_command_with_its_status(
    provider: Provider, tmp_path: Path
) -> None:
    elsewhere = {**provider.env, "HOOKSEAL_TOPIC_PREFIX": "nowhere."}
    crew = await Crew(elsewhere, tmp_path).start()
    try:
        assert await crew.ended() == 78
    finally:
        await crew.stop()

    assert {line["code"] for line in crew.events("worker.process_exited")} <= {"exit_78", "sigterm"}
    assert crew.events("worker.restart_limit_reached")[0]["code"] == "exit_78"
