"""The tenants table as Faust has it: what of its changelog is taken, and where its keys stand."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

import faust
import structlog

from hookseal.kafka.partitioner import partition_of
from streams.fast_path.table_lookup import value_in
from streams.faust_patches.table_recovery import TableRecovery

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from faust.types import TP, EventT, FutureMessage, Message

    from hookseal.errors import HooksealError


_log = structlog.stdlib.get_logger("hookseal.worker")


async def _usable() -> None:
    return None


class ChangelogTable(faust.Table[bytes, bytes]):
    """A table that tells when the changelog has its latest change.

    Attributes:
        is_genuine: Whether a record of the changelog was written by one of ours.
        why_unusable: Asked after each recovery why the worker must not go on; None = it may.
    """

    last_write: FutureMessage | None = None
    is_genuine: Callable[[Message], bool] = staticmethod(lambda _: True)
    why_unusable: Callable[[], Awaitable[HooksealError | None]] = staticmethod(_usable)
    _since = 0.0
    _records = 0
    _refused = 0

    def __init__(self, app: Any, **kwargs: Any) -> None:
        """Declare the table; its recovery is the app's."""
        super().__init__(app, **kwargs)
        if app.tables._recovery is None:  # noqa: SLF001 - made with the first use, by name
            app.tables._recovery = TableRecovery(app, app.tables, beacon=app.tables.beacon)  # noqa: SLF001

    async def on_rebalance(self, *args: Any, **kwargs: Any) -> None:
        """Begin to count what is read."""
        self._since, self._records, self._refused = time.monotonic(), 0, 0
        await super().on_rebalance(*args, **kwargs)

    def apply_changelog_batch(self, batch: Iterable[EventT[Any]]) -> None:
        """Take what the changelog says into the table, but for what somebody else wrote."""
        batch = list(batch)
        genuine = [one for one in batch if one.key is not None and self.is_genuine(one.message)]
        self._records += len(batch)
        self._refused += len(batch) - len(genuine)
        super().apply_changelog_batch(genuine)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Tell what was read."""
        await super().on_recovery_completed(active_tps, standby_tps)
        _log.info(
            "table.recovered",
            records=self._records,
            refused=self._refused,
            duration_s=round(time.monotonic() - self._since, 3),
        )

    def document(self, key: bytes) -> bytes | None:
        """Return the document of a key, or None."""
        if self.app.fast_path:  # type: ignore[attr-defined]
            return value_in(self, key, in_memory=self._is_in_memory)
        document: bytes | None = self.get(key)
        return document

    def send_changelog(self, *args: Any, **kwargs: Any) -> FutureMessage:
        """Send a change to the changelog and remember what tells when it is there."""
        self.last_write = super().send_changelog(*args, **kwargs)
        return self.last_write

    def restore(self, key: bytes, document: bytes | None, partition: int) -> None:
        """Have this document stand under a key, or none, without a record on the changelog.

        Works outside of an agent, where Faust's own methods refuse.
        """
        store: Any = self.data
        if self._is_in_memory:
            if document is None:
                store.data.pop(key, None)
            else:
                store.data[key] = document
            return
        db = store._db_for_partition(partition)  # noqa: SLF001 - a file for each partition
        if document is None:
            db.delete(key)
        else:
            db.put(key, document)

    def items_of(self, partition: int, partitions: int) -> list[tuple[bytes, bytes]]:
        """Return keys and values that stand on one of so many partitions."""
        store: Any = self.data
        if not self._is_in_memory:
            db = store._dbs.get(partition)  # noqa: SLF001 - a file for each partition
            return [] if db is None else list(store._visible_items(db))  # noqa: SLF001
        places = self._places(partitions)
        return [item for item in store.data.items() if places[item[0]] == partition]

    def all_items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and values of all partitions that are held."""
        store: Any = self.data
        if self._is_in_memory:
            yield from store.data.items()
            return
        for db in store._dbs.values():  # noqa: SLF001 - a file for each partition
            yield from store._visible_items(db)  # noqa: SLF001

    def keep_only(self, kept: set[int], partitions: int) -> None:
        """Forget, in memory, what stands on other partitions than these."""
        if self._is_in_memory:
            store: Any = self.data
            places = self._places(partitions)
            for key in [key for key in store.data if places[key] not in kept]:
                del store.data[key]
                del places[key]

    @property
    def is_recovering(self) -> bool:
        """Whether what its changelog holds is being read."""
        return bool(self.app.in_recovery)

    @cached_property
    def _is_in_memory(self) -> bool:
        return bool(self.app.conf.store.scheme == "memory")

    def _places(self, partitions: int) -> dict[bytes, int]:
        # The store notes it of what it reads from the changelog, but not of what is written
        # live. To hash a key takes some 10 us: of a million of them, ten seconds.
        store: Any = self.data
        places: dict[bytes, int] = store._key_partition  # noqa: SLF001
        for key in [key for key in store.data if key not in places]:
            places[key] = partition_of(key.decode(), partitions)
        return places
