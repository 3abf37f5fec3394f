"""Handles one request, from its bytes to the response, for all frameworks."""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hookseal_receiver.errors import StoreError, VerificationError
from hookseal_receiver.repeats import Standing

if TYPE_CHECKING:
    from hookseal_receiver.event import Event
    from hookseal_receiver.repeats import Claim, Store
    from hookseal_receiver.signature import Headers
    from hookseal_receiver.webhook import Webhook

_log = logging.getLogger("hookseal_receiver")

Handler = Callable[["Event"], object]
AsyncHandler = Callable[["Event"], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and headers of a response; it has no body."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()


_ACCEPTED = Answer(204)
_REFUSED = Answer(400)
TOO_LARGE = Answer(413)


def answer(
    webhook: Webhook, handler: Handler, store: Store, headers: Headers, body: bytes
) -> Answer:
    """Verify and decrypt the request, run the handler unless it is a repeat, return the response.

    Raises:
        Exception: What the handler raised, or `StoreError`. Let the framework answer 500: the
            sender retries.
    """
    event = _open(webhook, headers, body)
    if event is None:
        return _REFUSED
    claim = store.claim(event.delivery)
    if claim.standing is not Standing.NEW:
        return _not_new(claim)
    try:
        _run(handler, event)
    except BaseException:
        _release(store, claim)
        raise
    _finish(store, claim)
    return _ACCEPTED


async def answer_async(
    webhook: Webhook, handler: AsyncHandler, store: Store, headers: Headers, body: bytes
) -> Answer:
    """Do the same with an asynchronous handler.

    The store runs in threads, because disk access would block the event loop. If the task is
    cancelled while it claims, the claim expires with its lease.
    """
    event = _open(webhook, headers, body)
    if event is None:
        return _REFUSED
    claim = await asyncio.to_thread(store.claim, event.delivery)
    if claim.standing is not Standing.NEW:
        return _not_new(claim)
    try:
        await handler(event)
    except BaseException:
        # The thread has started before this task can be cancelled a second time.
        await asyncio.to_thread(_release, store, claim)
        raise
    await asyncio.to_thread(_finish, store, claim)
    return _ACCEPTED


def _open(webhook: Webhook, headers: Headers, body: bytes) -> Event | None:
    try:
        return webhook.open(headers, body)
    except VerificationError as error:
        # The log may contain the reason. The answer must not.
        _log.warning("webhook.refused reason=%s body_bytes=%d", error.reason, len(body))
        return None


def _run(handler: Handler, event: Event) -> None:
    returned = handler(event)
    if inspect.iscoroutine(returned):
        # It never runs: to accept the event would lose it.
        returned.close()
        raise TypeError("the handler is a coroutine function: use a plain function, or ASGI")


def _not_new(claim: Claim) -> Answer:
    _log.info("webhook.repeated delivery=%r standing=%s", claim.delivery, claim.standing.value)
    if claim.standing is Standing.SEEN:
        return _ACCEPTED
    # The request that holds the claim may still fail. The sender honours the header.
    return Answer(503, (("Retry-After", str(max(1, math.ceil(claim.free_in_s)))),))


def _release(store: Store, claim: Claim) -> None:
    try:
        store.release(claim)
    except StoreError:
        # The handler's error matters more. The claim expires with its lease.
        _log.exception("webhook.not_released delivery=%r", claim.delivery)


def _finish(store: Store, claim: Claim) -> None:
    try:
        store.finish(claim)
    except StoreError:
        # Accept it all the same: the handler succeeded, and a retry would run it again.
        _log.exception("webhook.not_noted delivery=%r", claim.delivery)
