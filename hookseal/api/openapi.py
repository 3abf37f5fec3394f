"""Generates the OpenAPI 3.1 document from the operations and their types."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from apispec import APISpec

from hookseal.api.operations import Access
from hookseal.api.problems import PROBLEM_TYPE, ProblemDocument

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hookseal.api.operations import Operation

_REF = "#/components/schemas/{name}"
_JSON = "application/json"
_PATH_PARTS = {
    "customer_id": "Customer id of the tenant.",
    "id": "Id of the object, as the API returned it.",
    "kid": "Key id: RFC 7638 thumbprint of the public key.",
    "offset": "Offset of the dead letter.",
    "partition": "Partition of the dead letter.",
}
_ABOUT = """\
A tenant registers public keys, endpoints and event types. Every API key with the scope
`events:write` publishes events.

Errors are problem documents (RFC 9457) with a stable `code` and, if one member is wrong, its
`field`. A change is durable when it is answered, and the next read includes it. Send an
`Idempotency-Key` to retry a request safely: the latest 32 changes of a tenant are remembered.
"""
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Requests with the same key are processed once.",
    "schema": {"type": "string", "pattern": r"^[\x21-\x7e]{1,255}$"},
}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "ETag of the tenant: 409 if the tenant was changed meanwhile.",
    "schema": {"type": "string", "pattern": r'^("\d{1,18}"|\*)$'},
}


def document_of(operations: Iterable[Operation], version: str) -> dict[str, Any]:
    """Return the document, with the operations in their order."""
    every = tuple(operations)
    spec = APISpec(
        title="hookseal",
        version=version,
        openapi_version="3.1.0",
        info={"description": _ABOUT, "license": {"name": "MIT", "identifier": "MIT"}},
        servers=[{"url": "/"}],
    )
    batches = [operation.batch.returns for operation in every if operation.batch is not None]
    kinds = [kind for operation in every for kind in (operation.takes, operation.returns) if kind]
    _, schemas = msgspec.json.schema_components(
        [ProblemDocument, *batches, *kinds], ref_template=_REF
    )
    for name, schema in schemas.items():
        spec.components.schema(name, schema)
    spec.components.security_scheme("key", {"type": "http", "scheme": "bearer"})
    for operation in every:
        spec.path(path=operation.path, operations={operation.method.lower(): _described(operation)})
    plain: dict[str, Any] = msgspec.to_builtins(spec.to_dict())
    return plain


def _described(operation: Operation) -> dict[str, Any]:
    scope = "" if operation.scope is None else f" An API key needs the scope `{operation.scope}`."
    access = f"Access: {operation.access.value}.{scope}"
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": "\n\n".join(filter(None, (operation.description, access))),
        "tags": [operation.tag],
        "parameters": [*_in_path(operation), *_in_query(operation), *_in_headers(operation)],
        "responses": {
            str(status.value): answer for status, answer in _responses(operation).items()
        },
        "security": [] if operation.access is Access.PUBLIC else [{"key": []}],
    }
    if operation.takes is not None:
        described["requestBody"] = {
            "required": any(f.required for f in msgspec.structs.fields(operation.takes)),
            "content": _content(operation, _ref(operation.takes)),
        }
    return described


def _content(operation: Operation, one: dict[str, str]) -> dict[str, Any]:
    batch = operation.batch
    if batch is None:
        return {_JSON: {"schema": one}}
    # No `maxItems`: clients expect 422 for a schema violation, and too many items are a 413.
    limit = f"At most {batch.most} items. A larger batch is refused with 413."
    many = {"type": "array", "items": one, "minItems": 1, "description": limit}
    lines = {"type": "string", "description": "One JSON object per line."}
    return {_JSON: {"schema": {"oneOf": [one, many]}}, batch.lines: {"schema": lines}}


def _in_path(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PATH_PARTS[name],
            "schema": {"type": "string", "minLength": 1},
        }
        for name in operation.path_parts
    ]


def _in_query(operation: Operation) -> list[dict[str, Any]]:
    if operation.queries is None:
        return []
    schema = msgspec.json.schema_components([operation.queries], ref_template=_REF)[1]
    fields = schema[operation.queries.__name__]
    return [
        {"name": name, "in": "query", "required": name in fields.get("required", ()), "schema": of}
        for name, of in fields["properties"].items()
    ]


def _in_headers(operation: Operation) -> list[dict[str, Any]]:
    if operation.changes:
        return [_IDEMPOTENCY_KEY, _IF_MATCH]
    return [] if operation.batch is None else [_IDEMPOTENCY_KEY]


def _responses(operation: Operation) -> dict[HTTPStatus, dict[str, Any]]:
    problem = {PROBLEM_TYPE: {"schema": _ref(ProblemDocument)}}
    responses = {
        operation.status: _success(operation),
        # From aiohttp, which parses the request before the application gets it.
        HTTPStatus.BAD_REQUEST: {
            "description": (
                "The request is not HTTP/1.1, a line of its head has more than 8,190 bytes, or its "
                "body is incomplete. Codes: `request_malformed`, `body_incomplete`."
            ),
            "content": problem,
        },
    }
    for status, codes in sorted(_problems(operation).items()):
        listed = f" Codes: {', '.join(f'`{code}`' for code in codes)}." if codes else ""
        responses[status] = {"description": f"{status.phrase}.{listed}", "content": problem}
    return responses


def _success(operation: Operation) -> dict[str, Any]:
    success: dict[str, Any] = {"description": operation.summary}
    if operation.returns is not None:
        schema: dict[str, Any] = _ref(operation.returns)
        if operation.batch is not None:
            schema = {"oneOf": [schema, _ref(operation.batch.returns)]}
        success["content"] = {_JSON: {"schema": schema}}
    elif operation.status is not HTTPStatus.NO_CONTENT:
        success["content"] = {"text/plain": {"schema": {"type": "string"}}}
    return success


def _problems(operation: Operation) -> dict[HTTPStatus, tuple[str, ...]]:
    problems: dict[HTTPStatus, tuple[str, ...]] = {}
    if operation.access is not Access.PUBLIC:
        problems |= {
            HTTPStatus.UNAUTHORIZED: ("unauthorized", "api_key_malformed"),
            HTTPStatus.FORBIDDEN: (),
            HTTPStatus.TOO_MANY_REQUESTS: ("too_many_failures",),
            HTTPStatus.SERVICE_UNAVAILABLE: (),
        }
        if operation.scope is not None:
            problems[HTTPStatus.FORBIDDEN] = ("scope_missing",)
        if operation.access is Access.ADMIN:
            problems[HTTPStatus.FORBIDDEN] = ("admin_only",)
    if "customer_id" in operation.path_parts:
        problems[HTTPStatus.NOT_FOUND] = ("unknown_tenant",)
    if operation.takes is not None:
        problems |= {
            HTTPStatus.REQUEST_TIMEOUT: ("body_too_slow",),
            HTTPStatus.TOO_MANY_REQUESTS: ("too_many_failures", "body_share_exceeded"),
            HTTPStatus.SERVICE_UNAVAILABLE: ("overloaded",),
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("body_too_large",),
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE: ("content_type_unsupported",),
        }
    if operation.takes is not None or operation.queries is not None or operation.changes:
        problems[HTTPStatus.UNPROCESSABLE_ENTITY] = ()
    if operation.changes:
        problems[HTTPStatus.CONFLICT] = (
            "revision_conflict",
            "idempotency_key_reused",
            "tenant_too_large",
            "change_not_stored",
        )
    for status, codes in operation.problems.items():
        problems[status] = (*problems.get(status, ()), *codes)
    return problems


def _ref(kind: type) -> dict[str, str]:
    return {"$ref": _REF.format(name=kind.__name__)}
