"""A coroutine whose first step is taken at once, in the task that is running."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

__all__ = ["begin"]


def begin(coroutine: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None] | None:
    """Run the coroutine up to its first wait; return what is left of it, or None.

    Most calls never wait, and then there is no need for a task. Python 3.12 has eager
    tasks for this (`asyncio.eager_task_factory`); this does the same on 3.11.

    Raises:
        Exception: Whatever the coroutine raises before its first wait.
    """
    try:
        waiting_for = coroutine.send(None)
    except StopIteration:
        return None
    return _rest(coroutine, waiting_for)


async def _rest(coroutine: Coroutine[Any, Any, None], waiting_for: Any) -> None:
    await _driven(coroutine, waiting_for)


@types.coroutine
def _driven(coroutine: Coroutine[Any, Any, None], waiting_for: Any) -> Generator[Any, Any, None]:
    try:
        while True:
            try:
                value = yield waiting_for
            except BaseException as error:  # noqa: BLE001 - cancellation is the coroutine's
                waiting_for = coroutine.throw(error)
            else:
                waiting_for = coroutine.send(value)
    except StopIteration:
        return
