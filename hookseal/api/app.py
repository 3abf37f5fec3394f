"""Builds the aiohttp application from the operations."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from hookseal.api import request_body
from hookseal.api.auth import ADMIN
from hookseal.api.operations import BODY_MAX_BYTES, Access, Call, Reply
from hookseal.api.problems import Problem, problem_of, unknown_tenant
from hookseal.api.request_body import BodyMemory
from hookseal.errors import HooksealError
from hookseal.telemetry import metrics
from hookseal.telemetry.logs import logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from hookseal.api.auth import Authentication, Principal
    from hookseal.api.operations import Operation
    from hookseal.api.request_body import BodyReader

_JSON = "application/json"
_OPERATION = web.RequestKey("operation", str)
_log = logger("hookseal.api")
_encoder = msgspec.json.Encoder()


def create_app(
    operations: Iterable[Operation],
    authentication: Authentication,
    *,
    memory: BodyMemory | None = None,
) -> web.Application:
    """Return the application. Without `memory`, request bodies have the limits of docs/api.md."""
    memory = BodyMemory() if memory is None else memory
    # The limit of bodies that no operation reads. The others have limits that apply while reading.
    app = web.Application(client_max_size=BODY_MAX_BYTES, middlewares=[_handle_errors])
    for operation in operations:
        endpoint = _OperationHandler(operation, authentication, memory)
        app.router.add_route(operation.method, operation.path, endpoint.handle)
    return app


class _OperationHandler:
    """Authenticates, authorizes and decodes the requests of one operation."""

    def __init__(
        self, operation: Operation, authentication: Authentication, memory: BodyMemory
    ) -> None:
        assert operation.handler is not None  # noqa: S101 - `Resource.operations` binds it
        self._operation = operation
        self._handler = operation.handler
        self._memory = memory
        self._authentication = authentication
        labels = (operation.name, str(operation.status.value))
        self._succeeded = metrics.API_REQUESTS.labels(*labels)
        self._seconds = metrics.API_SECONDS.labels(operation.name)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        started = time.perf_counter()
        request[_OPERATION] = self._operation.name
        principal = await self._authorize(request)
        with self._memory.reader(request, principal.customer_id) as reader:
            reply = await self._handler(await self._decode(request, principal, reader))
        self._succeeded.inc()
        self._seconds.observe(time.perf_counter() - started)
        if self._operation.changes:
            _log.info(
                "api.change_accepted",
                operation=self._operation.name,
                customer_id=request.match_info.get("customer_id"),
                by=principal.key_id or "admin",
            )
        return _response(self._operation.status, reply)

    async def _authorize(self, request: web.Request) -> Principal:
        operation = self._operation
        if operation.access is Access.PUBLIC:
            return ADMIN
        principal = await self._authentication.principal(request)
        if principal.is_admin:
            return principal
        if (
            operation.access is Access.TENANT or "customer_id" in request.match_info
        ) and principal.customer_id != request.match_info["customer_id"]:
            # Before the scope check: a foreign tenant gets 404, not the scopes of the key.
            raise unknown_tenant()
        if operation.access is Access.ADMIN:
            raise Problem(
                HTTPStatus.FORBIDDEN, "admin_only", "This operation requires the admin key."
            )
        if operation.scope is not None and not principal.may(operation.scope):
            raise Problem(
                HTTPStatus.FORBIDDEN,
                "scope_missing",
                f"This API key lacks the scope {operation.scope}. Use a key that has it.",
                field=operation.scope,
            )
        return principal

    async def _decode(self, request: web.Request, principal: Principal, reader: BodyReader) -> Call:
        operation = self._operation
        found: Any = None
        if operation.queries is not None:
            found = request_body.query_of(request.query, operation.queries)
        text = b""
        if operation.takes is not None and operation.batch is None:
            if request.body_exists:
                request_body.check_media_type(request, _JSON)
                text = await reader.read(max_bytes=BODY_MAX_BYTES)
            is_empty = not text and not any(
                field.required for field in msgspec.structs.fields(operation.takes)
            )
            found = request_body.decoded(b"{}" if is_empty else text, operation.takes)
        fingerprint = request_body.fingerprint(request.method, request.rel_url.raw_path, text)
        return Call(request, principal, reader, found, fingerprint)


def _response(status: HTTPStatus, reply: Reply) -> web.StreamResponse:
    if isinstance(reply.body, web.StreamResponse):
        return reply.body
    headers = {"Cache-Control": "no-store", **reply.headers}
    if reply.body is None:
        return web.Response(status=status, headers=headers)
    return web.Response(
        status=status, body=_encoder.encode(reply.body), content_type=_JSON, headers=headers
    )


@web.middleware
async def _handle_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except Problem as raised:
        problem = raised
    except HooksealError as error:
        problem = problem_of(error)
    except web.HTTPException as error:
        problem = _of_http(error)
    except Exception as error:  # noqa: BLE001 - a bug of ours is a 500
        _log.error("api.internal_error", operation=request.get(_OPERATION, "none"), exc_info=error)
        problem = Problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "internal_error",
            "hookseal failed to process the request. The operator's log has the reason.",
        )
    document = problem.document
    operation = request.get(_OPERATION, "none")
    metrics.API_REQUESTS.labels(operation, str(document.status)).inc()
    if document.status == HTTPStatus.TOO_MANY_REQUESTS:
        metrics.API_THROTTLED.labels(document.code).inc()
    _log.info(
        "api.request_failed",
        operation=operation,
        status=document.status,
        code=document.code,
        field=document.field,
        customer_id=request.match_info.get("customer_id"),
    )
    return problem.response()


def _of_http(error: web.HTTPException) -> Problem:
    status = HTTPStatus(error.status)
    if status is HTTPStatus.NOT_FOUND:
        return Problem(status, "not_found", "No route has this path. See /openapi.json.")
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = error.headers.get("Allow", "")
        return Problem(status, "method_not_allowed", f"Use {allowed}.", headers={"Allow": allowed})
    return Problem(status, status.name.lower(), f"{status.phrase}.")
