"""Client of the HTTP API: retries what may succeed later, and raises the API's errors as ours."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any, NoReturn, Self
from urllib.parse import quote, urlencode
from uuid import uuid4

import aiohttp
import orjson

from hookseal.errors import (
    BrokerError,
    ConfigurationError,
    ConflictError,
    HooksealError,
    InvalidInputError,
)
from hookseal.retry import RetryDelay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

_PAUSE_S = 0.05
_PAUSE_CAP_S = 2.0
# Added to the time that the API may take, for the network.
_NETWORK_S = 5.0

_ERRORS: dict[int, type[HooksealError]] = {
    HTTPStatus.UNAUTHORIZED: ConfigurationError,
    HTTPStatus.FORBIDDEN: ConfigurationError,
    HTTPStatus.NOT_FOUND: ConflictError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.REQUEST_TIMEOUT: BrokerError,
    HTTPStatus.TOO_MANY_REQUESTS: BrokerError,
    HTTPStatus.SERVICE_UNAVAILABLE: BrokerError,
    HTTPStatus.INTERNAL_SERVER_ERROR: BrokerError,
}
# Answers of the API, and of proxies whose upstream is down.
_RETRIED = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
# A wrong name or port: a retry does not help.
_NOT_REACHED = (aiohttp.ClientConnectorError, aiohttp.InvalidURL)


def tenant_path(customer_id: str) -> str:
    """Return the path of a tenant."""
    return f"/v1/tenants/{quote(customer_id, safe='')}"


class ApiClient:
    """Client of one API; an asynchronous context manager."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_s: float,
        socket: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Retry requests for `timeout_s` seconds.

        An API on a Unix `socket` has no other client, so its `Retry-After` is ignored.
        """
        self._url = url.rstrip("/")
        self._key = key
        self._timeout_s = timeout_s
        self._socket = socket
        self._monotonic = monotonic
        self._sleep = sleep
        self._was_reached = False

    async def __aenter__(self) -> Self:
        connector = None if self._socket is None else aiohttp.UnixConnector(str(self._socket))
        headers = {"Authorization": f"Bearer {self._key}"}
        self._session = aiohttp.ClientSession(connector=connector, headers=headers)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        idempotency_key: str | None = None,
    ) -> Any:
        """Send a request and return the JSON object of the answer, or None if it is empty.

        408, 429, 502 to 504 and broken connections are retried, after `Retry-After`. All retries
        carry the same Idempotency-Key, so the API executes the request once.

        Args:
            body: Bytes are sent as they are, anything else as JSON.
            idempotency_key: Shared with another request; a new key if None.

        Raises:
            InvalidInputError: The API refuses the request.
            ConflictError: The present state does not allow it; `unknown_…`.
            ConfigurationError: The key is refused, or lacks a scope.
            BrokerError: `api_unreachable`, `api_unexpected` if the answer is not the API's, or the
                last error when the time is over.
        """
        if query:
            path += f"?{urlencode({name: _text(value) for name, value in query.items()})}"
        headers, data = {}, None
        if method != "GET":
            headers["Idempotency-Key"] = idempotency_key or uuid4().hex
        if body is not None:
            data = body if isinstance(body, bytes) else orjson.dumps(body)
            headers["Content-Type"] = content_type
        deadline = self._monotonic() + self._timeout_s
        delay = RetryDelay(_PAUSE_S, _PAUSE_CAP_S)
        while True:
            left_s = max(0.0, deadline - self._monotonic())
            timeout = aiohttp.ClientTimeout(total=left_s + _NETWORK_S)
            try:
                return await self._send(method, path, data=data, headers=headers, timeout=timeout)
            except _RetryError as raised:
                wait_s = max(delay.next_s(), raised.after_s)
                if self._monotonic() + wait_s > deadline:
                    raise raised.error from None
            await self._sleep(wait_s)

    async def items(self, path: str, query: Mapping[str, Any]) -> AsyncIterator[Any]:
        """Yield the items of a list, page by page.

        Raises:
            HooksealError: As `ask`.
        """
        asked = dict(query)
        while True:
            page = await self.ask("GET", path, query=asked)
            for item in page["items"]:
                yield item
            if page["next_cursor"] is None:
                return
            asked["cursor"] = page["next_cursor"]

    async def _send(self, method: str, path: str, *, data: bytes | None, **options: Any) -> Any:
        try:
            async with self._session.request(
                method,
                self._url + path,
                # aiohttp warns of large bodies that are not files.
                data=None if data is None else BytesIO(data),
                # A redirect would carry the key to another host.
                allow_redirects=False,
                **options,
            ) as response:
                text = await response.read()
                status, after = response.status, response.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            unreachable = BrokerError(
                "api_unreachable",
                f"No API answers at {self._url} ({type(error).__name__}). Check that it runs and "
                "that the URL is right.",
                field="HOOKSEAL_API_URL",
            )
            # An API that answered before is probably restarting; one that never did is not.
            if isinstance(error, _NOT_REACHED) and not self._was_reached:
                raise unreachable from None
            raise _RetryError(unreachable) from None
        self._was_reached = True
        document = _json(text)
        unexpected = BrokerError(
            "api_unexpected",
            f"The server at {self._url} is not the API of this release (status {status}).",
            field="HOOKSEAL_API_URL",
        )
        if status < HTTPStatus.MULTIPLE_CHOICES:
            if not text:
                return None
            if isinstance(document, dict):
                return _Answer(document, unexpected)
            raise unexpected
        failure: HooksealError = unexpected
        if isinstance(document, dict) and isinstance(document.get("code"), str):
            field = document.get("field")
            failure = _ERRORS.get(status, InvalidInputError)(
                document["code"],
                str(document.get("detail", "")),
                field=field if isinstance(field, str) else None,
            )
        if status not in _RETRIED:
            raise failure
        # The API sends seconds, never a date.
        is_given = self._socket is None and after.isascii() and after.isdigit()
        raise _RetryError(failure, float(after) if is_given else 0.0)


class _Answer(dict[str, Any]):
    """A JSON object of unknown shape; a missing member raises `api_unexpected`."""

    def __init__(self, document: dict[str, Any], unexpected: BrokerError) -> None:
        super().__init__(document)
        self._unexpected = unexpected

    def __missing__(self, name: str) -> NoReturn:
        raise self._unexpected


class _RetryError(Exception):
    """A failure that may be over soon."""

    def __init__(self, error: HooksealError, after_s: float = 0.0) -> None:
        super().__init__(error)
        self.error = error
        self.after_s = after_s


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _json(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
