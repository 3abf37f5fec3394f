"""Put back what a fetch brings that nobody reads any more.

Symptom: a fetch that was sent before a rebalance returns during it. Its set of partitions is empty
by then, which aiokafka takes for all partitions, and Faust drops what arrives before the flow goes
on. The recovery of a table then waits forever ("No event received for active tp ... since recovery
start"). Faust also seeks in the middle of the rebalance, for the partitions of before.
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
        """Tell whether what is fetched of the partition would be handed over now."""
        return self.flow_active and (
            tp in self._active_partitions or tp in self._buffered_partitions
        )

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:  # noqa: ASYNC109
        records, active = await super()._wait_next_records(timeout)
        # Faust would seek to what is committed if the flow is stopped: in the middle of a
        # rebalance, for the partitions of before. It seeks once more when that is over.
        return (records if self.flow_active else None), active


class StaleFetchThread(driver.AIOKafkaConsumerThread):
    """Its consumer thread."""

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's signature
        max_records: int | None = None,
    ) -> dict[Any, Any]:
        fetched = dict(
            await super()._fetch_records(
                consumer, active_partitions, timeout=timeout, max_records=max_records
            )
        )
        # Nothing may be awaited from here on: a seek that came in between would be undone.
        is_fetching = cast("StaleFetch", self.consumer).is_fetching
        for tp in [tp for tp in fetched if not is_fetching(tp)]:
            first = fetched.pop(tp)[0]
            if consumer._subscription.is_assigned(tp):  # noqa: SLF001
                consumer._fetcher.seek_to(tp, first.offset)  # noqa: SLF001
        return fetched
