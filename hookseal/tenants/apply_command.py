"""Apply tenant commands to the tenants table."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from hookseal.domain.command import RewriteTenant, apply
from hookseal.domain.notice import key_changed
from hookseal.errors import InvalidCommandError

if TYPE_CHECKING:
    from asyncio import Future

    from hookseal.domain.command import Command
    from hookseal.domain.notice import Notice
    from hookseal.domain.record import Record
    from hookseal.domain.tenant import Tenant
    from hookseal.tenants.codec import TenantCodec


class TenantsTable(Protocol):
    """The table as its writer sees it."""

    def get(self, customer_id: str) -> Tenant | None:
        """Return the tenant as it is now, or None."""

    def put(self, customer_id: str, tenant: Tenant | None, command: Command) -> Future[str]:
        """Store the tenant, or delete it (None); takes effect at once.

        The future's result is `ok` once the changelog has the change, or the code with which Kafka
        refused the change, which is then undone.
        """
        ...


class Notices(Protocol):
    """Publishes hookseal's own events to a tenant."""

    async def publish(self, notice: Notice) -> None:
        """Write the notice; return once it is written."""


class TenantsWatcher(Protocol):
    """Counts commands; must neither raise nor wait."""

    def command_applied(self, command_type: str, code: str, customer_id: str) -> None:
        """A command was applied (`ok`) or refused."""

    def command_invalid(self, record: Record, code: str) -> None:
        """A record is no command and was skipped."""


class ApplyCommand:
    """Applies records of `tenant-commands`; the only writer of the tenants table."""

    def __init__(
        self, *, codec: TenantCodec, table: TenantsTable, watcher: TenantsWatcher, notices: Notices
    ) -> None:
        self._codec = codec
        self._table = table
        self._watcher = watcher
        self._notices = notices

    def __call__(self, record: Record) -> Future[Any] | None:
        """Apply the command; return a future to await before its offset is committed."""
        try:
            command = self._codec.command_in(record.key, record.value)
        except InvalidCommandError as error:
            self._watcher.command_invalid(record, error.code)
            return None
        before = self._table.get(command.customer_id)
        after = apply(before, command)
        code = "ok" if after is None else after.result_of(command.id) or "ok"
        if before is None and after is None:
            code = "unknown_tenant"
        self._watcher.command_applied(type(command).__name__, code, command.customer_id)
        is_change = after != before or (after is not None and isinstance(command, RewriteTenant))
        written = self._table.put(command.customer_id, after, command) if is_change else None
        # Also for a repeated command: its worker may have stopped before it wrote the notice. A
        # repeated notice has the same id, so a receiver drops it.
        notice = key_changed(command, before, after)
        return written if notice is None else asyncio.ensure_future(self._notify(written, notice))

    async def _notify(self, written: Future[str] | None, notice: Notice) -> None:
        # Only after the changelog has the key: Kafka may refuse the write.
        if written is None or await written == "ok":
            await self._notices.publish(notice)
