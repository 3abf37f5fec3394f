"""Behind every framework the same: 2xx only once the handler has done its work."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from hookseal_receiver import MemoryStore, SQLiteStore, StoreError
from tests.glue import GLUES
from tests.receiving import EVENT, OTHER, a_request, a_webhook

if TYPE_CHECKING:
    from pathlib import Path

    from hookseal_receiver import Claim, Event
    from tests.glue import Glue

pytestmark = pytest.mark.parametrize("glue", GLUES.values(), ids=GLUES)


class Book:
    """A handler that notes what it was given; it may be told to fail."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.failures = 0

    async def handle(self, event: Event) -> None:
        self.events.append(event)
        if self.failures:
            self.failures -= 1
            raise RuntimeError("the handler failed")


class SlowStore(MemoryStore):
    """Waits at each step until it is told to go on, as one on a busy disk does."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Semaphore(0)
        self.asked = asyncio.Semaphore(0)
        self._loop = asyncio.get_running_loop()

    def claim(self, delivery: str) -> Claim:
        self._wait()
        return super().claim(delivery)

    def finish(self, claim: Claim) -> None:
        self._wait()
        super().finish(claim)

    def _wait(self) -> None:
        self._loop.call_soon_threadsafe(self.asked.release)
        assert self.go_on.acquire(timeout=5), "nobody could tell it to go on"


class BrokenStore(MemoryStore):
    """Breaks at one of its steps."""

    def __init__(self, step: str) -> None:
        super().__init__()
        self._step = step

    def claim(self, delivery: str) -> Claim:
        self._break_at("claim")
        return super().claim(delivery)

    def finish(self, claim: Claim) -> None:
        self._break_at("finish")
        super().finish(claim)

    def release(self, claim: Claim) -> None:
        self._break_at("release")
        super().release(claim)

    def _break_at(self, step: str) -> None:
        if step == self._step:
            raise StoreError("store_unavailable", "The disk is full.")


async def test_an_event_is_handled_and_accepted(glue: Glue) -> None:
    book = Book()

    async with glue(a_webhook(), book.handle, None) as post:
        answer = await post(*a_request())

    assert (answer.status, answer.body) == (204, b"")
    assert [event.data for event in book.events] == [EVENT["data"]]


async def test_a_repeat_is_accepted_and_not_handled_again(glue: Glue) -> None:
    book = Book()

    async with glue(a_webhook(), book.handle, None) as post:
        statuses = [(await post(*a_request())).status for _ in range(3)]

    assert statuses == [204, 204, 204]
    assert len(book.events) == 1


async def test_the_same_event_at_another_endpoint_is_no_repeat(glue: Glue) -> None:
    book = Book()

    async with glue(a_webhook(), book.handle, None) as post:
        await post(*a_request())
        await post(*a_request(EVENT | {"endpoint_id": "ep_2"}))

    assert [event.endpoint_id for event in book.events] == ["ep_1", "ep_2"]


async def test_an_event_whose_handler_failed_is_handled_again(glue: Glue) -> None:
    book = Book()
    book.failures = 2

    async with glue(a_webhook(), book.handle, None) as post:
        statuses = [(await post(*a_request())).status for _ in range(4)]

    assert statuses == [500, 500, 204, 204]
    assert len(book.events) == 3


async def test_a_second_request_while_the_first_is_handled_is_told_to_come_again(
    glue: Glue,
) -> None:
    posts: list[Any] = []
    handled = []

    async def handle(event: Event) -> None:
        handled.append(event)
        posts.append(await post(*a_request()))

    async with glue(a_webhook(), handle, None) as post:
        first = await post(*a_request())
        third = await post(*a_request())

    (second,) = posts
    assert (second.status, second.body) == (503, b"")
    # As long as the claim may last, so that the sender does not spend its attempts on it.
    assert 1 <= int(second.headers["Retry-After"]) <= 30
    assert (first.status, third.status, len(handled)) == (204, 204, 1)


async def test_many_at_once_are_handled_once(glue: Glue) -> None:
    book = Book()

    async with glue(a_webhook(), book.handle, None) as post:
        answers = await asyncio.gather(*(post(*a_request()) for _ in range(8)))

    assert len(book.events) == 1
    assert {answer.status for answer in answers} <= {204, 503}
    assert 204 in {answer.status for answer in answers}


async def test_what_cannot_be_verified_is_refused_without_a_reason(
    glue: Glue, caplog: pytest.LogCaptureFixture
) -> None:
    book = Book()
    requests = {
        "signature_invalid": a_request(secret=OTHER),
        "key_unknown": a_request(to="p256"),
        "id_differs": a_request(event_id="evt_2"),
        "headers_invalid": ({}, a_request()[1]),
    }

    with caplog.at_level(logging.WARNING, "hookseal_receiver"):
        async with glue(a_webhook(), book.handle, None) as post:
            answers = [await post(*request) for request in requests.values()]

    assert {(answer.status, answer.body) for answer in answers} == {(400, b"")}
    assert book.events == []
    # The log of the receiver does say it.
    for line, reason in zip(caplog.messages, requests, strict=True):
        assert line.startswith(f"webhook.refused reason={reason} ")


async def test_a_body_that_is_too_large_is_not_read_to_its_end(glue: Glue) -> None:
    book = Book()
    headers, _ = a_request()

    async with glue(a_webhook(max_body_bytes=2000), book.handle, None) as post:
        answer = await post(headers, b"x" * 100_000)

    assert (answer.status, book.events) == (413, [])


async def test_the_largest_body_is_read_whole(glue: Glue) -> None:
    book = Book()
    headers, body = a_request(EVENT | {"data": "é" * 20_000})

    async with glue(a_webhook(max_body_bytes=len(body)), book.handle, None) as post:
        assert (await post(headers, body)).status == 204

    assert book.events[0].data == "é" * 20_000


async def test_what_was_seen_may_be_kept_in_a_file(glue: Glue, tmp_path: Path) -> None:
    book = Book()
    store = SQLiteStore(tmp_path / "seen.db")

    for _ in range(2):
        async with glue(a_webhook(), book.handle, store) as post:
            assert (await post(*a_request())).status == 204
        # As if the program had ended.
        store.close()

    assert len(book.events) == 1


async def test_a_slow_store_does_not_hold_up_the_loop(glue: Glue) -> None:
    book = Book()
    store = SlowStore()

    async with glue(a_webhook(), book.handle, store) as post:
        posting = asyncio.ensure_future(post(*a_request()))
        for _ in ("claim", "finish"):
            await store.asked.acquire()
            store.go_on.release()
        answer = await posting

    assert answer.status == 204


async def test_without_its_store_nothing_is_handled(glue: Glue) -> None:
    book = Book()

    async with glue(a_webhook(), book.handle, BrokenStore("claim")) as post:
        assert (await post(*a_request())).status == 500

    assert book.events == []


async def test_what_was_handled_but_cannot_be_noted_is_accepted(
    glue: Glue, caplog: pytest.LogCaptureFixture
) -> None:
    book = Book()

    async with glue(a_webhook(), book.handle, BrokenStore("finish")) as post:
        assert (await post(*a_request())).status == 204

    assert len(book.events) == 1
    assert "webhook.not_noted" in caplog.text


async def test_what_the_handler_raised_is_what_is_seen(
    glue: Glue, caplog: pytest.LogCaptureFixture
) -> None:
    book = Book()
    book.failures = 1

    async with glue(a_webhook(), book.handle, BrokenStore("release")) as post:
        assert (await post(*a_request())).status == 500

    assert "webhook.not_released" in caplog.text
