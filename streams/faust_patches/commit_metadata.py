"""Commit metadata beside the offset, and read it back.

Symptom: Faust commits offsets without metadata, and aiokafka's `committed()` returns none. Events
that are done above the committed offset would be delivered again by the next owner.
Patches: Consumer._commit, .seek_to_committed (Faust); AIOKafkaConsumer.commit, through the client
that `_create_worker_consumer` returns.
Test: TestOffsetMetadata.
Drop when: Faust passes metadata through in both directions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from aiokafka.errors import OffsetMetadataTooLargeError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from hookseal.delivery.ordering import offset_metadata
from streams.faust_patches.offset_commits import OffsetCommits

if TYPE_CHECKING:
    from collections.abc import Mapping


class CommitMetadata(OffsetCommits):
    """A consumer that commits the completed ranges, and loads those of an earlier owner."""

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        done = await super()._commit(offsets)
        if done:
            self._committed_metadata.update({tp: self.metadata[tp] for tp in offsets})
        return done

    async def seek_to_committed(self) -> Any:
        """Seek to the committed offsets, and load the ranges that are completed above them."""
        found: dict[TP, int | None] = {}
        for topic_partition, committed in (await cast("Any", self._thread).committed()).items():
            tp = TP(*topic_partition)
            found[tp] = None
            if committed is not None:
                found[tp] = committed.offset
                completed_ranges = offset_metadata.decode(committed.metadata, committed.offset)
                self.tracker(tp).load(committed.offset, completed_ranges)
                self._committed_metadata[tp] = committed.metadata
            self._unknown.discard(tp)
        return found


class CommitMetadataThread(driver.AIOKafkaConsumerThread):
    """A consumer thread whose commits carry metadata."""

    _metadata_fits = True

    def _create_worker_consumer(self, transport: Any) -> Any:
        client = super()._create_worker_consumer(transport)
        commit = client.commit

        async def commit_with_metadata(offsets: Mapping[TP, OffsetAndMetadata]) -> None:
            try:
                await commit(self._with_metadata(offsets))
            except OffsetMetadataTooLargeError:
                # Without metadata events are repeated after a failover, but no worker ends.
                self._metadata_fits = False
                self.log.warning("The broker's offset.metadata.max.bytes is too small.")
                await commit(offsets)

        client.commit = commit_with_metadata
        return client

    async def committed(self) -> dict[TP, OffsetAndMetadata | None]:
        """Seek to the committed offsets; return them with their metadata."""
        found: dict[TP, OffsetAndMetadata | None] = await self.call_thread(self._seek_to_committed)
        return found

    async def _seek_to_committed(self) -> dict[Any, OffsetAndMetadata | None]:
        # Like aiokafka's own, but in one request and with the metadata.
        client: Any = self._ensure_consumer()
        held = client.assignment()
        found = await client._coordinator.fetch_committed_offsets(list(held))  # noqa: SLF001
        for tp, committed in found.items():
            if committed.offset > 0 and tp in client.assignment():
                client._fetcher.seek_to(tp, committed.offset)  # noqa: SLF001
        return {tp: found.get(tp) for tp in held}

    def _with_metadata(
        self, offsets: Mapping[TP, OffsetAndMetadata]
    ) -> dict[TP, OffsetAndMetadata]:
        if not self._metadata_fits:
            return dict(offsets)
        metadata = cast("CommitMetadata", self.consumer).metadata
        return {
            tp: OffsetAndMetadata(committed.offset, metadata.get(tp, ""))
            for tp, committed in offsets.items()
        }
