"""For WSGI: Flask and other frameworks; imports none of them.

In Flask a view can return it: `app.post("/hooks")(lambda: hooks)`, with
`hooks = SealedWebhooks(webhook, handle)`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from hookseal_receiver.handling import TOO_LARGE, Answer, answer
from hookseal_receiver.repeats import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from hookseal_receiver.handling import Handler
    from hookseal_receiver.repeats import Store
    from hookseal_receiver.webhook import Webhook

# Python refuses to parse numbers with thousands of digits.
_LENGTH_DIGITS = 12


class SealedWebhooks:
    """A WSGI application that passes each event to a handler and then answers 204.

    Without a store, repeats are recognized in this process only.
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
        # The sender always sends the length. Without it read nothing: where a server does not
        # end the input itself, a read would wait until the connection is closed.
        length = environ.get("CONTENT_LENGTH") or "0"
        is_number = length.isdecimal() and len(length) <= _LENGTH_DIGITS
        if not is_number or int(length) > self._webhook.max_body_bytes:
            return TOO_LARGE
        body = environ["wsgi.input"].read(int(length))
        # PEP 3333 turns a header into `HTTP_WEBHOOK_ID`, and joins two with a comma.
        headers = [
            (name.removeprefix("HTTP_").replace("_", "-"), value)
            for name, value in environ.items()
            if name.startswith("HTTP_WEBHOOK_")
        ]
        return answer(self._webhook, self._handler, self._store, headers, body)
