"""Error responses: problem documents (RFC 9457) with a stable code."""

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

# Broker and configuration errors name brokers, topics and settings. API clients get these instead.
_UNREACHABLE = "Kafka is unreachable. Nothing was changed. Retry."
_UNCERTAIN = (
    "The write was not acknowledged in time. All or a part of it may have been written. Retry "
    "with the same event ids or Idempotency-Key to avoid duplicates."
)
_DETAILS = {
    "publish_failed": _UNCERTAIN,
    "record_refused": "Kafka rejected the record. The operator's log has the reason.",
    "redis_unreachable": _UNCERTAIN,
    "redis_refused": "The queue is unusable. The operator's log has the reason.",
    "redis_full": "The queue is out of memory. Nothing was changed. Retry later.",
    "queue_full": "The queue is full (HOOKSEAL_QUEUE_MAX_EVENTS). Nothing was published. Retry.",
    "no_worker_answered": (
        "No worker applied the change in time. It takes effect once a worker runs. Retry with the "
        "same Idempotency-Key to avoid a second change."
    ),
    "overloaded": "Too many events wait to be written. Nothing was published. Retry.",
    "event_ids_recovering": "The API is still reading the latest event ids. Retry.",
    "group_forbidden": (
        "Kafka does not allow the API to describe the consumer group. Grant DESCRIBE on the group."
    ),
    "index_behind": "The API is still reading the list. Retry.",
    "index_unusable": "The list is unavailable. The operator's log has the reason.",
    "master_key_wrong": "The master key is not that of the tenants. See the operator's log.",
    "tenants_recovering": "The API is still reading the tenants. Retry.",
}

_TOO_LARGE = {f"{name}_too_large" for name in ("batch", "body", "command", "payload", "record")} | {
    "key_too_long"
}
_UNSUPPORTED = {"content_type_unsupported", "content_encoding_unsupported"}


class ProblemDocument(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The body of an error response (RFC 9457 section 3).

    Attributes:
        code: Stable, for programs.
        detail: For people: what is wrong and what to do.
        field: The part of the request with the error.
    """

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    field: str | None = None


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """An error response."""

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
            # With `type` although it has its default: readers of RFC 9457 look for it.
            body=msgspec.json.encode({"type": "about:blank", **msgspec.to_builtins(self.document)}),
            content_type=PROBLEM_TYPE,
            headers=self.headers,
        )


def problem_of(error: HooksealError) -> Problem:
    """Return the response for an error of hookseal."""
    if isinstance(error, BrokerError | ConfigurationError):
        return unavailable(error.code, _DETAILS.get(error.code, _UNREACHABLE))
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    if isinstance(error, ConflictError):
        is_unknown = error.code.startswith("unknown_")
        status = HTTPStatus.NOT_FOUND if is_unknown else HTTPStatus.CONFLICT
    elif isinstance(error, InvalidInputError):
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        if error.code in _TOO_LARGE:
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        elif error.code in _UNSUPPORTED:
            status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    return Problem(status, error.code, error.message, field=error.field)


def unavailable(code: str, detail: str) -> Problem:
    """Return a response after which the client retries."""
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, code, detail, headers=headers)


def unknown_tenant(field: str | None = None) -> Problem:
    """Return the response for a tenant that does not exist, or that the key may not access."""
    detail = "No tenant has this customer id."
    return Problem(HTTPStatus.NOT_FOUND, "unknown_tenant", detail, field=field)
