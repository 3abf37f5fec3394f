"""For WSGI: Flask and other frameworks. Needs no library.

In Flask a view may return it: `app.post("/hooks")(lambda: hooks)`, where `hooks` is a
`SealedWebhooks(webhook, handle)`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from hookseal_receiver.handling import TOO_LARGE, Answer, answer
from hookseal_receiver.repeats.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from hookseal_receiver.handling import Handler
    from hookseal_receiver.repeats.port import Store
    from hookseal_receiver.webhook import Webhook

__all__ = ["SealedWebhooks"]

# Python refuses to read numbers of thousands of digits.
_LENGTH_DIGITS = 12


class SealedWebhooks:
    """A WSGI application that gives each event to a handler, and answers 204 after it.

    Without a store repeats are dropped in this process only.
    """

    def __init__(self, webhook: Webhook, handler: Handler, *, store: Store | None = None) -> None:
        self._webhook = webhook
        self._handler = handler
        self._store = MemoryStore() if store is None else store

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        found = self._answer(environ)
        status = HTTPStatus(found.status)
        headers = list(found.headers)
        if status is not HTTPStatus.NO_CONTENT:
            headers.append(("Content-Length", "0"))
        start_response(f"{status.value} {status.phrase}", headers)
        return []

    def _answer(self, environ: WSGIEnvironment) -> Answer:
        if environ["REQUEST_METHOD"] != "POST":
            return Answer(405, (("Allow", "POST"),))
        # The sender always tells the length. Without it nothing is read: where a server does
        # not end the input itself, a read would wait for the connection to close.
        length = environ.get("CONTENT_LENGTH") or "0"
        if not length.isdecimal() or len(length) > _LENGTH_DIGITS:
            return TOO_LARGE
        if int(length) > self._webhook.max_body_bytes:
            return TOO_LARGE
        body = environ["wsgi.input"].read(int(length))
        # PEP 3333 makes `HTTP_WEBHOOK_ID` of a header; of two it makes one with a comma.
        headers = [
            (name.removeprefix("HTTP_").replace("_", "-"), value)
            for name, value in environ.items()
            if name.startswith("HTTP_WEBHOOK_")
        ]
        return answer(self._webhook, self._handler, self._store, headers, body)
