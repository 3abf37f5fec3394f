"""Leases on partitions: which partitions this process delivers."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from typing import TYPE_CHECKING
from uuid import uuid4

from hookseal.errors import BrokerError
from hookseal.local.jobs import cancel

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from hookseal.delivery.ordering.partition import Gate
    from hookseal.local.redis_link import RedisLink

_log = logging.getLogger(__name__)

_RETRY_S = 0.5


class Leases:
    """All partitions of a store, for the only process that uses it.

    Attributes:
        held: Held partitions, each with a token that is new for each lease.
    """

    is_open = True

    def __init__(self, partitions: int) -> None:
        self.held = dict.fromkeys(range(partitions), "")

    async def start(self, changed: Callable[[], None]) -> None:
        """Start to acquire partitions; `changed` is called when `held` has changed."""
        changed()

    def gate(self, partition: int) -> Gate:  # noqa: ARG002
        """Return the gate that is open while the current lease of the partition is valid."""
        return self

    async def opened(self) -> None:
        """Return at once: this gate is always open."""

    async def release(self, partitions: Collection[int]) -> None:
        """Release those of these idle partitions that another process should have."""

    async def holders(self) -> dict[str, list[int]]:
        """Return the partitions of each process that runs, by its name."""
        return {_process_name(): list(self.held)}

    async def close(self) -> None:
        """Release all partitions."""


class _Gate:
    def __init__(self, leases: RedisLeases, partition: int) -> None:
        self._leases = leases
        self._partition = partition
        self._token = leases.token(partition)

    @property
    def is_open(self) -> bool:
        token = self._leases.token(self._partition)
        return self._leases.is_sure and token is not None and token == self._token

    async def opened(self) -> None:
        await self._leases.next_heartbeat()


class RedisLeases(Leases):
    """Leases in Redis, renewed by a heartbeat.

    The processes share the partitions evenly. A process with more than its share releases the
    rest when they have no work in progress. A process without a heartbeat for `lease_s` loses
    its leases. It knows that by its own clock, so that it starts no attempt then, not even
    after it was frozen.

    Args:
        lease_s: Seconds after the last heartbeat until the leases expire.
        heartbeat_s: Seconds between two heartbeats.
        name: Unique, and the same after a restart: the process regains its leases at once.
    """

    def __init__(
        self,
        link: RedisLink,
        partitions: int,
        *,
        lease_s: float,
        heartbeat_s: float,
        name: str = "",
    ) -> None:
        super().__init__(0)
        self._partitions = partitions
        self._lease_s = lease_s
        self._heartbeat_s = heartbeat_s
        self._is_named = bool(name)
        self._name = name or f"{_process_name()}:{uuid4().hex[:8]}"
        self._link = link
        self._keys = [link.key("processes"), link.key("holders")]
        self._heartbeat = link.script("heartbeat")
        self._release = link.script("release")
        self._tokens: dict[int, str] = {}
        self._sure_until = 0.0
        self._next_heartbeat: asyncio.Future[None] | None = None
        self._changed: Callable[[], None] = lambda: None
        self._task: asyncio.Task[None] | None = None

    async def start(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._task = asyncio.create_task(self._run())

    @property
    def is_sure(self) -> bool:
        """Whether no other process can have acquired our partitions."""
        return time.monotonic() < self._sure_until

    def token(self, partition: int) -> str | None:
        """Return the token of our lease; None = we have none."""
        return self._tokens.get(partition)

    def gate(self, partition: int) -> _Gate:
        return _Gate(self, partition)

    async def next_heartbeat(self) -> None:
        """Wait until Redis answers the next heartbeat."""
        if self._next_heartbeat is None:
            self._next_heartbeat = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._next_heartbeat)

    async def release(self, partitions: Collection[int]) -> None:
        going = [one for one in partitions if one in self._tokens and one not in self.held]
        if going:
            await self._leave(going, is_last=False)

    async def holders(self) -> dict[str, list[int]]:
        processes, holders = self._keys
        client = self._link.client
        now_s, _ = await self._link.ask(client.time())
        names = await self._link.ask(client.zrangebyscore(processes, now_s * 1000, "+inf"))
        found: dict[str, list[int]] = {name.decode(): [] for name in names}
        # A holder is the name of the process and the token of its lease.
        for partition, holder in (await self._link.ask(client.hgetall(holders))).items():
            name = holder.decode().rpartition(" ")[0]
            if name in found:
                found[name].append(int(partition))
        return found

    async def close(self) -> None:
        await cancel(self._task)
        try:
            await self._leave(list(self._tokens), is_last=True)
        except BrokerError:
            _log.warning("The leases were not released. They expire in %g s.", self._lease_s)

    async def _leave(self, partitions: list[int], *, is_last: bool) -> None:
        for partition in partitions:
            self._tokens.pop(partition, None)
            self.held.pop(partition, None)
        await self._release(self._keys, [self._name, int(is_last), *partitions])

    async def _run(self) -> None:
        is_new = self._is_named
        while True:
            try:
                if is_new:
                    # New tokens: an earlier process of this name loses its leases.
                    await self._release(self._keys, [self._name, 0, *range(self._partitions)])
                is_new = False
                await self._beat()
                pause_s = self._heartbeat_s
            except BrokerError as error:
                _log.warning("%s", error.message)
                pause_s = min(_RETRY_S, self._heartbeat_s)
            await asyncio.sleep(pause_s)

    async def _beat(self) -> None:
        asked_at = time.monotonic()
        lease_ms = round(self._lease_s * 1000)
        share, *found = await self._heartbeat(
            self._keys, [self._name, uuid4().hex, lease_ms, self._partitions]
        )
        self._sure_until = asked_at + self._lease_s
        tokens = {int(p): token.decode() for p, token in zip(found[::2], found[1::2], strict=True)}
        # Keep the partitions that we run, before those that another process should have.
        order = sorted(tokens, key=lambda one: (one not in self.held, one))
        held = {one: tokens[one] for one in order[:share]}
        has_changed = tokens != self._tokens or held != self.held
        self._tokens, self.held = tokens, held
        waiting, self._next_heartbeat = self._next_heartbeat, None
        if waiting is not None:
            waiting.set_result(None)
        if has_changed:
            self._changed()


def _process_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
