"""Faust's table of tenants: which records of its changelog count, and access by partition."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

import faust
import structlog

from hookseal.kafka.partitioner import partition_of
from streams.faust_patches.table_recovery import TableRecovery

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from faust.types import TP, EventT, FutureMessage, Message

    from hookseal.errors import HooksealError

_log = structlog.stdlib.get_logger("hookseal.worker")


class ChangelogTable(faust.Table[bytes, bytes]):
    """A table that ignores records of other writers, and can be restored outside of an agent.

    Its owner sets `is_genuine` and `why_unusable`, which returns, after each recovery, why the
    worker must stop, or None.
    """

    last_write: FutureMessage | None = None
    is_genuine: Callable[[Message], bool]
    why_unusable: Callable[[], Awaitable[HooksealError | None]]
    _since = 0.0
    _records = 0
    _refused = 0

    def __init__(self, app: Any, **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        if app.tables._recovery is None:  # noqa: SLF001 - created at its first use, by name
            app.tables._recovery = TableRecovery(app, app.tables, beacon=app.tables.beacon)  # noqa: SLF001

    async def on_rebalance(self, *args: Any, **kwargs: Any) -> None:
        """Reset the counts of the recovery."""
        self._since, self._records, self._refused = time.monotonic(), 0, 0
        await super().on_rebalance(*args, **kwargs)

    def apply_changelog_batch(self, batch: Iterable[EventT[Any]]) -> None:
        """Apply the genuine records."""
        batch = list(batch)
        genuine = [one for one in batch if one.key is not None and self.is_genuine(one.message)]
        self._records += len(batch)
        self._refused += len(batch) - len(genuine)
        super().apply_changelog_batch(genuine)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Log how much was read."""
        await super().on_recovery_completed(active_tps, standby_tps)
        _log.info(
            "table.recovered",
            records=self._records,
            refused=self._refused,
            duration_s=round(time.monotonic() - self._since, 3),
        )

    def document(self, key: bytes) -> bytes | None:
        """Return the document of a key, or None."""
        source: Any = self
        if self.app.fast_path:  # type: ignore[attr-defined]
            # Several lookups per event. Faust's `get` takes nine calls to the same value.
            source = self.data.data if self._is_in_memory else self.data
        document: bytes | None = source.get(key)
        return document

    def send_changelog(self, *args: Any, **kwargs: Any) -> FutureMessage:
        """Send a change to the changelog, and keep its future."""
        self.last_write = super().send_changelog(*args, **kwargs)
        return self.last_write

    def restore(self, key: bytes, document: bytes | None, partition: int) -> None:
        """Set or delete (None) a document outside of an agent, without a changelog record."""
        # RocksDB: a database per partition.
        store: Any = self.data
        values = store.data if self._is_in_memory else store._db_for_partition(partition)  # noqa: SLF001
        if document is not None:
            values[key] = document
        elif self._is_in_memory:
            values.pop(key, None)
        else:
            values.delete(key)

    def items_of(self, partition: int, partitions: int) -> list[tuple[bytes, bytes]]:
        """Return keys and documents of one of so many partitions."""
        store: Any = self.data
        if not self._is_in_memory:
            db = store._dbs.get(partition)  # noqa: SLF001
            return [] if db is None else list(store._visible_items(db))  # noqa: SLF001
        owners = self._partitions_by_key(partitions)
        return [item for item in store.data.items() if owners[item[0]] == partition]

    def all_items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and documents of all partitions of this worker."""
        store: Any = self.data
        if self._is_in_memory:
            yield from store.data.items()
            return
        for db in store._dbs.values():  # noqa: SLF001
            yield from store._visible_items(db)  # noqa: SLF001

    def keep_only(self, kept: set[int], partitions: int) -> None:
        """Drop, in memory, the documents of all partitions but these."""
        if self._is_in_memory:
            store: Any = self.data
            owners = self._partitions_by_key(partitions)
            for key in [key for key in store.data if owners[key] not in kept]:
                del store.data[key]
                del owners[key]

    @cached_property
    def _is_in_memory(self) -> bool:
        return bool(self.app.conf.store.scheme == "memory")

    def _partitions_by_key(self, partitions: int) -> dict[bytes, int]:
        # The store notes the partition of what it reads from the changelog, but not of what is
        # written live. To hash a key takes some 10 us: ten seconds for a million keys.
        store: Any = self.data
        owners: dict[bytes, int] = store._key_partition  # noqa: SLF001
        for key in [key for key in store.data if key not in owners]:
            owners[key] = partition_of(key.decode(), partitions)
        return owners
