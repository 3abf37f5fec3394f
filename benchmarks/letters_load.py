"""Dead letters by the hundred thousand, straight onto their topic."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer

from benchmarks.sample import event_value
from benchmarks.scenario import PARTITIONS
from hookseal.domain.dead_letter import DeadLetter
from hookseal.domain.record import Record
from hookseal.kafka.partitioner import partition_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.deployment import Deployment

CUSTOMERS = 1000
# Has half of all letters: whoever fails, fails with everything.
LARGEST = "customer-0"
_IN_FLIGHT = 5000
_REASONS = ("attempts_exhausted", "attempts_exhausted", "endpoint_disabled", "endpoint_gone")
_TELL_EVERY = 1000


async def write_letters(
    deployment: Deployment, count: int, on_progress: Callable[[int], None]
) -> None:
    """Write so many dead letters of events of 1 KiB."""
    client = AIOKafkaProducer(
        **deployment.cluster.arguments(), acks="all", linger_ms=5, max_batch_size=512 * 1024
    )
    await client.start()
    sent: deque[Any] = deque()
    try:
        for number in range(count):
            letter = _letter(deployment.names.events, number)
            if len(sent) >= _IN_FLIGHT:
                await sent.popleft()
            sent.append(
                await client.send(
                    deployment.names.dead_letters,
                    key=letter.key,
                    value=letter.record.value,
                    headers=list(letter.headers()),
                    partition=letter.record.partition,
                )
            )
            if number % _TELL_EVERY == 0:
                on_progress(number)
        for future in sent:
            await future
    finally:
        await client.stop()


def _letter(topic: str, number: int) -> DeadLetter:
    customer = LARGEST if number % 2 else f"customer-{number // 2 % CUSTOMERS}"
    record = Record(
        topic,
        partition_of(customer, PARTITIONS),
        number,
        customer.encode(),
        event_value(number),
        (),
        1_700_000_000_000 + number,
    )
    return DeadLetter(
        record=record,
        reason=_REASONS[number // 2 % len(_REASONS)],
        error="5 attempts failed, the last one with http_503.",
        event_id=f"evt_{number:012d}",
        failed_at=1_700_000_000.0 + number,
        key=record.key,
        endpoint_id=f"ep_{number // 2 % 3}",
        attempts=5,
        status=503,
        first_attempt_at=1_699_999_900.0 + number,
    )
