"""Connections to Redis, and the mapping of their errors to `BrokerError`."""

from __future__ import annotations

import asyncio
from importlib.resources import files
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
    from collections.abc import Awaitable, Callable

_TIMEOUT_S = 5.0
_FIELD = "HOOKSEAL_QUEUE_URL"


class RedisLink:
    """A pool of connections, which connects on first use.

    Nothing is retried here: a failed request may have been executed, and only the caller knows
    whether a repeat is safe.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        prefix: Put before every key, so that several installations can share one Redis.

    Attributes:
        failed: The error of the last request, if it failed.

    Raises:
        ConfigurationError: `queue_invalid`.
    """

    def __init__(self, url: str, prefix: str) -> None:
        try:
            self.client: Redis = Redis.from_url(
                url,
                # Answers in the form of Redis 7, whatever the library's default is.
                protocol=2,
                retry=Retry(NoBackoff(), 0),
                socket_timeout=_TIMEOUT_S,
                socket_connect_timeout=_TIMEOUT_S,
            )
        except ValueError:
            raise ConfigurationError(
                "queue_invalid",
                "The queue URL is invalid. Use memory://, redis://host:6379/0, rediss:// or "
                "unix://.",
                field=_FIELD,
            ) from None
        self.host = urlsplit(url).hostname or "redis"
        # In braces: a Redis Cluster keeps all keys in one slot.
        self.prefix = f"{{hookseal:{prefix}}}:"
        self.failed: BrokerError | None = None

    def key(self, *parts: object) -> str:
        return self.prefix + ":".join(map(str, parts))

    def script(self, name: str) -> Callable[[list[str], list[Any]], Awaitable[Any]]:
        """Return a function that has Redis execute `lua/NAME.lua` atomically; raises as `ask`."""
        folder = files("hookseal.local") / "lua"
        texts = ((folder / f"{one}.lua").read_text() for one in ("record", name))
        script = self.client.register_script("".join(texts))
        return lambda keys, args: self.ask(script(keys, args))

    async def close(self) -> None:
        await self.client.aclose()

    async def ask(self, request: Awaitable[Any]) -> Any:
        """Return the answer to a request of this client.

        Raises:
            BrokerError: `redis_unreachable`, `redis_full`, `redis_refused`.
        """
        task = asyncio.current_task()
        before = 0 if task is None else task.cancelling()
        answer: Any = None
        cause: Exception | None = None
        try:
            answer = await request
        except (RedisError, OSError) as error:
            cause = error
        if task is not None and task.cancelling() > before:
            # redis-py takes a cancellation during its handshake for a failed handshake and goes
            # on. The caller would wait for the end of the task for ever.
            raise asyncio.CancelledError
        self.failed = None if cause is None else self._broker_error(cause)
        if self.failed is not None:
            raise self.failed from cause
        return answer

    def _broker_error(self, error: Exception) -> BrokerError:
        if isinstance(error, OutOfMemoryError):
            return BrokerError(
                "redis_full",
                "Redis has reached its `maxmemory` and refuses writes. Raise the limit.",
                field=_FIELD,
            )
        if isinstance(error, AuthenticationError | AuthorizationError | NoPermissionError):
            return BrokerError(
                "redis_refused",
                "Redis refused the login. Check user, password and permissions in the URL.",
                field=_FIELD,
            )
        return BrokerError(
            "redis_unreachable",
            f"Redis at {self.host} does not answer. Check that it runs and is reachable.",
            field=_FIELD,
        )
