"""Base of all requests and responses. Validation and the OpenAPI document follow from the types."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from hookseal.domain.event import CUSTOMER_ID_MAX

Text = Annotated[str, Meta(max_length=255)]
Cursor = Annotated[
    str, Meta(max_length=1024, description="The `next_cursor` of the previous page.")
]
CustomerId = Annotated[
    str, Meta(min_length=1, max_length=CUSTOMER_ID_MAX, description="Stable id of the tenant.")
]
Limit = Annotated[int, Meta(ge=1, le=1000)]
LIMIT_DEFAULT = 100


class Input(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request body or query. An unknown member is refused, since it may be misspelled."""


class Output(Struct, frozen=True, kw_only=True):
    """A response body."""


class Page(Input, frozen=True):
    """One page of a list."""

    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor | None = None
