"""Lets a broker collect records before it answers a fetch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# Some fifty events, of all partitions that one broker leads.
_ENOUGH_BYTES = 65_536
_IDLE_WAIT_MS = 100


class FetchBatching:
    """Lets the first record after a pause through at once, and collects the records after it.

    A broker that answers as soon as it has any record answers with one or two, hundreds of times a
    second. An answer costs broker and worker more than the few records in it, and at half of its
    load a worker had no CPU left to deliver.
    """

    def __init__(self, max_wait_s: float) -> None:
        self._max_wait_ms = round(max_wait_s * 1000)
        self._had_any: dict[int, bool] = {}

    async def fetch(
        self,
        fetch: Callable[[Any, int, Any], Awaitable[bool]],
        assignment: Any,
        node_id: int,
        request: Any,
    ) -> bool:
        """Call aiokafka's own `fetch` with the wait times set; return whether records came."""
        if self._max_wait_ms and self._had_any.get(node_id, False):
            wait_ms, least_bytes = self._max_wait_ms, _ENOUGH_BYTES
        else:
            wait_ms, least_bytes = _IDLE_WAIT_MS, 1
        request._max_wait_ms, request._min_bytes = wait_ms, least_bytes  # noqa: SLF001
        found = await fetch(assignment, node_id, request)
        self._had_any[node_id] = found
        return found
