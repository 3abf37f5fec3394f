"""Faust's consumer with all corrections of `faust_patches`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from faust.transport.drivers import aiokafka as driver

from streams.fast_path.batch_dispatcher import BatchDispatcher
from streams.fast_path.fetch_batching import FetchBatching
from streams.faust_patches.changelog_markers import ChangelogMarkersThread
from streams.faust_patches.commit_metadata import CommitMetadataThread
from streams.faust_patches.heartbeats import HeartbeatsThread
from streams.faust_patches.partition_errors import PartitionErrorsThread
from streams.faust_patches.producer_errors import ReportingProducer
from streams.faust_patches.read_committed import ReadCommitted, ReadCommittedThread
from streams.faust_patches.revocation_commit import RevocationCommit
from streams.faust_patches.stale_fetch import StaleFetch, StaleFetchThread
from streams.faust_patches.static_subscription import StaticSubscriptionConductor
from streams.faust_patches.table_recovery import ChangelogDispatcher
from streams.faust_patches.whole_records import WholeRecords
from streams.membership import Membership

if TYPE_CHECKING:
    from streams.faust_app import HooksealApp


class KafkaConsumerThread(
    ChangelogMarkersThread,
    StaleFetchThread,
    PartitionErrorsThread,
    CommitMetadataThread,
    ReadCommittedThread,
    HeartbeatsThread,
):
    """The thread that runs aiokafka's consumer."""

    app: HooksealApp

    async def on_start(self) -> None:
        """Start the client."""
        await super().on_start()
        if self.app.fast_path:
            client: Any = self._ensure_consumer()
            fetcher, batching = client._fetcher, FetchBatching(self.app.fetch_max_wait_s)  # noqa: SLF001
            fetcher._proc_fetch_request = partial(batching.fetch, fetcher._proc_fetch_request)  # noqa: SLF001


class OffsetTrackingConsumer(ReadCommitted, RevocationCommit, StaleFetch, WholeRecords):
    """Commits done offsets, and starts, rewinds and revokes partitions without a loss."""

    _thread: KafkaConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        scheduler: Any = ChangelogDispatcher(self, self.scheduler)
        if self.app.fast_path:
            scheduler = BatchDispatcher(self, scheduler)
        self.scheduler = scheduler
        self.membership = Membership(
            self.app.conf.broker_session_timeout, rebalancing=lambda: self.app.rebalancing
        )

    def _new_consumer_thread(self) -> KafkaConsumerThread:
        return KafkaConsumerThread(self, loop=self.loop, beacon=self.beacon)


class OffsetTrackingTransport(driver.Transport):
    """Faust's aiokafka transport with the corrected consumer, conductor and producer."""

    Consumer = OffsetTrackingConsumer
    Producer = ReportingProducer
    Conductor = StaticSubscriptionConductor
