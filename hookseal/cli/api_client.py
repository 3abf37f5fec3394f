"""A client of the HTTP API: asks, asks again where that does nothing twice, raises our errors."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self
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

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ApiClient", "tenant_path"]

_JSON = "application/json"
_PAUSE_S = 0.05
_PAUSE_CAP_S = 2.0
_ANSWER_S = 75.0

_KINDS: dict[int, type[HooksealError]] = {
    HTTPStatus.UNAUTHORIZED: ConfigurationError,
    HTTPStatus.FORBIDDEN: ConfigurationError,
    HTTPStatus.NOT_FOUND: ConflictError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.TOO_MANY_REQUESTS: BrokerError,
    HTTPStatus.SERVICE_UNAVAILABLE: BrokerError,
    HTTPStatus.INTERNAL_SERVER_ERROR: BrokerError,
}


def tenant_path(customer_id: str) -> str:
    """Return where a tenant is."""
    return f"/v1/tenants/{quote(customer_id, safe='')}"


class ApiClient:
    """Asks one API; an asynchronous context manager."""

    def __init__(self, url: str, key: str, *, timeout_s: float, socket: Path | None = None) -> None:
        """Prepare.

        Args:
            url: Where the API answers, `https://host:port`.
            key: An API key, or the admin key.
            timeout_s: Seconds for which a request that may succeed later is repeated.
            socket: The Unix socket it listens on, if it is one.
        """
        self._url = url.rstrip("/")
        self._key = key
        self._timeout_s = timeout_s
        self._socket = socket

    async def __aenter__(self) -> Self:
        connector = None if self._socket is None else aiohttp.UnixConnector(str(self._socket))
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={"Authorization": f"Bearer {self._key}"},
            timeout=aiohttp.ClientTimeout(total=_ANSWER_S),
        )
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

        Args:
            method: HTTP method.
            path: From the root of the API.
            body: Sent as JSON, or as it is if it is bytes.
            content_type: Of the body.
            idempotency_key: Under which the request is carried out once; a new one if None.

        Raises:
            InvalidInputError: The API refuses the request.
            ConflictError: The present state does not allow it; `unknown_…`.
            ConfigurationError: The key is not taken, or lacks a scope.
            BrokerError: It did not succeed in time; `api_unreachable`.
        """
        headers = {"Idempotency-Key": idempotency_key or uuid4().hex}
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else orjson.dumps(body)
            headers["Content-Type"] = content_type
        deadline, pause_s = time.monotonic() + self._timeout_s, _PAUSE_S
        while True:
            try:
                return await self._once(method, path, data, headers)
            except BrokerError:
                # Under one key it is carried out once, however often it is asked for.
                if time.monotonic() + pause_s > deadline:
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(_PAUSE_CAP_S, pause_s * 2)

    async def _once(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str]
    ) -> Any:
        try:
            async with self._session.request(
                method, self._url + path, data=data, headers=headers, allow_redirects=False
            ) as response:
                text = await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise BrokerError(
                "api_unreachable",
                f"No API answers at {self._url}: {type(error).__name__}.",
                field="HOOKSEAL_API_URL",
            ) from None
        try:
            document = orjson.loads(text) if text else None
        except orjson.JSONDecodeError:
            document = None
        if status < HTTPStatus.MULTIPLE_CHOICES:
            return document
        raise self._error(status, document)

    def _error(self, status: int, document: Any) -> HooksealError:
        if not isinstance(document, dict) or not isinstance(document.get("code"), str):
            return BrokerError(
                "api_unexpected",
                f"What answers at {self._url} is not the API: status {status}.",
                field="HOOKSEAL_API_URL",
            )
        kind = _KINDS.get(status, InvalidInputError)
        return kind(document["code"], str(document.get("detail", "")), field=document.get("field"))
