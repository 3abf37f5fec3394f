"""Reads request bodies within limits of size, time and memory; decodes bodies and queries."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

import msgspec
from aiohttp import web

from hookseal.api.problems import RETRY_AFTER_S, Problem, unavailable
from hookseal.domain.json_text import validate
from hookseal.errors import InvalidInputError
from hookseal.seal import base64url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_T = TypeVar("_T")

# Texts of msgspec.
_NOT_ONE_OF = "Invalid enum value"
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]+)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.+?)`", re.DOTALL)
_AT = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_FIELD_MAX = 100
_CHUNK_BYTES = 64 * 1024
_FINGERPRINT_BYTES = 12

BODY_TIMEOUT_S = 30.0
# 16 batches of the largest size. While they are parsed and written to Kafka, the process uses
# about four times as much.
_MEMORY_MAX_BYTES = 64 * 1024 * 1024
# Reserved for principals that use little while others use much: 256 times the minimum.
_RESERVE_BYTES = 16 * 1024 * 1024
# Every body fits, except a batch.
_PRINCIPAL_MIN_BYTES = 64 * 1024
# The memory of an empty body, with its request, its task and its buffers. It also limits the
# number of requests to 4,096, the maximum number of connections.
_BODY_MIN_BYTES = 16 * 1024


def check_media_type(request: web.Request, *allowed: str) -> str:
    """Return the media type; raise `content_type_unsupported`, `content_encoding_unsupported`."""
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        # A compressed body would need two limits.
        raise InvalidInputError(
            "content_encoding_unsupported",
            "Send the body uncompressed, without Content-Encoding.",
            field="Content-Encoding",
        )
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type not in allowed:
        raise InvalidInputError(
            "content_type_unsupported",
            f"Set Content-Type to {' or '.join(allowed)}.",
            field="Content-Type",
        )
    return media_type


class BodyMemory:
    """Limits the memory of all request bodies, and shares it fairly among principals.

    A body counts from its first byte until its request is answered, as at least 16 KiB. A
    principal may use as much as is left free of 48 MiB: 24 MiB when it is alone, 16 MiB each when
    there are two. Therefore a part always remains for the next principal. Independent of others, a
    principal gets 64 KiB, until 64 MiB are in use. Not thread-safe.

    Args:
        max_bytes: Of all bodies. A quarter is reserved for small principals.
        timeout_s: Seconds within which a body must arrive.
    """

    def __init__(
        self, *, max_bytes: int = _MEMORY_MAX_BYTES, timeout_s: float = BODY_TIMEOUT_S
    ) -> None:
        self._max_bytes = max_bytes
        self._shared_bytes = max_bytes - min(_RESERVE_BYTES, max_bytes // 4)
        self._timeout_s = timeout_s
        self._used = 0
        self._used_by: Counter[str | None] = Counter()

    @contextmanager
    def reader(self, request: web.Request, principal: str | None) -> Iterator[BodyReader]:
        """Yield a reader of the request's body; free the memory after the block."""
        reader = BodyReader(request, self, principal, self._timeout_s)
        try:
            yield reader
        finally:
            self._used -= reader.reserved
            self._used_by[principal] -= reader.reserved
            if not self._used_by[principal]:
                del self._used_by[principal]

    def reserve(self, principal: str | None, size: int) -> None:
        """Count bytes as used by a principal.

        Raises:
            Problem: 429 `body_share_exceeded`: more than the principal's share. 503 `overloaded`:
                others use the memory.
        """
        own = self._used_by[principal]
        share = max(self._shared_bytes - self._used, _PRINCIPAL_MIN_BYTES)
        if own + size > share or self._used + size > self._max_bytes:
            # When n principals use their shares, each has 1/(n+1), and as much is free.
            others = len(self._used_by) - (principal in self._used_by)
            fair = max(self._shared_bytes // (others + 2), _PRINCIPAL_MIN_BYTES)
            if own + size > fair:
                raise Problem(
                    HTTPStatus.TOO_MANY_REQUESTS,
                    "body_share_exceeded",
                    f"The requests of this key's tenant in progress need {own + size:,} bytes of "
                    f"memory. Its share is {fair:,} bytes. Send fewer or smaller requests "
                    "concurrently, and retry this one.",
                    headers={"Retry-After": str(RETRY_AFTER_S)},
                )
            raise unavailable(
                "overloaded",
                f"The memory for request bodies ({self._max_bytes:,} bytes) is in use. Retry.",
            )
        self._used += size
        self._used_by[principal] += size


@dataclass(slots=True)
class BodyReader:
    """Reads the body of one request."""

    request: web.Request
    memory: BodyMemory
    principal: str | None
    timeout_s: float
    reserved: int = 0

    async def read(self, *, max_bytes: int, code: str = "body_too_large") -> bytes:
        """Return the body.

        Raises:
            InvalidInputError: `code`, when more than `max_bytes` are announced or arrive.
            Problem: 400 `body_incomplete`; 408 `body_too_slow`; as `BodyMemory.reserve`.
        """
        announced = self.request.content_length or 0
        if announced > max_bytes:
            raise _too_large(code, max_bytes, announced)
        try:
            # A body that arrives byte by byte would use its memory without a limit of time.
            async with asyncio.timeout(self.timeout_s):
                return await self._parts(max_bytes, code)
        except TimeoutError:
            raise Problem(
                HTTPStatus.REQUEST_TIMEOUT,
                "body_too_slow",
                f"The body did not arrive within {self.timeout_s:g} s. Send it without pauses.",
            ) from None
        except (ConnectionError, web.RequestPayloadError):
            # The client disconnected, or sent a malformed chunk.
            raise Problem(
                HTTPStatus.BAD_REQUEST,
                "body_incomplete",
                "The body is shorter than announced. Send the request again.",
            ) from None

    async def _parts(self, max_bytes: int, code: str) -> bytes:
        parts: list[bytes] = []
        size = 0
        self._reserve(_BODY_MIN_BYTES)
        async for part in self.request.content.iter_chunked(_CHUNK_BYTES):
            size += len(part)
            if size > max_bytes:
                raise _too_large(code, max_bytes, size)
            self._reserve(size - self.reserved)
            parts.append(part)
        return b"".join(parts)

    def _reserve(self, more: int) -> None:
        if more > 0:
            self.memory.reserve(self.principal, more)
            self.reserved += more


def decoded(text: bytes, kind: type[_T]) -> _T:
    """Decode strict JSON; raise as `json_text.validate` and `query_of`, or `body_not_object`."""
    if not isinstance(validate(text), dict):
        raise InvalidInputError("body_not_object", "Send a JSON object.")
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        raise _invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidInputError("json_invalid", "Send strict JSON.") from None


def query_of(query: Mapping[str, str], kind: type[_T]) -> _T:
    """Decode a query; raise `field_missing`, `field_unknown` or `field_invalid`."""
    # A multidict keeps repeated values. A set of its keys does not.
    if len(set(query)) != len(query):
        raise InvalidInputError("field_invalid", "Send each parameter once.", field="query")
    try:
        return msgspec.convert(dict(query), kind, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error) from None


def fingerprint(method: str, path: str, body: bytes) -> str:
    """Return a hash that differs for another request with the same Idempotency-Key."""
    digest = hashlib.sha256(b"%b\n%b\n%b" % (method.encode(), path.encode(), body)).digest()
    return base64url.encode(digest[:_FINGERPRINT_BYTES]).decode()


def _invalid(error: msgspec.ValidationError) -> InvalidInputError:
    """Return the error of msgspec as ours, with the field and without the value."""
    text = str(error)
    at = _AT.search(text)
    path = "" if at is None else at["path"]
    said = text[: at.start()] if at else text
    if said.startswith(_NOT_ONE_OF):
        # msgspec appends the value, which may be long.
        said = _NOT_ONE_OF
    code, detail = "field_invalid", f"{said}."
    if match := _MISSING.match(said):
        code, detail = "field_missing", "This field is required. Add it."
    elif match := _UNKNOWN.match(said):
        code, detail = "field_unknown", "This field does not exist. Remove it or correct its name."
    if match:
        path = ".".join(filter(None, (path, match["name"])))
    shown = "".join(letter if letter.isprintable() else "?" for letter in path[:_FIELD_MAX])
    return InvalidInputError(code, detail, field=shown or None)


def _too_large(code: str, max_bytes: int, size: int) -> InvalidInputError:
    return InvalidInputError(
        code, f"The body has {size:,} bytes or more. The limit is {max_bytes:,} bytes."
    )
