"""The tenants of a store: all of them in memory, followed as they change; and their changes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from hookseal.domain.command import CreateTenant, RewriteTenant, apply, command_result
from hookseal.domain.conflicts import conflict
from hookseal.domain.new_event import key_changed
from hookseal.errors import BrokerError, InvalidInputError
from hookseal.kafka.partitioner import partition_of
from hookseal.local.events import notice_of
from hookseal.local.retry import retry_forever
from hookseal.retry import RetryDelay
from hookseal.telemetry.logs import logger
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
        on_change: Called with the customer id and the partition after each change.
        outdated: Customer ids of documents under an old master key.

    Args:
        on_forged: Called for each document with a wrong MAC, which is ignored.
        max_staleness_s: Seconds without news of the store after which nothing is trusted.
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
        self._stale_s = max_staleness_s
        self._index = TenantIndex(codec.tenant_of)
        self._decoded: dict[str, Tenant] = {}
        self._version: int | None = None
        self._heard_at = float("-inf")
        self._trouble: BrokerError | None = None
        self._wrong_key: ConfigurationError | None = None
        self._progress = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self.on_change: Callable[[str, int], None] = lambda *_: None
        self.outdated: set[str] = set()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._follow())

    async def first(self) -> None:
        """Wait until the tenants are read for the first time.

        Raises:
            BrokerError: `redis_unreachable`; it goes on reading.
            ConfigurationError: `master_key_wrong`: there are documents, all of another key.
        """
        async with self._progress:
            await self._progress.wait_for(
                lambda: self._version is not None or self._trouble or self._wrong_key
            )
        if trouble := self._wrong_key or self._trouble:
            raise trouble

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None

    def why_not_ready(self) -> BrokerError | ConfigurationError | None:
        if self._wrong_key is not None:
            return self._wrong_key
        if self._version is None:
            return self._trouble or BrokerError(
                "tenants_recovering", "The tenants are about to be read."
            )
        if time.monotonic() - self._heard_at > self._stale_s:
            return self._trouble or BrokerError(
                "tenants_stale",
                f"For more than {self._stale_s:.0f} s it could not be made sure that all changes "
                "to tenants are known here.",
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
        """Wait until all is known that was written before the call.

        Raises:
            BrokerError: `redis_unreachable`, `master_key_wrong`.
        """
        async with self._progress:
            await self._progress.wait_for(lambda: self._version is not None)
        told = await self._store.changes(self._version or 0, wait_s=0.001)
        await self._take(told.version, told.documents, is_all=told.is_all)
        if self._wrong_key is not None:
            # The caller must wait: the tenants are not known.
            raise BrokerError(self._wrong_key.code, self._wrong_key.message)

    async def changed(self, customer_id: str, document: bytes | None, version: int) -> None:
        """Apply a change of this process at once, before the store reports it."""
        if self._version is not None and version == self._version + 1:
            await self._take(version, {customer_id: document}, is_all=False)
        else:
            await self.catch_up()

    async def _follow(self) -> None:
        delay = RetryDelay(_RETRY_S, _RETRY_CAP_S)
        while True:
            try:
                if self._version is None or self._trouble or self._wrong_key:
                    # Read everything again after an outage: it may be another store.
                    told = await self._store.documents()
                else:
                    told = await self._store.changes(self._version, wait_s=_WAIT_S)
            except BrokerError as error:
                if self._trouble is None:
                    _log.warning("tenants.away", code=error.code)
                self._trouble = error
                async with self._progress:
                    self._progress.notify_all()
                await asyncio.sleep(delay.next_s())
                continue
            self._trouble = None
            delay.reset()
            await self._take(told.version, told.documents, is_all=told.is_all)
            if self._wrong_key is not None:
                await asyncio.sleep(_RETRY_CAP_S)

    async def _take(
        self, version: int, documents: Mapping[str, bytes | None], *, is_all: bool
    ) -> None:
        async with self._progress:
            if is_all:
                self._wrong_key = self._wrong_key_of(documents)
            if self._wrong_key is not None:
                # Apply nothing: without tenants, all events would be dead-lettered.
                self._progress.notify_all()
                return
            self._heard_at = time.monotonic()
            before, self._version = self._version, version
            if not is_all and before is not None and version < before:
                # Known here already.
                self._version = before
                return
            # Nothing is known before the first time; to sort that would have each of the tenants
            # sorted in by itself.
            gone = set()
            if is_all and before is not None:
                gone = set(self._index.sort()) - set(documents)
            for customer_id in (*gone, *documents):
                self._put(customer_id, documents.get(customer_id))
            self._progress.notify_all()
        for customer_id in (*gone, *documents):
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
            # A key that may have been revoked must not pass.
            self._index.remove(customer_id)
            self._on_forged()
            _log.error("registry.forged", customer_id=customer_id, code=error.code)


class EngineTenants:
    """`Tenants` of the engine, over the same.

    Args:
        wait_s: Seconds that an event of an unknown tenant may wait for it.
    """

    def __init__(self, model: LocalTenants, clock: Clock, *, wait_s: float) -> None:
        self._model = model
        self._clock = clock
        self._wait_s = wait_s
        self.get = model.get
        self.of_partition = model.of_partition
        # They are all decoded already.
        self.suspended_of = model.of_partition

    async def settle(self, partition: int) -> None:  # noqa: ARG002
        await self._model.settle(self._wait_s)

    async def catch_up(self, partition: int) -> None:  # noqa: ARG002
        await retry_forever(self._model.catch_up, self._clock)


class LocalCommands:
    """`Commands` of the engine: applied at once, in whichever process."""

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
            there = await self._store.document(command.customer_id)
            before = self._read(key, there)
            after = apply(before, command)
            if after != before or (after is not None and isinstance(command, RewriteTenant)):
                document = None if after is None else self._codec.document(after)
                news = key_changed(command, before, after)
                notice = None if news is None else notice_of(news, self._store.partitions)
                version = await self._store.change(command.customer_id, there, document, notice)
                if version is None:
                    # Another process was faster; apply the command to its result.
                    continue
                await self._model.changed(command.customer_id, document, version)
            code = "ok" if after is None else after.result_of(command.id) or "ok"
            if before is None and after is None:
                code = "unknown_tenant"
            self._on_applied(type(command).__name__, code, command.customer_id)
            return before, after

    def _read(self, key: bytes, document: bytes | None) -> Tenant | None:
        if document is None:
            return None
        try:
            return self._codec.tenant_in(key, document)
        except InvalidInputError:
            # As if it were not there.
            return None


class LocalChanges:
    """`Changes` of the API.

    Args:
        timeout_s: Upper bound of a change in seconds.
    """

    def __init__(self, commands: LocalCommands, *, timeout_s: float) -> None:
        self._commands = commands
        self._timeout_s = timeout_s

    async def submit(self, command: Command) -> Tenant | None:
        """Have the command applied; return the tenant after it, None if it is gone.

        Raises:
            ConflictError: `unknown_tenant`; `idempotency_key_reused`; or the code with which
                the command was refused.
            BrokerError: `redis_unreachable`: the change may have been made.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                before, after = await self._commands.apply(command)
        except TimeoutError:
            raise BrokerError("redis_unreachable", "Redis did not answer in time.") from None
        if before is None and after is None and not isinstance(command, CreateTenant):
            raise conflict("unknown_tenant", field=command.customer_id)
        return command_result(after, command)
