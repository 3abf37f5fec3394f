"""Connections to Redis, and the mapping of their errors to ours."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    OutOfMemoryError,
    RedisError,
)

from hookseal.errors import BrokerError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

_ANSWER_S = 5.0


class RedisLink:
    """A pool of connections.

    Connects on first use. Nothing is retried here: a failed request may have been executed,
    and only the caller knows whether a repeat is safe.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        prefix: Put before every key; more than one installation may share a Redis.

    Raises:
        ConfigurationError: `queue_invalid`.
    """

    def __init__(self, url: str, prefix: str) -> None:
        try:
            # Answers as Redis 7 gives them, whatever the library takes for its own default.
            self.client: Redis = Redis.from_url(
                url,
                protocol=2,
                retry=Retry(NoBackoff(), 0),
                socket_timeout=_ANSWER_S,
                socket_connect_timeout=_ANSWER_S,
            )
        except ValueError:
            raise ConfigurationError(
                "queue_invalid",
                "Give memory:// or a URL of Redis: redis://host:6379/0, rediss:// or unix://.",
                field="HOOKSEAL_QUEUE_URL",
            ) from None
        self.where = urlsplit(url).hostname or "redis"
        # In braces: one slot, where it is a cluster.
        self.prefix = f"{{hookseal:{prefix}}}:"
        self._failed: BrokerError | None = None

    def key(self, *parts: object) -> str:
        return self.prefix + ":".join(map(str, parts))

    async def close(self) -> None:
        await self.client.aclose()

    @property
    def failed(self) -> BrokerError | None:
        """The error of the last request, if it failed."""
        return self._failed

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Have errors of Redis be ours, and a cancellation be one.

        Raises:
            BrokerError: `redis_unreachable`; `redis_full`; `redis_refused`.
        """
        task = asyncio.current_task()
        before = 0 if task is None else task.cancelling()
        try:
            yield
        except (RedisError, OSError) as error:
            _check_cancelled(task, before)
            self._failed = self._ours(error)
            raise self._failed from error
        _check_cancelled(task, before)
        self._failed = None

    def _ours(self, error: Exception) -> BrokerError:
        if isinstance(error, OutOfMemoryError):
            return BrokerError(
                "redis_full",
                "Redis has reached its `maxmemory` and takes nothing more; give it more.",
                field="HOOKSEAL_QUEUE_URL",
            )
        if isinstance(error, AuthenticationError | AuthorizationError | NoPermissionError):
            return BrokerError(
                "redis_refused",
                "Redis does not let us in; check user, password and rights.",
                field="HOOKSEAL_QUEUE_URL",
            )
        return BrokerError(
            "redis_unreachable",
            f"No Redis answers at {self.where}; check that it runs and can be reached.",
            field="HOOKSEAL_QUEUE_URL",
        )


def _check_cancelled(task: asyncio.Task[Any] | None, before: int) -> None:
    # redis-py takes a cancellation during its handshake for a failed handshake and goes on.
    # The caller would wait for the end of the task for ever.
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
