"""What a server hands over now and then, and what a programmer does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette

from hookseal_receiver.asgi import SealedWebhooks
from hookseal_receiver.wsgi import SealedWebhooks as WsgiWebhooks
from tests.glue import call_asgi
from tests.receiving import a_request, a_webhook

if TYPE_CHECKING:
    from hookseal_receiver import Event


async def handle(event: Event) -> None:
    raise AssertionError("nothing of this is to be handled")


async def hang(started: asyncio.Queue[Event], event: Event) -> None:
    started.put_nowait(event)
    await asyncio.Event().wait()


class TestAsgi:
    async def test_a_client_that_goes_away_is_not_waited_for(self) -> None:
        app = SealedWebhooks(a_webhook(), handle)
        headers, body = a_request()
        messages = iter(
            [
                {"type": "http.request", "body": body[:9], "more_body": True},
                {"type": "http.disconnect"},
            ]
        )
        sent: list[Any] = []

        async def receive() -> Any:
            return next(messages)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "headers": [*map(_pair, headers.items())]}
        await app(scope, receive, send)

        assert sent[0]["status"] == 400

    async def test_a_request_that_is_cut_off_gives_its_event_back(self) -> None:
        started: asyncio.Queue[Event] = asyncio.Queue()
        app = SealedWebhooks(a_webhook(), lambda event: hang(started, event))

        for _ in range(2):
            posting = asyncio.create_task(call_asgi(app, *a_request()))
            await started.get()
            posting.cancel()
            await asyncio.wait([posting])
            assert posting.cancelled()

    async def test_another_method_is_refused(self) -> None:
        app = SealedWebhooks(a_webhook(), handle)

        answer = await call_asgi(app, *a_request(), method="GET")

        assert (answer.status, answer.headers["Allow"]) == (405, "POST")

    async def test_a_websocket_is_none_of_ours(self) -> None:
        app = SealedWebhooks(a_webhook(), handle)

        with pytest.raises(TypeError, match="websocket"):
            await app({"type": "websocket"}, None, None)  # type: ignore[arg-type]

    async def test_a_mounted_application_is_redirected_to_which_is_why_it_is_a_route(self) -> None:
        mounted = Starlette()
        mounted.mount("/hooks", SealedWebhooks(a_webhook(), handle))

        assert (await call_asgi(mounted, *a_request())).status == 307


class TestWsgi:
    def test_another_method_is_refused(self) -> None:
        assert _wsgi({"REQUEST_METHOD": "GET"}) == "405 Method Not Allowed"

    @pytest.mark.parametrize(
        ("length", "status"),
        [("", 400), ("0", 400), ("-1", 413), ("x", 413), ("9" * 5000, 413), ("65537", 413)],
    )
    def test_a_length_that_is_none_is_refused(self, length: str, status: int) -> None:
        found = _wsgi({"REQUEST_METHOD": "POST", "CONTENT_LENGTH": length})

        assert found.startswith(f"{status} ")

    def test_a_handler_that_would_never_run_is_refused(self) -> None:
        headers, body = a_request()
        app = WsgiWebhooks(a_webhook(), handle)
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "POST",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": _Input(body),
            **{f"HTTP_{n.upper().replace('-', '_')}": value for n, value in headers.items()},
        }

        with pytest.raises(TypeError, match="coroutine"):
            app(environ, lambda *_: lambda _: None)


class _Input:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def read(self, size: int) -> bytes:
        return self._body[:size]


def _pair(pair: tuple[str, str]) -> tuple[bytes, bytes]:
    return pair[0].encode(), pair[1].encode()


def _wsgi(environ: dict[str, Any]) -> str:
    """Call the WSGI application; return the status line."""
    lines: list[str] = []
    app = WsgiWebhooks(a_webhook(), lambda _: None)
    app({"wsgi.input": _Input(b""), **environ}, lambda line, *_: lines.append(line))  # type: ignore[arg-type]
    return lines[0]
