"""Declares operations; routes, validation and OpenAPI follow from them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from hookseal.api.principals import Principal
    from hookseal.api.request_body import BodyReader

_Body = TypeVar("_Body")

# A public key is the largest thing that is sent but for events.
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
    """One request, checked: it is allowed, and its body and query are of their types.

    Attributes:
        reader: Reads the body of a `raw` operation; of others it has read the body already.
        body: The body, or None where the operation takes none.
        query: The query, or None where the operation takes none.
    """

    request: web.Request
    principal: Principal
    reader: BodyReader
    body: Any = None
    query: Any = None
    fingerprint: str = ""

    @property
    def customer_id(self) -> str:
        return self.request.match_info["customer_id"]

    def part(self, name: str) -> str:
        """Return another part of the path."""
        return self.request.match_info[name]

    def body_as(self, kind: type[_Body]) -> _Body:
        assert isinstance(self.body, kind)  # noqa: S101 - it was decoded as this very type
        return self.body

    def query_as(self, kind: type[_Body]) -> _Body:
        assert isinstance(self.query, kind)  # noqa: S101 - it was decoded as this very type
        return self.query


@dataclass(frozen=True, slots=True)
class Reply:
    """A success.

    Attributes:
        body: Encoded as JSON; nothing is sent when None.
    """

    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Several items in one request, as an array or as lines.

    Attributes:
        most: Items at most.
    """

    most: int
    returns: type
    lines: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One route.

    Attributes:
        path: With its parts in braces; `{customer_id}` is the tenant.
        name: Unique, in camelCase: `operationId`.
        scope: Scope that an API key must have.
        problems: Codes by status, beyond those that the declaration implies.
        changes: Whether it changes something: takes `Idempotency-Key` and `If-Match`.
        batch: Accepted instead of one `takes`.
        once: Whether it takes `Idempotency-Key` although it changes no tenant.
        raw: The handler reads the body itself, with `Call.reader`: types that are not JSON, other
            limits.
    """

    method: str
    path: str
    name: str
    summary: str
    tag: str
    handler: Handler
    access: Access = Access.TENANT
    scope: str | None = None
    status: HTTPStatus = HTTPStatus.OK
    takes: type | None = None
    queries: type | None = None
    returns: type | None = None
    problems: Mapping[HTTPStatus, tuple[str, ...]] = field(default_factory=dict)
    changes: bool = False
    description: str = ""
    batch: Batch | None = None
    once: bool = False
    raw: bool = False

    @property
    def path_parts(self) -> tuple[str, ...]:
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))
