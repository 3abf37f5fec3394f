"""The Faust agent of `tenant-commands`."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from faust.types import StreamT

    from streams.tenant_commands import TenantCommandProcessor


async def tenants(stream: StreamT[bytes], *, commands: TenantCommandProcessor) -> None:
    """Apply commands to the tenants table, whose only writer this is."""
    # Faust acknowledges an event by itself, even one whose handling was cancelled: hence `noack`.
    async with aclosing(cast("Any", stream).noack().events()) as events:
        async for event in events:
            await commands.process(event.message)
