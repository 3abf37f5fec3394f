"""Checks of stored tenants: whether the master key fits them, and who wrote them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hookseal.errors import ConfigurationError, InvalidInputError
from hookseal.kafka.consumer import read_from, read_ranges, topic_partitions
from hookseal.kafka.topics import TopicNames
from hookseal.telemetry.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from hookseal.kafka.cluster import Cluster
    from hookseal.tenants.codec import TenantCodec

_LATEST = 200

_log = logger(__name__)


class KeyFit(NamedTuple):
    """How many of the checked documents have a MAC of a current or previous master key."""

    fits: int
    documents: int

    @property
    def is_wrong(self) -> bool:
        """Whether documents exist, and the key fits none of them."""
        return self.documents > 0 and self.fits == 0


def master_key_wrong(documents: int) -> ConfigurationError:
    """Return the error for a master key that fits none of the documents."""
    return ConfigurationError(
        "master_key_wrong",
        f"The master key fits none of the {documents:,} tenant documents. Set "
        "HOOKSEAL_MASTER_KEY to the key that they were written with, or add that key to "
        "HOOKSEAL_MASTER_KEY_PREVIOUS. `hookseal doctor` checks it.",
        field="HOOKSEAL_MASTER_KEY",
    )


async def key_fit(cluster: Cluster, codec: TenantCodec) -> KeyFit:
    """Check the last 200 offsets of each partition of the changelog.

    The last record of each tenant counts. Deleted tenants do not count.

    Raises:
        BrokerError: `broker_unreachable`, `topic_missing`.
    """
    partitions = await topic_partitions(cluster, TopicNames(cluster.topic_prefix).tenants_changelog)
    found: dict[bytes, bool] = {}
    async with read_from(cluster, from_earliest=True) as consumer:
        starts = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        ranges = {tp: (max(starts[tp], ends[tp] - _LATEST), ends[tp]) for tp in partitions}
        async for record in read_ranges(consumer, ranges):
            key, value = record.key or b"", record.value
            if value is None:
                found.pop(key, None)
                continue
            try:
                codec.checked_document(key, value)
            except InvalidInputError:
                found[key] = False
            else:
                found[key] = True
    return KeyFit(sum(found.values()), len(found))


class UnauthenticatedRecords:
    """Changelog records without our MAC: reported by `on_forged`, unless a record of ours follows.

    Most of those that are followed have a MAC of a previous master key, until compaction.
    """

    def __init__(self, on_forged: Callable[[], None]) -> None:
        self._on_forged = on_forged
        self._skipped: dict[bytes, tuple[str, int, int]] = {}

    def note(self, key: bytes, topic: str, partition: int, offset: int) -> None:
        """Note a record that was skipped."""
        self._skipped[key] = (topic, partition, offset)

    @property
    def keys(self) -> AbstractSet[bytes]:
        """The keys of the records that were noted since the last report."""
        return self._skipped.keys()

    def clear(self) -> None:
        """Drop the notes without a report."""
        self._skipped = {}

    def followed(self, key: bytes) -> None:
        """Drop the note of this key, because a record of ours follows."""
        self._skipped.pop(key, None)

    def report(self) -> None:
        """Report the remaining records, once the changelog is read."""
        skipped, self._skipped = self._skipped, {}
        for topic, partition, offset in skipped.values():
            self._on_forged()
            position = {"topic": topic, "partition": partition, "offset": offset}
            _log.error("tenants.unauthenticated_record", code="tenant_document_forged", **position)
