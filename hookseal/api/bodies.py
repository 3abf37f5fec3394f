"""Bodies and queries: read within a limit, checked, decoded."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, TypeVar

import msgspec

from hookseal.domain.json_text import validate
from hookseal.errors import InvalidInputError
from hookseal.seal import base64url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import web

__all__ = ["check_media_type", "decoded", "fingerprint", "query_of", "read_body"]

_T = TypeVar("_T")

# msgspec's words.
_NOT_ONE_OF = "Invalid enum value"
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]+)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.+?)`", re.DOTALL)
_AT = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_FIELD_MAX = 100
_CHUNK_BYTES = 64 * 1024
_FINGERPRINT_BYTES = 12


def check_media_type(request: web.Request, *allowed: str) -> str:
    """Return the body's media type, if it is one of those allowed.

    Raises:
        InvalidInputError: `content_type_unsupported`, `content_encoding_unsupported`.
    """
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        # What unpacks to more than it is would have to be bounded twice.
        raise InvalidInputError(
            "content_encoding_unsupported",
            "Send the body as it is, without Content-Encoding.",
            field="Content-Encoding",
        )
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type not in allowed:
        raise InvalidInputError(
            "content_type_unsupported",
            f"Send the body as {' or '.join(allowed)}.",
            field="Content-Type",
        )
    return media_type


async def read_body(
    request: web.Request,
    *,
    max_bytes: int,
    code: str = "body_too_large",
    came: Callable[[int], None] = lambda _: None,
) -> bytes:
    """Read the body.

    Args:
        request: Whose.
        max_bytes: Its size at most.
        code: Of the refusal.
        came: Told of each part's size; may raise.

    Raises:
        InvalidInputError: `code`, as soon as more than `max_bytes` are announced or came.
    """
    announced = request.content_length or 0
    if announced > max_bytes:
        raise _too_large(code, max_bytes, announced)
    parts: list[bytes] = []
    size = 0
    async for part in request.content.iter_chunked(_CHUNK_BYTES):
        size += len(part)
        if size > max_bytes:
            raise _too_large(code, max_bytes, size)
        came(len(part))
        parts.append(part)
    return b"".join(parts)


def decoded(text: bytes, kind: type[_T]) -> _T:
    """Return the JSON document as this type.

    Raises:
        InvalidEventError: As `hookseal.domain.json_text.validate`.
        InvalidInputError: `body_not_object`, `field_missing`, `field_unknown`,
            `field_invalid`.
    """
    if not isinstance(validate(text), dict):
        raise InvalidInputError("body_not_object", "Send a JSON object.")
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidInputError("json_invalid", "Send strict JSON.") from None


def query_of(query: Mapping[str, str], kind: type[_T]) -> _T:
    """Return the query as this type.

    Raises:
        InvalidInputError: `field_missing`, `field_unknown`, `field_invalid`.
    """
    # A multidict: as often as they were given, while its names are told once.
    if len(set(query)) != len(query):
        raise InvalidInputError("field_invalid", "Give each parameter once.", field="query")
    try:
        return msgspec.convert(dict(query), kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error) from None


def fingerprint(method: str, path: str, body: bytes) -> str:
    """Return what tells this request from another one under the same Idempotency-Key."""
    digest = hashlib.sha256(b"%b\n%b\n%b" % (method.encode(), path.encode(), body)).digest()
    return base64url.encode(digest[:_FINGERPRINT_BYTES]).decode()


def invalid(error: msgspec.ValidationError) -> InvalidInputError:
    """Return msgspec's error as ours: with the field, and without what stood in it."""
    text = str(error)
    at = _AT.search(text)
    path = "" if at is None else at["path"]
    said = text[: at.start()] if at else text
    if said.startswith(_NOT_ONE_OF):
        # msgspec goes on with the value itself, whatever its length.
        said = _NOT_ONE_OF
    for pattern, code, detail in (
        (_MISSING, "field_missing", "Give this field; it must be there."),
        (_UNKNOWN, "field_unknown", "There is no such field; leave it out or mend its name."),
    ):
        if match := pattern.match(said):
            return _fault(code, detail, ".".join(filter(None, (path, match["name"]))))
    return _fault("field_invalid", f"{said}.", path)


def _fault(code: str, detail: str, path: str) -> InvalidInputError:
    shown = "".join(letter if letter.isprintable() else "?" for letter in path[:_FIELD_MAX])
    return InvalidInputError(code, detail, field=shown or None)


def _too_large(code: str, max_bytes: int, size: int) -> InvalidInputError:
    return InvalidInputError(code, f"The body has {size} bytes or more; send at most {max_bytes}.")
