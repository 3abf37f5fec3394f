"""The tenants of this worker, over Faust's table."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import structlog
from aiokafka.errors import KafkaError

from hookseal.domain.command import refused
from hookseal.errors import BrokerError, InvalidInputError
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.producer import is_permanent
from hookseal.telemetry import metrics
from hookseal.tenants.key_check import UnauthenticatedRecords, master_key_wrong

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from faust.types import Message

    from hookseal.domain.command import Command
    from hookseal.domain.tenant import Tenant
    from hookseal.errors import HooksealError
    from hookseal.tenants.codec import TenantCodec
    from hookseal.tenants.key_check import KeyFit
    from streams.changelog import ChangelogTable
    from streams.tenant_commands import CommandProgress

# Decoded, a tenant takes several times the memory of its document.
_DECODED_MAX = 65_536
# As written in a document. Inside a JSON string its quotes would be escaped.
_SUSPENDED, _PAUSED, _ORDERING = b'"suspension":', b'"paused_at":', b'"ordering":'
_NOT_STORED = "change_not_stored"

_log = structlog.stdlib.get_logger("hookseal.worker")


@dataclass(slots=True)
class _Change:
    """A command that took effect in the table.

    `stored` is done with `code` once the end of its write is known: `ok`, or why it was undone.
    """

    command: Command
    stored: asyncio.Future[str]
    code: str = "ok"


@dataclass(slots=True)
class _Unstored:
    """A tenant of whom the changelog lacks changes.

    `document` is what the changelog has, `waiting` the number of writes on their way, `refused`
    the changes since `document` that Kafka refused.
    """

    customer_id: str
    document: bytes | None
    waiting: int = 0
    refused: list[_Change] = field(default_factory=list)


@dataclass(slots=True)
class _Write:
    """One record on its way to the changelog, and the changes that it is the first to contain."""

    tenant: _Unstored
    document: bytes | None
    changes: list[_Change]

    def end(self, finish: Callable[[_Change], object]) -> None:
        for change in self.changes:
            # A future may have been cancelled meanwhile.
            if not change.stored.done():
                finish(change)


class FaustTenants:
    """`Tenants` for the engine and `TenantsTable` for its writer, over Faust's table.

    `on_change` is called with customer id and partition after each change.
    """

    def __init__(
        self,
        table: ChangelogTable,
        *,
        codec: TenantCodec,
        partitions: Callable[[], int],
        commands: CommandProgress,
        wait_s: float,
        key_fit: Callable[[], Awaitable[KeyFit]],
    ) -> None:
        self._table = table
        table.is_genuine = self._is_genuine
        table.why_unusable = self._why_unusable
        self._codec = codec
        self._partitions = partitions
        self._commands = commands
        self._wait_s = wait_s
        self._key_fit = key_fit
        self._forged = UnauthenticatedRecords(metrics.FORGED_RECORDS.inc)
        self._is_key_checked = self._is_report_due = False
        self.on_change: Callable[[str, int], None] = lambda *_: None
        self._decoded: dict[str, tuple[bytes, Tenant]] = {}
        self._unstored: dict[bytes, _Unstored] = {}

    def get(self, customer_id: str) -> Tenant | None:
        """Return the tenant, or None; a damaged document raises `InvalidInputError`."""
        document = self._table.document(customer_id.encode())
        return None if document is None else self._decode(customer_id, document)

    def of_partition(self, partition: int) -> Sequence[Tenant]:
        """Return the tenants whose events are on this partition."""
        # Not cached: together they would take several times the memory of their documents.
        return [
            self._decode(key.decode(), document, keep=False)
            for key, document in self._table.items_of(partition, self._partitions())
        ]

    def suspended_of(self, partition: int) -> Sequence[Tenant]:
        """Return the tenants of this partition that may have a suspended endpoint."""
        return self._with(partition, _SUSPENDED, _PAUSED)

    def relaxed_of(self, partition: int) -> Sequence[Tenant]:
        """Return those that may have a suspended endpoint, or one with an ordering mode."""
        return self._with(partition, _ORDERING, _SUSPENDED)

    def _with(self, partition: int, *members: bytes) -> list[Tenant]:
        # Decodes only these: to decode a million tenants would block the loop for a minute.
        return [
            self._decode(key.decode(), document)
            for key, document in self._table.items_of(partition, self._partitions())
            if any(member in document for member in members)
        ]

    def is_shared(self, partition: int) -> bool:
        """Return whether the partition has several tenants."""
        return len(self._table.items_of(partition, self._partitions())) > 1

    async def settle(self, partition: int) -> None:
        """Do as `catch_up`, for at most HOOKSEAL_UNKNOWN_TENANT_WAIT_S."""
        try:
            async with asyncio.timeout(self._wait_s):
                await self.catch_up(partition)
        except TimeoutError:
            _log.warning("commands.lagging", partition=partition, wait_s=self._wait_s)

    async def catch_up(self, partition: int) -> None:
        """Wait until every command that the partition has now is applied."""
        # Commands are applied once the table is recovered, so the changelog is read by then.
        if await self._commands.catch_up(partition):
            self._is_report_due = True
            self._report_forged()

    def _report_forged(self) -> None:
        # Not while the master key is being checked: with a wrong key, no record is forged.
        if self._is_report_due and self._is_key_checked:
            self._is_report_due = False
            self._forged.report()

    def put(self, customer_id: str, tenant: Tenant | None, command: Command) -> asyncio.Future[str]:
        """Store the tenant, or delete it (None); must be called from the agent.

        Takes effect at once. The future's result is `ok` once the changelog has the change. It is
        `change_not_stored` if Kafka refused it permanently: the tenant is as it was before, and
        the command counts as refused.
        """
        key = customer_id.encode()
        unstored = self._unstored.setdefault(key, _Unstored(customer_id, self._table.document(key)))
        document = None
        if tenant is None:
            self._decoded.pop(customer_id, None)
            del self._table[key]
        else:
            document = self._codec.document(tenant)
            self._cache(customer_id, document, tenant)
            self._table[key] = document
        written = self._table.last_write
        assert written is not None  # noqa: S101 - both ways send to the changelog
        change = _Change(command, asyncio.get_running_loop().create_future())
        self._wait_for(written, _Write(unstored, document, [change]))
        self._changed(customer_id)
        return change.stored

    def _wait_for(self, written: asyncio.Future[object], write: _Write) -> None:
        write.tenant.waiting += 1
        written.add_done_callback(partial(self._written, write))

    def _written(self, write: _Write, written: asyncio.Future[object]) -> None:
        """Handle the end of one write to the changelog. Writes end in their order."""
        unstored = write.tenant
        key = unstored.customer_id.encode()
        error = None if written.cancelled() else written.exception()
        if written.cancelled() or self._unstored.get(key) is not unstored:
            # The partition went to another worker, which reads the changelog itself.
            write.end(lambda change: change.stored.cancel())
            return
        unstored.waiting -= 1
        if error is None:
            unstored.document = write.document
            # A later document contains the changes of an earlier one that was refused.
            write.changes[:0] = unstored.refused
            unstored.refused = []
            write.end(lambda change: change.stored.set_result(change.code))
        elif isinstance(error, KafkaError) and is_permanent(error):
            unstored.refused += write.changes
        else:
            write.end(lambda change: change.stored.set_exception(error))
        if not unstored.waiting:
            del self._unstored[key]
            if unstored.refused:
                self._undo(unstored, error)

    def _undo(self, unstored: _Unstored, error: BaseException | None) -> None:
        """Restore the document of the changelog, and note the refused commands in it."""
        customer_id, key = unstored.customer_id, unstored.customer_id.encode()
        partition = partition_of(customer_id, self._partitions())
        metrics.TENANT_WRITES_REFUSED.inc()
        _log.error(
            "tenants.write_refused",
            customer_id=customer_id,
            partition=partition,
            error=type(error).__name__,
            commands=len(unstored.refused),
        )
        self._decoded.pop(customer_id, None)
        self._table.restore(key, unstored.document, partition)
        before = after = self.get(customer_id)
        for change in unstored.refused:
            if change.code == "ok":
                change.code = _NOT_STORED
                after = refused(after, change.command, _NOT_STORED)
        again = _Unstored(customer_id, unstored.document)
        write = _Write(again, unstored.document, unstored.refused)
        if after is None or after == before:
            # There is no tenant to note it in, or this was the write that noted it.
            write.end(lambda change: change.stored.set_result(change.code))
        else:
            write.document = self._codec.document(after)
            self._table.restore(key, write.document, partition)
            self._unstored[key] = again
            self._wait_for(self._table.send_changelog(partition, key, write.document), write)
        self._changed(customer_id)

    def _changed(self, customer_id: str) -> None:
        self.on_change(customer_id, partition_of(customer_id, self._partitions()))

    def keep_only(self, partitions: set[int]) -> None:
        """Drop the tenants of partitions that were revoked.

        The memory store never drops what was written live. A tenant that another worker deletes
        would be back when its partition comes back after compaction.
        """
        self._decoded.clear()
        count = self._partitions()
        self._unstored = {
            key: unstored
            for key, unstored in self._unstored.items()
            if partition_of(key.decode(), count) in partitions
        }
        self._table.keep_only(partitions, count)

    async def _why_unusable(self) -> HooksealError | None:
        self._is_key_checked = False
        error = await self._key_error()
        if error is None:
            self._is_key_checked = True
            self._report_forged()
        return error

    async def _key_error(self) -> HooksealError | None:
        """Return an error if the master key is wrong.

        With a wrong key every tenant would be unknown, and all events would become dead letters.
        A worker whose partitions have no tenants cannot detect it.
        """
        foreign = set(self._forged.keys)
        for key, document in self._table.all_items():
            if self._is_ours(key, document):
                return None
            # A store on disk keeps what was written under another key.
            foreign.add(key)
        if not foreign:
            return None
        try:
            # If the partitions of other workers have tenants of this key, the key is right, and
            # somebody else wrote the documents here.
            fit = await self._key_fit()
        except BrokerError as error:
            return error
        if fit.fits:
            return None
        # These records are not forged: report no intruder.
        self._forged.clear()
        return master_key_wrong(max(fit.documents, len(foreign)))

    def _is_ours(self, key: bytes, document: bytes) -> bool:
        try:
            self._codec.checked_document(key, document)
        except InvalidInputError:
            return False
        return True

    def _is_genuine(self, message: Message) -> bool:
        key = message.key or b""
        if message.value is not None and not self._is_ours(key, message.value):
            # Skipped: the tenant's last genuine document stays in force.
            self._forged.note(key, message.topic, message.partition, message.offset)
            return False
        self._forged.followed(key)
        return True

    def _decode(self, customer_id: str, document: bytes, *, keep: bool = True) -> Tenant:
        # Decoding costs some 10 us, and most events find their tenant unchanged.
        known = self._decoded.get(customer_id)
        if known is not None and known[0] == document:
            return known[1]
        tenant = self._codec.tenant_in(customer_id.encode(), document)
        if keep:
            self._cache(customer_id, document, tenant)
        return tenant

    def _cache(self, customer_id: str, document: bytes, tenant: Tenant) -> None:
        if len(self._decoded) >= _DECODED_MAX:
            # All: finding the oldest key of a dictionary gets slower with each deletion.
            self._decoded.clear()
        self._decoded[customer_id] = (document, tenant)
