"""End the recovery of a table although its changelog ends with a transaction marker.

Symptom: a changelog whose last offset holds a transaction marker (a topic that was mirrored or
restored with transactions, an aborted transaction) is never recovered: Faust waits for a record at
the high watermark minus 1. The worker stays "recovering" and delivers nothing.
Patches: AIOKafkaConsumerThread._fetch_records.
Test: test_a_changelog_that_ends_with_an_aborted_transaction_is_recovered.
Drop when: a Faust release compares the position of the consumer with the high watermark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiokafka.structs import ConsumerRecord
from faust.transport.drivers import aiokafka as driver

if TYPE_CHECKING:
    from faust.types import TP


class ChangelogMarkersThread(driver.AIOKafkaConsumerThread):
    """A consumer thread that adds a record without a key behind markers at the end of a fetch.

    The recovery counts its offset, and the table ignores it.
    """

    async def _fetch_records(self, consumer: Any, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        before = self._recovering_positions(consumer)
        fetched = dict(await super()._fetch_records(consumer, *args, **kwargs))
        for tp, start in before.items():
            end = _position(consumer, tp)
            records = fetched.get(tp, ())
            last = records[-1].offset if records else start - 1
            # Without records, the table must have all records before: those that a rebalance
            # dropped are fetched again.
            if end is not None and end - 1 > last and (records or self._is_applied(tp, last)):
                marker = (tp.topic, tp.partition, end - 1, -1, 0, None, None, None, -1, -1, ())
                fetched[tp] = [*records, ConsumerRecord(*marker)]
        return fetched

    def _recovering_positions(self, consumer: Any) -> dict[TP, int]:
        tables: Any = self.app.tables
        if not self.app.in_recovery and tables.standbys_ready:
            return {}
        recovery = tables.recovery
        positions = {
            tp: _position(consumer, tp) for tp in (*recovery.active_tps, *recovery.standby_tps)
        }
        return {tp: position for tp, position in positions.items() if position is not None}

    def _is_applied(self, tp: TP, offset: int) -> bool:
        tables: Any = self.app.tables
        recovery = tables.recovery
        offsets = recovery.active_offsets if tp in recovery.active_tps else recovery.standby_offsets
        applied = offsets.get(tp)
        return applied is not None and applied >= offset


def _position(consumer: Any, tp: TP) -> int | None:
    subscription = consumer._subscription  # noqa: SLF001
    if not subscription.is_assigned(tp):
        return None
    state = subscription.subscription.assignment.state_value(tp)
    return int(state.position) if state.has_valid_position else None
