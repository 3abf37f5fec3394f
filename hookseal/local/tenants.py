"""The tenants of a store: a read model in memory, and commands that change them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from hookseal.domain.command import CreateTenant, apply, command_result
from hookseal.domain.conflicts import conflict
from hookseal.domain.new_event import key_changed
from hookseal.errors import BrokerError, InvalidInputError
from hookseal.kafka.partitioner import partition_of
from hookseal.local.events import notice_write
from hookseal.local.jobs import cancel
from hookseal.local.store import Documents, retry_forever
from hookseal.retry import RetryDelay
from hookseal.telemetry.logs import logger
from hookseal.tenants.commands import applied
from hookseal.tenants.index import TenantIndex
from hookseal.tenants.key_check import master_key_wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hookseal.delivery.ports import Clock
    from hookseal.domain.command import Command
    from hookseal.domain.tenant import Tenant
    from hookseal.errors import ConfigurationError
    from hookseal.local.store import Store
    from hookseal.tenants.codec import TenantCodec

_log = logger("hookseal.local")

_WAIT_S = 1.0
_RETRY_S = 0.5
_RETRY_CAP_S = 5.0


class LocalTenants:
    """`TenantsModel` of the API.

    Attributes:
        on_change: Called with customer id and partition after each change.
        outdated: Customer ids of documents under an old master key.

    Args:
        on_forged: Called for each document with a wrong MAC, which is ignored.
        max_staleness_s: Seconds without an answer of the store after which the model is stale.
    """

    def __init__(
        self,
        store: Store,
        codec: TenantCodec,
        *,
        on_forged: Callable[[], None] = lambda: None,
        max_staleness_s: float = 10.0,
    ) -> None:
        self._store = store
        self._codec = codec
        self._on_forged = on_forged
        self._max_staleness_s = max_staleness_s
        self._index = TenantIndex(codec.tenant_of)
        self._decoded: dict[str, Tenant] = {}
        self._version: int | None = None
        self._read_at = float("-inf")
        self._error: BrokerError | None = None
        self._wrong_key: ConfigurationError | None = None
        self._progress = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self.on_change: Callable[[str, int], None] = lambda *_: None
        self.outdated: set[str] = set()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._follow())

    async def first(self) -> None:
        """Wait for the first full read.

        Raises:
            BrokerError: `redis_unreachable`; the read is retried.
            ConfigurationError: `master_key_wrong`: the key fits none of the documents.
        """
        async with self._progress:
            await self._progress.wait_for(
                lambda: self._version is not None or self._error or self._wrong_key
            )
        if error := self._wrong_key or self._error:
            raise error

    async def close(self) -> None:
        await cancel(self._task)

    def why_not_ready(self) -> BrokerError | ConfigurationError | None:
        if self._wrong_key is not None:
            return self._wrong_key
        if self._version is None:
            return self._error or BrokerError(
                "tenants_recovering", "The tenants are not read yet. Retry in a few seconds."
            )
        if time.monotonic() - self._read_at > self._max_staleness_s:
            return self._error or BrokerError(
                "tenants_stale",
                f"The tenants were not refreshed for more than {self._max_staleness_s:.0f} s "
                "(HOOKSEAL_API_MAX_STALENESS_S).",
            )
        return None

    def get(self, customer_id: str) -> Tenant | None:
        found = self._decoded.get(customer_id)
        if found is None:
            found = self._index.get(customer_id)
            if found is not None:
                self._decoded[customer_id] = found
        return found

    def customer_of(self, key_id: str) -> str | None:
        return self._index.customer_of(key_id)

    def page(self, after: str | None, limit: int) -> Sequence[Tenant]:
        return self._index.page(after, limit)

    def stopped(self) -> Sequence[Tenant]:
        return self._index.stopped()

    def of_partition(self, partition: int) -> Sequence[Tenant]:
        count = self._store.partitions
        names = [name for name in self._index.sort() if partition_of(name, count) == partition]
        return [tenant for name in names if (tenant := self.get(name)) is not None]

    async def settle(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self.catch_up()
        except (TimeoutError, BrokerError):
            return False
        return True

    async def catch_up(self) -> None:
        """Wait until the model has everything that was written before the call.

        Raises:
            BrokerError: `redis_unreachable`, `master_key_wrong`.
        """
        async with self._progress:
            await self._progress.wait_for(lambda: self._version is not None)
        await self._apply(await self._store.changes(self._version or 0, wait_s=0.001))
        if self._wrong_key is not None:
            # The tenants are unknown, so the caller must wait.
            raise BrokerError(self._wrong_key.code, self._wrong_key.message)

    async def changed(self, customer_id: str, document: bytes | None, version: int) -> None:
        """Apply a change of this process at once, before the store reports it."""
        if self._version is not None and version == self._version + 1:
            await self._apply(Documents(version, {customer_id: document}, is_all=False))
        else:
            await self.catch_up()

    async def _follow(self) -> None:
        delay = RetryDelay(_RETRY_S, _RETRY_CAP_S)
        while True:
            try:
                if self._version is None or self._error or self._wrong_key:
                    # Read everything again after an outage: it may be another store.
                    found = await self._store.documents()
                else:
                    found = await self._store.changes(self._version, wait_s=_WAIT_S)
            except BrokerError as error:
                if self._error is None:
                    _log.warning("tenants.read_failed", code=error.code)
                self._error = error
                async with self._progress:
                    self._progress.notify_all()
                await asyncio.sleep(delay.next_s())
                continue
            self._error = None
            delay.reset()
            await self._apply(found)
            if self._wrong_key is not None:
                await asyncio.sleep(_RETRY_CAP_S)

    async def _apply(self, found: Documents) -> None:
        async with self._progress:
            if found.is_all:
                self._wrong_key = self._wrong_key_of(found.documents)
            if self._wrong_key is not None:
                # Apply nothing: without tenants, all events would be dead-lettered.
                self._progress.notify_all()
                return
            self._read_at = time.monotonic()
            before = self._version
            if not found.is_all and before is not None and found.version < before:
                return
            self._version = found.version
            # Skip `sort` on the first read: the index would insert each tenant into the order.
            deleted: set[str] = set()
            if found.is_all and before is not None:
                deleted = set(self._index.sort()) - set(found.documents)
            customer_ids = (*deleted, *found.documents)
            for customer_id in customer_ids:
                self._put(customer_id, found.documents.get(customer_id))
            self._progress.notify_all()
        for customer_id in customer_ids:
            self.on_change(customer_id, partition_of(customer_id, self._store.partitions))

    def _wrong_key_of(self, documents: Mapping[str, bytes | None]) -> ConfigurationError | None:
        foreign = 0
        for customer_id, document in documents.items():
            if document is not None:
                try:
                    self._codec.checked_document(customer_id.encode(), document)
                except InvalidInputError:
                    foreign += 1
                else:
                    return None
        return master_key_wrong(foreign) if foreign else None

    def _put(self, customer_id: str, document: bytes | None) -> None:
        self._decoded.pop(customer_id, None)
        self.outdated.discard(customer_id)
        if document is None:
            self._index.remove(customer_id)
            return
        try:
            genuine = self._codec.checked_document(customer_id.encode(), document)
            self._index.put(customer_id, genuine.document)
            if not genuine.is_current:
                self.outdated.add(customer_id)
        except InvalidInputError as error:
            # An API key that may have been revoked must not pass.
            self._index.remove(customer_id)
            self._on_forged()
            _log.error("tenants.unauthenticated_record", customer_id=customer_id, code=error.code)


class EngineTenants:
    """`Tenants` of the engine on the same model.

    Args:
        wait_s: Seconds that an event of an unknown tenant may wait for the tenant.
    """

    def __init__(self, model: LocalTenants, clock: Clock, *, wait_s: float) -> None:
        self._model = model
        self._clock = clock
        self._wait_s = wait_s
        self.get = model.get
        self.of_partition = model.of_partition
        # All tenants are decoded already.
        self.suspended_of = self.relaxed_of = model.of_partition

    def is_shared(self, partition: int) -> bool:
        return len(self.of_partition(partition)) > 1

    async def settle(self, partition: int) -> None:  # noqa: ARG002
        await self._model.settle(self._wait_s)

    async def catch_up(self, partition: int) -> None:  # noqa: ARG002
        await retry_forever(self._model.catch_up, self._clock)


class LocalCommands:
    """`Commands` of the engine: any process applies them, at once."""

    def __init__(
        self,
        store: Store,
        model: LocalTenants,
        codec: TenantCodec,
        *,
        on_applied: Callable[[str, str, str], None],
        clock: Clock,
    ) -> None:
        self._store = store
        self._model = model
        self._codec = codec
        self._on_applied = on_applied
        self._clock = clock

    async def submit(self, command: Command) -> None:
        await retry_forever(lambda: self.apply(command), self._clock)

    async def apply(self, command: Command) -> tuple[Tenant | None, Tenant | None]:
        """Apply the command; return the tenant before and after it.

        Raises:
            BrokerError: `redis_unreachable`; it may have been applied.
        """
        key = command.customer_id.encode()
        while True:
            stored = await self._store.document(command.customer_id)
            before = self._read(key, stored)
            after = apply(before, command)
            code, is_change = applied(command, before, after)
            if is_change:
                document = None if after is None else self._codec.document(after)
                news = key_changed(command, before, after)
                notice = None if news is None else notice_write(news, self._store.partitions)
                version = await self._store.change(command.customer_id, stored, document, notice)
                if version is None:
                    # Another process was faster; apply the command to its result.
                    continue
                await self._model.changed(command.customer_id, document, version)
            self._on_applied(type(command).__name__, code, command.customer_id)
            return before, after

    def _read(self, key: bytes, document: bytes | None) -> Tenant | None:
        if document is None:
            return None
        try:
            return self._codec.tenant_in(key, document)
        except InvalidInputError:
            return None


class LocalChanges:
    """`Changes` of the API; a change takes at most `timeout_s` seconds."""

    def __init__(self, commands: LocalCommands, *, timeout_s: float) -> None:
        self._commands = commands
        self._timeout_s = timeout_s

    async def submit(self, command: Command) -> Tenant | None:
        try:
            async with asyncio.timeout(self._timeout_s):
                before, after = await self._commands.apply(command)
        except TimeoutError:
            raise BrokerError(
                "redis_unreachable",
                f"Redis did not answer in {self._timeout_s:g} s. The change may have been made.",
            ) from None
        if before is None and after is None and not isinstance(command, CreateTenant):
            raise conflict("unknown_tenant", field=command.customer_id)
        return command_result(after, command)
