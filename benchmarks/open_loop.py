"""Publishes events at moments that are fixed ahead; a program of its own.

Open loop: whoever waits for the event before, or begins to count when an event was at last
sent, leaves out just the time that a stall costs (Tene, "How NOT to Measure Latency", 2013).
An event counts from when it was due, however late this program was; how late is said.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from aiokafka import AIOKafkaProducer

from benchmarks.sample import event_value
from hookseal.config import load

if TYPE_CHECKING:
    from collections.abc import Sequence

# So that connecting and making the events do not delay the first of them.
_LEAD_S = 0.5
# As Kafka's own clients have it since 4.0 (KIP-1030). Without, nearly each event is a request of
# its own, which takes more of the machine than delivering it does.
_LINGER_MS = 5
# A batch that is full while the one before it is on its way would hold the publisher up.
_BATCH_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """What to publish."""

    per_s: float  # Events a second, as many as come by chance: a Poisson process
    seconds: float  # For how long
    first: int  # Number of the first event
    seed: int  # Of the moments; the same seed gives the same moments
    customers: Sequence[tuple[str, int]]  # Id and partition of each, published for in turns

    def text(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))


class Sent(NamedTuple):
    """What became of a plan."""

    began_s: float  # Second of `time.monotonic` from which its moments count
    lag_max_s: float  # The longest that an event was handed to the producer after it was due
    lag_p99_s: float  # Of a hundred events one was later than this


def due_moments(per_s: float, seconds: float, seed: int) -> list[float]:
    """Return when each event is due, in seconds from the begin."""
    chance = Random(seed)  # noqa: S311 - no secret
    moments: list[float] = []
    at_s = chance.expovariate(per_s)
    while at_s < seconds:
        moments.append(at_s)
        at_s += chance.expovariate(per_s)
    return moments


def event_id(number: int) -> str:
    """Return the id that `event_value` gives the event of this number."""
    return f"evt_{number:012d}"


async def _publish(plan: Plan) -> Sent:
    settings = load()
    topic, due = settings.names.events, due_moments(plan.per_s, plan.seconds, plan.seed)
    ready = [
        (at_s, customer_id.encode(), partition, event_value(number))
        for number, at_s in enumerate(due, plan.first)
        for customer_id, partition in (plan.customers[number % len(plan.customers)],)
    ]
    client = AIOKafkaProducer(
        **settings.cluster.arguments(),
        acks="all",
        enable_idempotence=settings.cluster.idempotence,
        linger_ms=_LINGER_MS,
        max_batch_size=_BATCH_BYTES,
    )
    await client.start()
    try:
        await client.partitions_for(topic)
        began = time.monotonic() + _LEAD_S
        lags: list[float] = []
        for at_s, key, partition, value in ready:
            # Even when it is late: the producer needs the loop to send anything at all.
            await asyncio.sleep(max(0.0, began + at_s - time.monotonic()))
            lags.append(time.monotonic() - began - at_s)
            await client.send(topic, value, key=key, partition=partition)
        await client.flush()
    finally:
        await client.stop()
    lags.sort()
    return Sent(began, lags[-1], lags[int(len(lags) * 0.99)])


if __name__ == "__main__":
    wanted = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps(asyncio.run(_publish(Plan(**wanted)))._asdict()))
