"""The tenants table: Faust's, seen through our eyes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import structlog
from aiokafka.errors import KafkaError
from faust.types import TP

from hookseal.domain.command import refused
from hookseal.errors import BrokerError, InvalidInputError
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.producer import is_permanent
from hookseal.tenants.key_check import UnauthenticatedRecords, master_key_wrong
from streams.changelog import ChangelogTable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from faust.types import Message

    from hookseal.delivery.ports import Clock
    from hookseal.domain.command import Command
    from hookseal.domain.tenant import Tenant
    from hookseal.errors import HooksealError
    from hookseal.kafka.consumer import LogEnds
    from hookseal.tenants.codec import TenantCodec
    from hookseal.tenants.key_check import KeyFit
    from streams.tenant_commands import TenantCommandProcessor

__all__ = ["ChangelogTable", "FaustTenants"]

PATIENCE_S = 30.0
_PAUSE_S = 1.0
_RECHECK_S = 0.1
# Decoded, a tenant takes several times the memory of its document.
_DECODED_MAX = 65_536
# As it stands in a document; within a text its quotes would be escaped.
_SUSPENDED = b'"suspension":'

_NOT_STORED = "change_not_stored"

_log = structlog.stdlib.get_logger("hookseal.worker")


@dataclass(slots=True)
class _Change:
    """A command that took effect in the table.

    Attributes:
        command: The command.
        stored: Done with `code` once it is known what the changelog has.
        code: `ok`, or why it was undone.
    """

    command: Command
    stored: asyncio.Future[str]
    code: str = "ok"


@dataclass(slots=True)
class _Write:
    """One record on its way to the changelog.

    Attributes:
        document: Its value; None deletes the tenant.
        changes: The commands whose result it holds and no record before it.
    """

    document: bytes | None
    changes: list[_Change]

    def end(self, finish: Callable[[_Change], object]) -> None:
        """Finish the changes whose end nobody has cancelled."""
        for change in self.changes:
            if not change.stored.done():
                finish(change)


@dataclass(slots=True)
class _Unstored:
    """What of one tenant the changelog does not have yet.

    Attributes:
        document: What the changelog has.
        waiting: Writes on their way.
        refused: Changes since then that Kafka refused.
    """

    document: bytes | None
    waiting: int = 0
    refused: list[_Change] = field(default_factory=list)


class FaustTenants:
    """`Tenants` for the engine and `TenantsTable` for its writer, over the table.

    Attributes:
        on_change: Told the customer id and the partition of each change, once it is in force.
    """

    def __init__(
        self,
        table: ChangelogTable,
        *,
        codec: TenantCodec,
        on_forged: Callable[[], None],
        partitions: Callable[[], int],
        ends: LogEnds,
        commands: Callable[[], TenantCommandProcessor],
        commands_topic: str,
        clock: Clock,
        wait_s: float,
        key_fit: Callable[[], Awaitable[KeyFit]],
        on_not_stored: Callable[[], None] = lambda: None,
    ) -> None:
        self._table = table
        table.is_genuine = self._is_genuine
        table.why_unusable = self._why_unusable
        self._key_fit = key_fit
        self._codec = codec
        self._forged = UnauthenticatedRecords(on_forged)
        self._partitions = partitions
        self._ends = ends
        self._commands = commands
        self._commands_topic = commands_topic
        self._clock = clock
        self._wait_s = wait_s
        self.on_change: Callable[[str, int], None] = lambda *_: None
        self._read: dict[str, tuple[bytes, Tenant]] = {}
        self._on_not_stored = on_not_stored
        self._unstored: dict[bytes, _Unstored] = {}

    def get(self, customer_id: str) -> Tenant | None:
        """Return the tenant as it is now, or None.

        Raises:
            InvalidInputError: What stands in the table is no tenant document.
        """
        document = self._table.document(customer_id.encode())
        return None if document is None else self._decoded(customer_id, document)

    def of_partition(self, partition: int) -> Sequence[Tenant]:
        """Return the tenants whose events stand on this partition."""
        # Not kept: all at once they would take several times the memory of their documents.
        return [
            self._decoded(key.decode(), document, keep=False)
            for key, document in self._table.items_of(partition, self._partitions())
        ]

    def suspended_of(self, partition: int) -> Sequence[Tenant]:
        """Return those of them that may have a suspended endpoint.

        Of a million tenants it decodes these alone: all would hold the loop for a minute.
        """
        return [
            self._decoded(key.decode(), document)
            for key, document in self._table.items_of(partition, self._partitions())
            if _SUSPENDED in document
        ]

    async def settle(self, partition: int) -> None:
        """Wait until every command that stands on the partition by now is applied.

        Gives up after the hold time.
        """
        try:
            async with asyncio.timeout(self._wait_s):
                await self.catch_up(partition)
        except TimeoutError:
            _log.warning("commands.lagging", partition=partition, wait_s=self._wait_s)

    async def catch_up(self, partition: int) -> None:
        """Wait until every command that stands on the partition by now is applied.

        Gives up only when there was no progress for `PATIENCE_S` seconds: an end that no
        command stands before (a transaction marker) is never reached.
        """
        tp = TP(self._commands_topic, partition)
        end = await self._end_of_commands(partition)
        commands, progress_at = self._commands(), self._clock.now()
        while (before := commands.applied(tp)) < end:
            try:
                # Looked at again without a command, too: what an earlier owner committed
                # becomes known when the consumer has sought, and nobody tells of that.
                async with asyncio.timeout(_RECHECK_S):
                    await commands.reach(tp, before + 1)
                progress_at = self._clock.now()
            except TimeoutError:
                if self._table.is_recovering:
                    # No command is taken meanwhile, however many tenants there are to read.
                    progress_at = self._clock.now()
                elif self._clock.now() - progress_at > PATIENCE_S:
                    _log.warning("commands.stalled", partition=partition, applied=before, end=end)
                    return
        # Commands are applied once the table is recovered, so the changelog is read by now.
        self._forged.report()

    async def _end_of_commands(self, partition: int) -> int:
        while True:
            try:
                return (await self._ends.of(self._commands_topic, [partition]))[partition]
            except BrokerError as error:
                # An error would end the partition, and the event in progress with it.
                _log.warning("commands.end_offset_unknown", partition=partition, code=error.code)
                await self._clock.sleep(_PAUSE_S)

    def put(self, customer_id: str, tenant: Tenant | None, command: Command) -> asyncio.Future[str]:
        """Store the tenant, or delete it (None); must be called from the agent.

        Takes effect at once. The future's result is `ok` once the changelog has the change. It is
        `change_not_stored` if Kafka refused it for good: then the tenant is as it was before, and
        the command is noted as refused.
        """
        key = customer_id.encode()
        unstored = self._unstored.setdefault(key, _Unstored(self._table.document(key)))
        document = None
        if tenant is None:
            self._read.pop(customer_id, None)
            del self._table[key]
        else:
            document = self._codec.document(tenant)
            self._keep(customer_id, document, tenant)
            self._table[key] = document
        written = self._table.last_write
        assert written is not None  # noqa: S101 - both ways send to the changelog
        change = _Change(command, asyncio.get_running_loop().create_future())
        self._wait_for(written, customer_id, unstored, _Write(document, [change]))
        self._changed(customer_id)
        return change.stored

    def _wait_for(
        self,
        written: asyncio.Future[object],
        customer_id: str,
        unstored: _Unstored,
        write: _Write,
    ) -> None:
        unstored.waiting += 1
        written.add_done_callback(partial(self._written, customer_id, unstored, write))

    def _written(
        self,
        customer_id: str,
        unstored: _Unstored,
        write: _Write,
        written: asyncio.Future[object],
    ) -> None:
        """Handle the end of one write to the changelog; they end in the order of the writes."""
        key = customer_id.encode()
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
                self._undo(customer_id, unstored, error)

    def _undo(self, customer_id: str, unstored: _Unstored, error: BaseException | None) -> None:
        """Restore what the changelog has, and tell the senders of the refused commands."""
        key = customer_id.encode()
        partition = partition_of(customer_id, self._partitions())
        self._on_not_stored()
        _log.error(
            "tenants.write_refused",
            customer_id=customer_id,
            partition=partition,
            error=type(error).__name__,
            commands=len(unstored.refused),
        )
        self._read.pop(customer_id, None)
        self._table.restore(key, unstored.document, partition)
        before = after = self.get(customer_id)
        for change in unstored.refused:
            if change.code == "ok":
                change.code = _NOT_STORED
                after = refused(after, change.command, _NOT_STORED)
        write = _Write(unstored.document, unstored.refused)
        if after is None or after == before:
            # Nobody to tell, or this was the write that should have told them.
            write.end(lambda change: change.stored.set_result(change.code))
        else:
            write.document = self._codec.document(after)
            self._table.restore(key, write.document, partition)
            self._unstored[key] = again = _Unstored(unstored.document)
            written = self._table.send_changelog(partition, key, write.document)
            self._wait_for(written, customer_id, again, write)
        self._changed(customer_id)

    def _changed(self, customer_id: str) -> None:
        self.on_change(customer_id, partition_of(customer_id, self._partitions()))

    def keep_only(self, partitions: set[int]) -> None:
        """Forget the tenants of partitions that went to other workers.

        The memory store keeps what was written live for ever. A tenant that is deleted
        elsewhere would rise again when its partition comes back after compaction.
        """
        self._read.clear()
        count = self._partitions()
        for key in [
            key for key in self._unstored if partition_of(key.decode(), count) not in partitions
        ]:
            del self._unstored[key]
        self._table.keep_only(partitions, count)

    async def _why_unusable(self) -> HooksealError | None:
        """Return why no event may be delivered by this table: the master key is another one.

        With a wrong key every tenant would be unknown here, and everybody's events would become
        dead letters. A worker whose partitions have no tenants cannot tell.
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
            # The partitions of other workers may have tenants of this key: then it is the right
            # one, and somebody else wrote the documents here.
            fit = await self._key_fit()
        except BrokerError as error:
            return error
        if fit.fits:
            return None
        # They are no forgery: nobody is to look for an intruder.
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
            # As if it were not there: what the tenant's own say goes on to hold.
            self._forged.note(key, message.topic, message.partition, message.offset)
            return False
        self._forged.followed(key)
        return True

    def _decoded(self, customer_id: str, document: bytes, *, keep: bool = True) -> Tenant:
        # Decoding costs some 10 us; most events find their tenant unchanged.
        known = self._read.get(customer_id)
        if known is not None and known[0] == document:
            return known[1]
        tenant = self._codec.tenant_in(customer_id.encode(), document)
        if keep:
            self._keep(customer_id, document, tenant)
        return tenant

    def _keep(self, customer_id: str, document: bytes, tenant: Tenant) -> None:
        if len(self._read) >= _DECODED_MAX:
            # All: to find the oldest of a dictionary gets slower with each that was taken out.
            self._read.clear()
        self._read[customer_id] = (document, tenant)
