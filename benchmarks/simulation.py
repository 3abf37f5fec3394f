"""The real scheduler under a simulated clock: workers and receivers, without Kafka or sockets.

`PartitionScheduler` and `PartitionContext` are those that a worker runs. Time is that of an event
loop which jumps to the
next timer instead of waiting, so that an hour of deliveries takes seconds. Not simulated: Kafka,
rebalances, failed attempts, several endpoints of one event.
"""

from __future__ import annotations

import asyncio
import selectors
from dataclasses import dataclass
from heapq import heapreplace
from itertools import accumulate, repeat
from random import Random
from typing import TYPE_CHECKING, Any, cast

from hookseal.delivery.ordering import Limits, OffsetTracker, PartitionScheduler
from hookseal.delivery.ordering.keys import OrderingKeyFinder
from hookseal.delivery.ordering.partition import PartitionContext
from hookseal.delivery.ports import Clock
from hookseal.domain.record import Record
from hookseal.kafka.partitioner import partition_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.capacity import Load

# Before the first tenth the queues are emptier, and after the ninth they run dry.
_FROM, _TO = 0.1, 0.9


@dataclass(frozen=True, slots=True)
class Simulated:
    """The result of a simulation."""

    per_s: float  # Webhooks a second, from the first tenth of the events to the ninth
    p50_s: float  # Median seconds from publishing an event to the end of its response
    p99_s: float  # 99th percentile of the same
    # Events that were not delivered when the last one was published. It grows with the run if more
    # is published than can be delivered; then the percentiles mean nothing.
    left: int


def simulate(
    load: Load,
    *,
    partitions: int,
    workers: int = 1,
    customers: int = 1000,
    per_s: float | None = None,
    events: int = 20_000,
    seed: int = 0,
) -> Simulated:
    """Deliver events of customers that are drawn at random.

    Args:
        load: What one webhook takes; every response takes `latency_s`.
        partitions: Customers are placed by the hash of their ids, as Kafka does.
        workers: Processes with one CPU each; each has every `workers`-th partition.
        customers: Each with as many events as the next.
        per_s: Events published a second (Poisson); None = all are there from the start.
        events: At least 100.
        seed: The same seed gives the same events.
    """
    chance = Random(seed)  # noqa: S311 - reproducible, not secret
    gaps = (
        repeat(0.0, events) if per_s is None else (chance.expovariate(per_s) for _ in range(events))
    )
    feeds: list[list[tuple[float, Record]]] = [[] for _ in range(partitions)]
    due = list(accumulate(gaps))
    for due_s in due:
        customer = f"customer-{chance.randrange(customers)}"
        partition = partition_of(customer, partitions)
        feed = feeds[partition]
        feed.append((due_s, Record("events", partition, len(feed), customer.encode(), b"", (), 0)))
    loop = _SimulatedLoop()
    try:
        took = loop.run_until_complete(_deliver(load, feeds, workers))
    finally:
        loop.close()
    done = sorted(due_s + seconds for due_s, seconds in took)
    first, last = int(events * _FROM), int(events * _TO)
    waits = sorted(seconds for _, seconds in sorted(took)[first:])
    return Simulated(
        per_s=(last - first) / (done[last] - done[first]),
        p50_s=waits[len(waits) // 2],
        p99_s=waits[len(waits) * 99 // 100],
        left=sum(at_s > due[-1] for at_s in done),
    )


async def _deliver(
    load: Load, feeds: Sequence[Sequence[tuple[float, Record]]], workers: int
) -> list[tuple[float, float]]:
    """Deliver all; return when each event was published, and how long it took then."""
    loop = asyncio.get_running_loop()
    processes = [_Process(load) for _ in range(workers)]
    took: list[tuple[float, float]] = []

    async def partition(number: int, feed: Sequence[tuple[float, Record]]) -> None:
        process = processes[number % workers]
        published = [due_s for due_s, _ in feed]

        async def deliver(record: Record, context: PartitionContext, _: object = None) -> None:
            name = str(record.key)
            await context.begin_attempt(name)
            await asyncio.sleep(process.attempt_s(loop.time()))
            context.end_attempt(name)
            took.append((published[record.offset], loop.time() - published[record.offset]))

        bounds, strict = load.bounds, load.ordering == "partition"
        context = PartitionContext(
            number,
            clock=Clock(),
            # Hears of backoffs only, and there is none.
            observer=cast("Any", None),
            at_a_time=None if strict else bounds.attempts,
            each=None if strict else bounds.each,
        )
        lanes = PartitionScheduler(
            context,
            tracker=OffsetTracker(),
            work=deliver,
            ordering_keys=OrderingKeyFinder(load.ordering, lambda *_, **__: None),
            limits=Limits(1, 0) if strict else Limits(bounds.events, bounds.queued),
            now=loop.time,
        )
        for due_s, record in feed:
            if due_s > loop.time():
                await asyncio.sleep(due_s - loop.time())
            await lanes.submit(record)
        await lanes.ended()

    await asyncio.gather(*(partition(number, feed) for number, feed in enumerate(feeds)))
    return took


class _Process:
    """One CPU and so many connections, both first come, first served."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._cpu_free_s = 0.0
        self._connections_free_s = [0.0] * load.bounds.connections

    def attempt_s(self, now_s: float) -> float:
        """Return the seconds from now to the response of an attempt that starts now."""
        self._cpu_free_s = max(now_s, self._cpu_free_s) + self._load.cpu_s
        answered_s = max(self._cpu_free_s, self._connections_free_s[0]) + self._load.latency_s
        heapreplace(self._connections_free_s, answered_s)
        return answered_s - now_s


class _SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer."""

    def __init__(self) -> None:
        self._now_s = 0.0
        super().__init__(_Jump(self))

    def time(self) -> float:
        """Return the simulated seconds."""
        return self._now_s

    def jump(self, seconds: float) -> None:
        """Let so much time pass."""
        self._now_s += seconds


class _Jump(selectors.SelectSelector):
    def __init__(self, loop: _SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return at once; the time that was to be waited has passed."""
        if timeout is None:
            raise RuntimeError("Nothing is left to happen, and something still waits.")
        self._loop.jump(max(0.0, timeout))
        return super().select(0)
