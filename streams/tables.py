"""The tenants table: Faust's, seen through our eyes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from faust.types import TP

from hookseal.errors import BrokerError, InvalidInputError
from hookseal.kafka.forged import ForgedRecords
from hookseal.kafka.partitioner import partition_of
from streams.changelog import ChangelogTable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from faust.types import Message

    from hookseal.delivery.ports import Clock
    from hookseal.domain.tenant import Tenant
    from hookseal.kafka.ends import LogEnds
    from hookseal.kafka.registry import Registry
    from streams.commands import CommandLine

__all__ = ["ChangelogTable", "FaustTenants"]

PATIENCE_S = 30.0
_PAUSE_S = 1.0
_RECHECK_S = 0.1
# Decoded, a tenant takes several times the memory of its document.
_DECODED_MAX = 65_536
# As it stands in a document; within a text its quotes would be escaped.
_SUSPENDED = b'"suspension":'

_log = structlog.stdlib.get_logger("hookseal.worker")


class FaustTenants:
    """`Tenants` for the engine and `TenantsTable` for its writer, over the table.

    Attributes:
        on_change: Told the customer id and the partition of each change, once it is in force.
    """

    def __init__(
        self,
        table: ChangelogTable,
        *,
        registry: Registry,
        on_forged: Callable[[], None],
        partitions: Callable[[], int],
        ends: LogEnds,
        commands: Callable[[], CommandLine],
        commands_topic: str,
        clock: Clock,
        hold_s: float,
    ) -> None:
        self._table = table
        table.is_genuine = self._is_genuine
        self._registry = registry
        self._forged = ForgedRecords(on_forged)
        self._partitions = partitions
        self._ends = ends
        self._commands = commands
        self._commands_topic = commands_topic
        self._clock = clock
        self._hold_s = hold_s
        self.on_change: Callable[[str, int], None] = lambda *_: None
        self._read: dict[str, tuple[bytes, Tenant]] = {}

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
            async with asyncio.timeout(self._hold_s):
                await self.catch_up(partition)
        except TimeoutError:
            _log.warning("commands.behind", partition=partition, hold_s=self._hold_s)

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
                    _log.warning("commands.stuck", partition=partition, applied=before, end=end)
                    return
        # Commands are applied once the table is recovered, so the changelog is read by now.
        self._forged.tell()

    async def _end_of_commands(self, partition: int) -> int:
        while True:
            try:
                return (await self._ends.of(self._commands_topic, [partition]))[partition]
            except BrokerError as error:
                # An error would end the lane, and the event in hand with it.
                _log.warning("commands.end_unknown", partition=partition, code=error.code)
                await self._clock.sleep(_PAUSE_S)

    def put(self, customer_id: str, tenant: Tenant | None) -> asyncio.Future[object]:
        """Store the tenant, or forget it (None); must be called from the agent."""
        key = customer_id.encode()
        if tenant is None:
            self._read.pop(customer_id, None)
            del self._table[key]
        else:
            document = self._registry.document(tenant)
            self._keep(customer_id, document, tenant)
            self._table[key] = document
        written = self._table.last_write
        assert written is not None  # noqa: S101 - both ways send to the changelog
        self.on_change(customer_id, partition_of(customer_id, self._partitions()))
        return written

    def keep_only(self, partitions: set[int]) -> None:
        """Forget the tenants of partitions that went to other workers.

        The memory store keeps what was written live for ever. A tenant that is deleted
        elsewhere would rise again when its partition comes back after compaction.
        """
        self._read.clear()
        self._table.keep_only(partitions, self._partitions())

    def _is_genuine(self, message: Message) -> bool:
        key = message.key or b""
        if message.value is not None:
            try:
                self._registry.checked_document(key, message.value)
            except InvalidInputError:
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
        tenant = self._registry.tenant_in(customer_id.encode(), document)
        if keep:
            self._keep(customer_id, document, tenant)
        return tenant

    def _keep(self, customer_id: str, document: bytes, tenant: Tenant) -> None:
        if len(self._read) >= _DECODED_MAX:
            # All: to find the oldest of a dictionary gets slower with each that was taken out.
            self._read.clear()
        self._read[customer_id] = (document, tenant)
