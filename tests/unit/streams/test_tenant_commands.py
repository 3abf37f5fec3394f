from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from agents.tenants import tenants
from streams.gap_detector import GapDetector
from streams.tenant_commands import CommandProgress, TenantCommandProcessor
from tests.fakes import FakeClock, RecordingObserver
from tests.unit.streams.fakes import PLACE, Consumer, Stream

if TYPE_CHECKING:
    from hookseal.domain.record import Record
    from streams.consumer import OffsetTrackingConsumer


def a_line(consumer: Consumer) -> tuple[TenantCommandProcessor, list[int]]:
    """Return a line of commands, and what it applies."""
    applied: list[int] = []

    def apply(record: Record) -> None:
        applied.append(record.offset)

    def its_consumer() -> OffsetTrackingConsumer:
        return cast("OffsetTrackingConsumer", consumer)

    gap_detector = partial(
        GapDetector, consumer=its_consumer, observer=RecordingObserver(), clock=FakeClock()
    )
    no_ends: Any = None
    line = TenantCommandProcessor(
        progress=CommandProgress(
            "tenant-commands",
            consumer=its_consumer,
            ends=no_ends,
            clock=FakeClock(),
            is_recovering=lambda: False,
        ),
        apply=apply,
        consumer=its_consumer,
        gap_detector=gap_detector,
        crash=lambda _: None,
    )
    return line, applied


class TestTenantCommandProcessor:
    async def test_applies_nothing_while_the_partition_may_be_another_s(self) -> None:
        consumer = Consumer()
        line, applied = a_line(consumer)
        running = asyncio.create_task(tenants(cast("Any", Stream(b"acme", b"acme")), commands=line))
        await asyncio.sleep(0)
        assert applied == []

        consumer.membership.confirm(asked_at=0)
        await running

        assert (applied, consumer.low_watermark(PLACE)) == ([0, 1], 2)

    async def test_drops_what_it_held_of_a_partition_that_is_gone(self) -> None:
        consumer = Consumer()
        line, applied = a_line(consumer)
        running = asyncio.create_task(tenants(cast("Any", Stream(b"acme")), commands=line))
        await asyncio.sleep(0)

        consumer.held = set()
        consumer.membership.confirm(asked_at=0)
        await running

        assert applied == []
