"""Declares operations. Routes, validation and the OpenAPI document follow from them."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from hookseal.api.auth import Principal
    from hookseal.api.request_body import BodyReader

_Input = TypeVar("_Input")
_Result = TypeVar("_Result")

# Batches of events have a limit of their own. Of the other bodies, a public key is the largest.
BODY_MAX_BYTES = 64 * 1024


class Access(Enum):
    """Who may call an operation."""

    PUBLIC = "anybody"
    ADMIN = "the admin key"
    TENANT = "an API key of the tenant, or the admin key"
    # An API key of any tenant, or the admin key. The handler checks the rest.
    ANY = "an API key, or the admin key"


@dataclass(frozen=True, slots=True)
class Call:
    """One authorized request; `input` is the decoded body, or the decoded query."""

    request: web.Request
    principal: Principal
    reader: BodyReader
    input: Any = None
    fingerprint: str = ""

    @property
    def customer_id(self) -> str:
        return self.part("customer_id")

    def part(self, name: str) -> str:
        """Return a parameter of the path."""
        return self.request.match_info[name]

    def input_as(self, kind: type[_Input]) -> _Input:
        assert isinstance(self.input, kind)  # noqa: S101 - it was decoded as this type
        return self.input


@dataclass(frozen=True, slots=True)
class Reply:
    """A success. The body is encoded as JSON; None sends no body."""

    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[..., Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Up to `most` items in one request, as a JSON array or as lines of a media type."""

    most: int
    returns: type
    lines: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One route, and the decorator of its handler, a method of a `Resource`.

    The name of the handler becomes the `operationId`, its docstring summary and description.

    Attributes:
        problems: Codes by status, in addition to those that follow from the other attributes.
        changes: Changes a tenant: accepts `Idempotency-Key` and `If-Match`.
        batch: Accepted instead of one `takes`. The handler reads the body with `Call.reader`, which
            has other media types and limits, and accepts `Idempotency-Key`.
    """

    method: str
    path: str
    tag: str
    access: Access = Access.TENANT
    scope: str | None = None
    status: HTTPStatus = HTTPStatus.OK
    takes: type | None = None
    queries: type | None = None
    returns: type | None = None
    problems: Mapping[HTTPStatus, tuple[str, ...]] = field(default_factory=dict)
    changes: bool = False
    batch: Batch | None = None
    name: str = ""
    summary: str = ""
    description: str = ""
    handler: Handler | None = None

    def __call__(self, handler: Handler) -> Operation:
        summary, _, description = (inspect.getdoc(handler) or "").partition("\n\n")
        return replace(
            self,
            name=re.sub("_(.)", lambda match: match[1].upper(), handler.__name__),
            summary=summary,
            description=self.description or description,
            handler=handler,
        )

    @property
    def path_parts(self) -> tuple[str, ...]:
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))


_running: set[asyncio.Task[Any]] = set()


async def run_to_end(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Await a replay, which goes to its end although the client disconnects.

    A replay that is cancelled would keep its partition from other replays until its lease expires.
    """
    task = asyncio.create_task(work)
    _running.add(task)
    task.add_done_callback(_running.discard)
    return await asyncio.shield(task)


class Resource:
    """Base of a class whose methods are operations."""

    def operations(self) -> list[Operation]:
        """Return the operations in the order of their declaration."""
        return [
            replace(declared, handler=partial(declared.handler, self))
            for declared in vars(type(self)).values()
            if isinstance(declared, Operation) and declared.handler is not None
        ]
