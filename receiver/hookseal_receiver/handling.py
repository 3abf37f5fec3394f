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
from hookseal_receiver.repeats.port import Standing

if TYPE_CHECKING:
    from hookseal_receiver.event import Event
    from hookseal_receiver.headers import Headers
    from hookseal_receiver.repeats.port import Claim, Store
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
        Exception: Whatever the handler raised, or `StoreError`. Let the framework answer
            500: the sender tries again.
    """
    event = _opened(webhook, headers, body)
    if event is None:
        return _REFUSED
    claim = store.claim(event.delivery)
    if claim.standing is not Standing.NEW:
        return _not_new(claim)
    try:
        _run(handler, event)
    except BaseException:
        _let_go(store, claim)
        raise
    _note(store, claim)
    return _ACCEPTED


async def answer_async(
    webhook: Webhook, handler: AsyncHandler, store: Store, headers: Headers, body: bytes
) -> Answer:
    """Do the same with an asynchronous handler.

    The store runs in threads: one on a disk would hold up the event loop. A task that is
    cancelled while its claim is under way leaves it to its lease.
    """
    event = _opened(webhook, headers, body)
    if event is None:
        return _REFUSED
    claim = await asyncio.to_thread(store.claim, event.delivery)
    if claim.standing is not Standing.NEW:
        return _not_new(claim)
    try:
        await handler(event)
    except BaseException:
        # The thread has its work before this task may be cancelled a second time.
        await asyncio.to_thread(_let_go, store, claim)
        raise
    await asyncio.to_thread(_note, store, claim)
    return _ACCEPTED


def _opened(webhook: Webhook, headers: Headers, body: bytes) -> Event | None:
    try:
        return webhook.open(headers, body)
    except VerificationError as error:
        # The log may tell what the answer must not.
        _log.warning("webhook.refused reason=%s body_bytes=%d", error.reason, len(body))
        return None


def _run(handler: Handler, event: Event) -> None:
    returned = handler(event)
    if inspect.iscoroutine(returned):
        # It has not run, and never will: to accept the event would be to lose it.
        returned.close()
        raise TypeError("give a handler that is no coroutine function, or use ASGI")


def _not_new(claim: Claim) -> Answer:
    _log.info("webhook.repeated delivery=%r standing=%s", claim.delivery, claim.standing.value)
    if claim.standing is Standing.SEEN:
        return _ACCEPTED
    # Not accepted: the request that holds the claim may still fail. The sender honours the header.
    return Answer(503, (("Retry-After", str(max(1, math.ceil(claim.free_in_s)))),))


def _let_go(store: Store, claim: Claim) -> None:
    try:
        store.release(claim)
    except StoreError:
        # The handler's error matters more; the claim ends with its lease.
        _log.exception("webhook.not_released delivery=%r", claim.delivery)


def _note(store: Store, claim: Claim) -> None:
    try:
        store.finish(claim)
    except StoreError:
        # Accepted all the same: the handler succeeded, and would run again if it were sent
        # again. A repeat, should there be one, runs it a second time.
        _log.exception("webhook.not_noted delivery=%r", claim.delivery)
