"""A client of the HTTP API: asks, asks again where that does nothing twice, raises our errors."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any, NoReturn, Self
from urllib.parse import quote
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
    from collections.abc import Awaitable, Callable
    from pathlib import Path

__all__ = ["ApiClient", "tenant_path"]

_JSON = "application/json"
_PAUSE_S = 0.05
_PAUSE_CAP_S = 2.0
# On top of the time that the API may take: for the way there and back.
_WAY_S = 5.0

_KINDS: dict[int, type[HooksealError]] = {
    HTTPStatus.UNAUTHORIZED: ConfigurationError,
    HTTPStatus.FORBIDDEN: ConfigurationError,
    HTTPStatus.NOT_FOUND: ConflictError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.REQUEST_TIMEOUT: BrokerError,
    HTTPStatus.TOO_MANY_REQUESTS: BrokerError,
    HTTPStatus.SERVICE_UNAVAILABLE: BrokerError,
    HTTPStatus.INTERNAL_SERVER_ERROR: BrokerError,
}
# The API's own, and what proxies say while there is none behind them.
_FOR_NOW = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
# Nobody was reached, and will not be in a moment: a wrong name or port.
_NOT_REACHED = (aiohttp.ClientConnectorError, aiohttp.InvalidURL)


def tenant_path(customer_id: str) -> str:
    """Return where a tenant is."""
    return f"/v1/tenants/{quote(customer_id, safe='')}"


class ApiClient:
    """Asks one API; an asynchronous context manager."""

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
        """Prepare.

        Args:
            url: Where the API answers, `https://host:port`.
            key: An API key, or the admin key.
            timeout_s: Seconds for which a request that may succeed later is repeated.
            socket: The Unix socket it listens on, if it is one. It serves nobody else then:
                it is asked again sooner than it says.
            monotonic: Seconds that never go back.
            sleep: Waits.
        """
        self._url = url.rstrip("/")
        self._key = key
        self._timeout_s = timeout_s
        self._socket = socket
        self._monotonic = monotonic
        self._sleep = sleep
        self._was_there = False

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
        content_type: str = _JSON,
        idempotency_key: str | None = None,
    ) -> Any:
        """Return the answer's JSON, None where there is none.

        What may succeed later (408, 429, 502 to 504, a connection that broke) is asked for
        again, after the time that the API names. All of it goes under one Idempotency-Key:
        it is carried out once, however often it is asked for.

        Args:
            method: HTTP method.
            path: From the root of the API.
            body: Sent as JSON, or as it is if it is bytes.
            content_type: Of the body.
            idempotency_key: For a request that another one has a part in; a new one if None.

        Raises:
            InvalidInputError: The API refuses the request.
            ConflictError: The present state does not allow it; `unknown_…`.
            ConfigurationError: The key is not taken, or lacks a scope.
            BrokerError: It did not succeed in time, `api_unreachable`; or what answers is
                not the API, `api_unexpected`.
        """
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
            timeout = aiohttp.ClientTimeout(total=left_s + _WAY_S)
            try:
                return await self._once(method, path, data, headers, timeout)
            except _ForNowError as raised:
                wait_s = max(delay.next_s(), raised.after_s)
                if self._monotonic() + wait_s > deadline:
                    raise raised.error from None
            await self._sleep(wait_s)

    async def _once(
        self,
        method: str,
        path: str,
        data: bytes | None,
        headers: dict[str, str],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own
    ) -> Any:
        try:
            async with self._session.request(
                method,
                self._url + path,
                # As a file: of so many bytes at once aiohttp warns.
                data=None if data is None else BytesIO(data),
                headers=headers,
                timeout=timeout,
                # They would take the key along to where it is nobody's business.
                allow_redirects=False,
            ) as response:
                text = await response.read()
                status, after = response.status, response.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            missed = BrokerError(
                "api_unreachable",
                f"No API answers at {self._url}: {type(error).__name__}.",
                field="HOOKSEAL_API_URL",
            )
            # An API that was there is being restarted; one that never was is not awaited.
            if isinstance(error, _NOT_REACHED) and not self._was_there:
                raise missed from None
            raise _ForNowError(missed) from None
        self._was_there = True
        if status < HTTPStatus.MULTIPLE_CHOICES:
            return self._document(status, text)
        failure = self._failure(status, text)
        if status in _FOR_NOW:
            raise _ForNowError(failure, self._after_s(after))
        raise failure

    def _document(self, status: int, text: bytes) -> Any:
        if not text:
            return None
        document = _json(text)
        if not isinstance(document, dict):
            raise self._unexpected(status)
        return _Answer(document, self._unexpected(status))

    def _failure(self, status: int, text: bytes) -> HooksealError:
        problem = _json(text)
        if not isinstance(problem, dict) or not isinstance(problem.get("code"), str):
            return self._unexpected(status)
        kind, field = _KINDS.get(status, InvalidInputError), problem.get("field")
        return kind(
            problem["code"],
            str(problem.get("detail", "")),
            field=field if isinstance(field, str) else None,
        )

    def _unexpected(self, status: int) -> BrokerError:
        return BrokerError(
            "api_unexpected",
            f"What answers at {self._url} is not the API of this release: status {status}.",
            field="HOOKSEAL_API_URL",
        )

    def _after_s(self, header: str) -> float:
        # The other form, a date, is none of the API's.
        is_told = self._socket is None and header.isascii() and header.isdigit()
        return float(header) if is_told else 0.0


class _Answer(dict[str, Any]):
    """An answer of which nothing else is known; what is missing in it is an error of ours."""

    def __init__(self, document: dict[str, Any], unexpected: BrokerError) -> None:
        super().__init__(document)
        self._unexpected = unexpected

    def __missing__(self, name: str) -> NoReturn:
        raise self._unexpected


class _ForNowError(Exception):
    """A failure that may be over in a moment."""

    def __init__(self, error: HooksealError, after_s: float = 0.0) -> None:
        super().__init__(error)
        self.error = error
        self.after_s = after_s


def _json(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
