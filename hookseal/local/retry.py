"""Retries until success."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from hookseal.errors import BrokerError
from hookseal.retry import RetryDelay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hookseal.delivery.ports import Clock

_PAUSE_S = 0.25
_PAUSE_CAP_S = 5.0

_T = TypeVar("_T")


async def retry_forever(
    asking: Callable[[], Awaitable[_T]],
    clock: Clock,
    failed: Callable[[Exception], None] = lambda _: None,
    *,
    retried: type[Exception] = BrokerError,
) -> _T:
    """Call until it succeeds, with backoff from 0.25 s to 5 s.

    The call may be executed more than once, because a response can be lost.

    Args:
        failed: Called with the error of each attempt that failed.
        retried: Errors of this class are retried, all others are raised.
    """
    delay = RetryDelay(_PAUSE_S, _PAUSE_CAP_S)
    while True:
        try:
            return await asking()
        except retried as error:
            failed(error)
            await clock.sleep(delay.next_s())
