"""Rewind the partitions of a fetch that returns too late.

Symptom: a fetch that was sent before a rebalance returns during it. Its set of partitions is empty
by then, which means all partitions to aiokafka, and Faust drops the records while the flow is
stopped. The recovery of a table then waits forever ("No event received for active tp ... since
recovery start"). Faust also seeks during the rebalance, for the old partitions.
Patches: Consumer._wait_next_records, AIOKafkaConsumerThread._fetch_records.
Test: TestFetch, test_a_table_is_recovered_though_a_fetch_of_before_is_still_under_way.
Drop when: a Faust release waits for the running fetch before it changes the assignment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from faust.transport.drivers import aiokafka as driver

if TYPE_CHECKING:
    from faust.types import TP


class StaleFetch(driver.Consumer):
    """A consumer that knows which fetched records would be dispatched."""

    def is_fetching(self, tp: TP) -> bool:
        """Return whether fetched records of the partition would be dispatched now."""
        return self.flow_active and (
            tp in self._active_partitions or tp in self._buffered_partitions
        )

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:  # noqa: ASYNC109
        records, active = await super()._wait_next_records(timeout)
        # With the flow stopped, Faust would seek to the committed offsets: during a rebalance, for
        # the old partitions. It seeks again when the rebalance is over.
        return (records if self.flow_active else None), active


class StaleFetchThread(driver.AIOKafkaConsumerThread):
    """Its consumer thread."""

    async def _fetch_records(self, consumer: Any, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        fetched = dict(await super()._fetch_records(consumer, *args, **kwargs))
        # No await from here on: a seek that came in between would be undone.
        is_fetching = cast("StaleFetch", self.consumer).is_fetching
        for tp in [tp for tp in fetched if not is_fetching(tp)]:
            first = fetched.pop(tp)[0]
            if consumer._subscription.is_assigned(tp):  # noqa: SLF001
                consumer._fetcher.seek_to(tp, first.offset)  # noqa: SLF001
        return fetched
