"""Every answer that is no success: a problem document (RFC 9457) with a stable code."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from hookseal.errors import BrokerError, ConfigurationError, ConflictError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hookseal.errors import HooksealError

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER_S = 2

# What the operator is told names brokers and topics; whoever asks the API is told this.
_OURS = "Kafka cannot be reached just now, so nothing was changed; try again."
_UNCERTAIN = (
    "The write was not acknowledged in time. It may still have been made, or a part of it: "
    "try again with the same ids or Idempotency-Key, which does nothing twice."
)
_DETAILS = {
    "publish_failed": _UNCERTAIN,
    "record_refused": "Kafka does not take the record; the operator's log says why.",
    "redis_unreachable": _UNCERTAIN,
    "redis_refused": "The queue cannot be used just now; the operator's log says why.",
    "redis_full": "The queue takes nothing more just now; nothing was changed. Try again later.",
    "queue_full": (
        "As many events wait as there is room for, so none of these was taken; try again in a "
        "moment."
    ),
    "no_worker_answered": (
        "No worker applied the change in time. It takes effect once a worker runs: try again "
        "with the same Idempotency-Key, which does nothing twice."
    ),
    "overloaded": (
        "More is waiting to be written than there is room for, so nothing was; try again in a "
        "moment."
    ),
    "event_ids_recovering": "The latest event ids are still being read.",
    "index_behind": "The list is still being read; try again in a moment.",
    "index_unusable": "The list cannot be kept just now; the operator's log says why.",
    "master_key_wrong": (
        "The tenants were written under another master key; the operator's log says what to do."
    ),
    "tenants_recovering": "The tenants are still being read; try again in a moment.",
}

# Of the refusals of an input, those that HTTP has a status of their own for.
_TOO_LARGE = frozenset(
    {
        "batch_too_large",
        "body_too_large",
        "command_too_large",
        "key_too_long",
        "payload_too_large",
        "record_too_large",
    }
)
_UNSUPPORTED = frozenset({"content_type_unsupported", "content_encoding_unsupported"})


class ProblemDocument(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What stands in the body (RFC 9457 section 3).

    Attributes:
        title: The status in words.
        status: The HTTP status.
        code: Stable, for programs.
        detail: One sentence for a person: what is wrong and what to do.
        field: The part of the request it is about.
    """

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    field: str | None = None


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """An answer that is no success."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        *,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.headers = dict(headers or {})
        self.document = ProblemDocument(
            title=status.phrase, status=status.value, code=code, detail=detail, field=field
        )

    def response(self) -> web.Response:
        return web.Response(
            status=self.document.status,
            # `type` is told although it has its default: RFC 9457 readers look for it.
            body=msgspec.json.encode({"type": "about:blank", **msgspec.to_builtins(self.document)}),
            content_type=PROBLEM_TYPE,
            headers=self.headers,
        )


def problem_of(error: HooksealError) -> Problem:
    """Return the answer for an error that was raised on purpose."""
    return Problem(
        _status_of(error),
        error.code,
        _DETAILS.get(error.code, _OURS) if _is_ours(error) else error.message,
        field=None if _is_ours(error) else error.field,
        headers=_headers_of(error),
    )


def unavailable(code: str, detail: str) -> Problem:
    """Return the answer for what will work again in a moment."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        code,
        detail,
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def _is_ours(error: HooksealError) -> bool:
    return isinstance(error, BrokerError | ConfigurationError)


def _status_of(error: HooksealError) -> HTTPStatus:
    if _is_ours(error):
        return HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(error, ConflictError):
        unknown = error.code.startswith("unknown_")
        return HTTPStatus.NOT_FOUND if unknown else HTTPStatus.CONFLICT
    if isinstance(error, InvalidInputError):
        if error.code in _TOO_LARGE:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        if error.code in _UNSUPPORTED:
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        return HTTPStatus.UNPROCESSABLE_ENTITY
    return HTTPStatus.INTERNAL_SERVER_ERROR


def _headers_of(error: HooksealError) -> dict[str, str]:
    if _is_ours(error):
        return {"Retry-After": str(RETRY_AFTER_S)}
    return {}
