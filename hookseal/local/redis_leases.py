"""Leases in Redis: processes share the partitions, each holds its part while it is alive."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from typing import TYPE_CHECKING
from uuid import uuid4

from hookseal.errors import BrokerError
from hookseal.local import redis_scripts as scripts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from hookseal.local.redis_link import RedisLink

_log = logging.getLogger(__name__)

_RETRY_S = 0.5


class _Gate:
    def __init__(self, leases: RedisLeases, partition: int, token: str | None) -> None:
        self._leases = leases
        self._partition = partition
        self._token = token

    @property
    def is_open(self) -> bool:
        return self._leases.is_sure and self._leases.token(self._partition) == self._token

    async def opened(self) -> None:
        await self._leases.news()


class RedisLeases:
    """`Leases` that a heartbeat keeps.

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
        self._link = link
        self._partitions = partitions
        self._lease_s = lease_s
        self._heartbeat_s = heartbeat_s
        self._is_named = bool(name)
        self.name = name or f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._heartbeat = link.client.register_script(scripts.HEARTBEAT)
        self._release = link.client.register_script(scripts.RELEASE)
        self._tokens: dict[int, str] = {}
        self._wanted: frozenset[int] = frozenset()
        self._sure_until = 0.0
        self._told: asyncio.Future[None] | None = None
        self._changed: Callable[[], None] = lambda: None
        self._task: asyncio.Task[None] | None = None

    async def start(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._task = asyncio.create_task(self._run())

    @property
    def held(self) -> dict[int, str]:
        return {one: token for one, token in self._tokens.items() if one in self._wanted}

    @property
    def is_sure(self) -> bool:
        """Whether no other process can have taken our partitions."""
        return time.monotonic() < self._sure_until

    def token(self, partition: int) -> str | None:
        """Return the name of our lease; None = it is not ours."""
        return self._tokens.get(partition)

    def gate(self, partition: int) -> _Gate:
        return _Gate(self, partition, self.token(partition))

    async def news(self) -> None:
        """Return with the next answer of Redis."""
        if self._told is None:
            self._told = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._told)

    async def release(self, partitions: Collection[int]) -> None:
        going = [one for one in partitions if one in self._tokens and one not in self._wanted]
        if going:
            await self._leave(going, for_good=False)

    async def close(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait((self._task,))
        self._task = None
        try:
            await self._leave(list(self._tokens), for_good=True)
        except BrokerError:
            _log.warning("The leases could not be given back; they end by themselves.")

    async def _leave(self, partitions: list[int], *, for_good: bool) -> None:
        for partition in partitions:
            self._tokens.pop(partition, None)
        with self._link.asking():
            await self._release(keys=self._keys, args=[self.name, int(for_good), *partitions])

    @property
    def _keys(self) -> list[str]:
        return [self._link.key("processes"), self._link.key("holders")]

    async def _run(self) -> None:
        is_new = True
        while True:
            try:
                if is_new and self._is_named:
                    # New tokens: an earlier process of this name loses its leases.
                    every = range(self._partitions)
                    with self._link.asking():
                        await self._release(keys=self._keys, args=[self.name, 0, *every])
                is_new = False
                await self._beat()
                pause_s = self._heartbeat_s
            except BrokerError as error:
                _log.warning("%s", error.message)
                pause_s = min(_RETRY_S, self._heartbeat_s)
            await asyncio.sleep(pause_s)

    async def _beat(self) -> None:
        asked = time.monotonic()
        with self._link.asking():
            share, *found = await self._heartbeat(
                keys=self._keys,
                args=[self.name, uuid4().hex, round(self._lease_s * 1000), self._partitions],
            )
        self._sure_until = asked + self._lease_s
        tokens = {int(p): token.decode() for p, token in zip(found[::2], found[1::2], strict=True)}
        # What we have and keep, before what we have and others are to get.
        order = sorted(tokens, key=lambda one: (one not in self._wanted, one))
        wanted = frozenset(order[:share])
        is_news = tokens != self._tokens or wanted != self._wanted
        self._tokens, self._wanted = tokens, wanted
        told, self._told = self._told, None
        if told is not None:
            told.set_result(None)
        if is_news:
            self._changed()
