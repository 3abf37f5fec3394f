"""Apply tenant commands to the tenants table."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from hookseal.domain.command import RewriteTenant, apply
from hookseal.domain.new_event import key_changed
from hookseal.errors import InvalidCommandError

if TYPE_CHECKING:
    from asyncio import Future

    from hookseal.domain.command import Command
    from hookseal.domain.new_event import Notice
    from hookseal.domain.record import Record
    from hookseal.domain.tenant import Tenant
    from hookseal.tenants.codec import TenantCodec


class TenantsTable(Protocol):
    """The table as its writer sees it."""

    def get(self, customer_id: str) -> Tenant | None:
        """Return the tenant as it is now, or None."""
        ...

    def put(self, customer_id: str, tenant: Tenant | None, command: Command) -> Future[str]:
        """Store the tenant, or delete it (None).

        Takes effect at once. The future's result is `ok` once the changelog has the change, or the
        code with which the change was refused and undone.
        """
        ...


class Notices(Protocol):
    """Publishes hookseal's own events to a tenant."""

    async def publish(self, notice: Notice) -> None:
        """Write the notice; return only once it is safe."""
        ...


class TenantsWatcher(Protocol):
    """Counts commands; must neither raise nor wait."""

    def command_applied(self, command_type: str, code: str, customer_id: str) -> None:
        """A command took effect (`ok`) or was refused."""
        ...

    def command_invalid(self, record: Record, code: str) -> None:
        """A record is no command and was skipped."""
        ...


class ApplyCommand:
    """Applies records of `tenant-commands`; the only writer of the tenants table."""

    def __init__(
        self,
        *,
        codec: TenantCodec,
        table: TenantsTable,
        watcher: TenantsWatcher,
        notices: Notices,
    ) -> None:
        self._codec = codec
        self._table = table
        self._watcher = watcher
        self._notices = notices

    def __call__(self, record: Record) -> Future[Any] | None:
        """Apply the command; return what to wait for before its offset may move."""
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
        is_news = after != before or (after is not None and isinstance(command, RewriteTenant))
        written = self._table.put(command.customer_id, after, command) if is_news else None
        # Also for a command that Kafka brings again: the notice may not have been written
        # when its worker ended. It has the same id, so that a receiver drops a repeat.
        notice = key_changed(command, before, after)
        return written if notice is None else asyncio.ensure_future(self._tell(written, notice))

    async def _tell(self, written: Future[str] | None, notice: Notice) -> None:
        # Only of a key that the changelog has: the write may be refused.
        if written is None or await written == "ok":
            await self._notices.publish(notice)
