"""The receiver behind each framework, and a way to post to it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import flask
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Route

import hookseal_receiver.aiohttp
import hookseal_receiver.asgi
import hookseal_receiver.wsgi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

    from hookseal_receiver import Event, Store, Webhook

__all__ = ["GLUES", "Answered", "call_asgi"]

PATH = "/hooks"


class Answered(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


if TYPE_CHECKING:
    Post = Callable[[dict[str, str], bytes], Awaitable[Answered]]
    Handle = Callable[[Event], Coroutine[Any, Any, None]]
    Glue = Callable[[Webhook, Handle, Store | None], AbstractAsyncContextManager[Post]]


@asynccontextmanager
async def on_aiohttp(webhook: Webhook, handle: Handle, store: Store | None) -> AsyncIterator[Post]:
    app = web.Application()
    receive = hookseal_receiver.aiohttp.sealed_webhooks(webhook, handle, store=store)
    app.router.add_post(PATH, receive)
    async with TestClient(TestServer(app)) as client:

        async def post(headers: dict[str, str], body: bytes) -> Answered:
            async with client.post(PATH, headers=headers, data=body) as answer:
                return Answered(answer.status, dict(answer.headers), await answer.read())

        yield post


def on_asgi(make: Callable[[], Starlette]) -> Glue:
    @asynccontextmanager
    async def on_it(webhook: Webhook, handle: Handle, store: Store | None) -> AsyncIterator[Post]:
        app = make()
        receive = hookseal_receiver.asgi.SealedWebhooks(webhook, handle, store=store)
        app.router.routes.append(Route(PATH, receive, methods=["POST"]))

        async def post(headers: dict[str, str], body: bytes) -> Answered:
            return await call_asgi(app, headers, body)

        yield post

    return on_it


async def call_asgi(
    app: Any, headers: dict[str, str], body: bytes, *, method: str = "POST", chunk: int = 1000
) -> Answered:
    """Post as an ASGI server does, in chunks."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": PATH,
        "raw_path": PATH.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
    }
    chunks = [body[at : at + chunk] for at in range(0, len(body), chunk)]
    incoming = iter(
        [{"type": "http.request", "body": one, "more_body": True} for one in chunks]
        + [{"type": "http.request", "body": b""}]
    )
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return next(incoming)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    try:
        await app(scope, receive, send)
    except Exception:  # noqa: BLE001 - Starlette answers 500 and raises it for the server's log
        assert sent[0]["status"] == 500
    answered = {name.decode().title(): value.decode() for name, value in sent[0]["headers"]}
    return Answered(sent[0]["status"], answered, b"".join(m.get("body", b"") for m in sent))


@asynccontextmanager
async def on_flask(webhook: Webhook, handle: Handle, store: Store | None) -> AsyncIterator[Post]:
    loop = asyncio.get_running_loop()

    def handle_in_thread(event: Event) -> None:
        asyncio.run_coroutine_threadsafe(handle(event), loop).result(timeout=10)

    app = flask.Flask(__name__)
    receive = hookseal_receiver.wsgi.SealedWebhooks(webhook, handle_in_thread, store=store)
    app.post(PATH)(lambda: receive)

    def post_in_thread(headers: dict[str, str], body: bytes) -> Answered:
        answer = app.test_client().post(PATH, headers=headers, data=body)
        return Answered(answer.status_code, dict(answer.headers), answer.data)

    async def post(headers: dict[str, str], body: bytes) -> Answered:
        return await asyncio.to_thread(post_in_thread, headers, body)

    yield post


GLUES: dict[str, Glue] = {
    "aiohttp": on_aiohttp,
    "Starlette": on_asgi(Starlette),
    "FastAPI": on_asgi(FastAPI),
    "Flask": on_flask,
}
