"""Which partitions are this process's, declared; and all of them, for a process that is alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from hookseal.delivery.ordering.partition import Gate


class Leases(Protocol):
    """The partitions that are ours."""

    async def start(self, changed: Callable[[], None]) -> None:
        """Start to acquire partitions; `changed` is called when `held` may have changed."""
        ...

    @property
    def held(self) -> dict[int, str]:
        """Held partitions, each with a token that is new for each lease."""
        ...

    def gate(self, partition: int) -> Gate:
        """Return the gate in front of attempts."""
        ...

    async def release(self, partitions: Collection[int]) -> None:
        """Release partitions that have no running work."""
        ...

    async def close(self) -> None:
        """Leave everything to others."""
        ...


class _Open:
    is_open = True

    async def opened(self) -> None:
        await asyncio.Event().wait()


class EveryPartition:
    """`Leases` of a process that shares nothing."""

    def __init__(self, partitions: int) -> None:
        self.held = dict.fromkeys(range(partitions), "")

    async def start(self, changed: Callable[[], None]) -> None:
        changed()

    def gate(self, partition: int) -> Gate:  # noqa: ARG002
        return _Open()

    async def release(self, partitions: Collection[int]) -> None:
        pass

    async def close(self) -> None:
        pass
