"""What goes in and what comes out, as types: they validate, and the OpenAPI is made of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from hookseal.domain.endpoint import (
    CONCURRENCY_MAX,
    ENDPOINT_ID,
    RATE_MAX,
    RATE_MIN,
    RETRY_DELAY_MAX_S,
    RETRY_DELAYS_MAX,
    TIMEOUT_MAX_S,
    TIMEOUT_MIN_S,
)
from hookseal.domain.endpoint_headers import HEADERS_MAX, NAME_MAX, VALUE_MAX
from hookseal.domain.endpoint_url import URL_MAX
from hookseal.domain.event import CUSTOMER_ID_MAX
from hookseal.domain.tenant import SCOPES

NAME_CHARS_MAX = 200
DESCRIPTION_CHARS_MAX = 1000
OVERLAP_DEFAULT_S = 86_400.0
OVERLAP_MAX_S = 7 * 86_400.0
PAGE_MAX = 1000
PAGE_DEFAULT = 100

CustomerId = Annotated[
    str, Meta(min_length=1, max_length=CUSTOMER_ID_MAX, description="The tenant's stable id.")
]
Name = Annotated[str, Meta(max_length=NAME_CHARS_MAX, description="For people.")]
Description = Annotated[str, Meta(max_length=DESCRIPTION_CHARS_MAX, description="For people.")]
# Checked by hand: a pattern's `$` would let a line feed through.
EndpointId = Annotated[str, Meta(extra_json_schema={"pattern": f"^{ENDPOINT_ID}$"})]
Url = Annotated[
    str,
    Meta(
        description=f"Absolute `https://` URL of a public host, at most {URL_MAX} characters.",
        examples=["https://hooks.acme.com/in"],
    ),
]
EventTypes = Annotated[
    tuple[str, ...],
    Meta(
        description="Exact names (`order.paid`), all below a name (`order.*`), or `*`.",
        examples=[["order.*"]],
    ),
]
Headers = Annotated[
    dict[str, str],
    Meta(
        description=(
            f"At most {HEADERS_MAX} headers sent along: a name of up to {NAME_MAX}, "
            f"a value of up to {VALUE_MAX} characters."
        ),
        examples=[{"X-Team": "billing"}],
    ),
]
Delays = Annotated[
    tuple[float, ...],
    Meta(
        description=(
            f"Waits between attempts in seconds, at most {RETRY_DELAYS_MAX} of up to "
            f"{RETRY_DELAY_MAX_S:.0f} s, instead of the operator's schedule."
        ),
        examples=[[1, 5, 30]],
    ),
]


class LimitsIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an endpoint asks to be spared; what is left out is the operator's affair.

    Attributes:
        concurrency: Attempts on the wire together. Where events have an order there is one
            at a time in any case.
        rate_per_s: Attempts a second; after a pause as many at once as come in a second.
        timeout_s: Seconds an attempt may take; never more than the operator allows.
    """

    concurrency: Annotated[int, Meta(ge=1, le=CONCURRENCY_MAX)] | None = None
    rate_per_s: Annotated[float, Meta(ge=RATE_MIN, le=RATE_MAX)] | None = None
    timeout_s: Annotated[float, Meta(ge=TIMEOUT_MIN_S, le=TIMEOUT_MAX_S)] | None = None


Scopes = Annotated[
    tuple[str, ...],
    Meta(description=f"Of {', '.join(SCOPES)}.", examples=[["events:write"]]),
]


class _Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request's body: what it does not know is refused, since it may be a misspelling."""


class _Response(Struct, frozen=True, kw_only=True):
    """An answer's body."""


class Page(_Request, frozen=True):
    """Which part of a list.

    Attributes:
        limit: Items at most.
        cursor: The `next_cursor` of the page before.
    """

    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT
    cursor: Annotated[str, Meta(max_length=1024)] | None = None


class TenantCreate(_Request, frozen=True):
    """A tenant to be made."""

    customer_id: CustomerId
    name: Name = ""


class TenantCreated(_Response, frozen=True):
    """A tenant that was made, with its first API key, which is shown this once."""

    customer_id: str
    api_key: str


class TenantUpdate(_Request, frozen=True):
    """Whether the tenant's events are delivered; otherwise they are dead-lettered."""

    enabled: bool


class TenantSummary(_Response, frozen=True):
    """A tenant in a list."""

    customer_id: str
    name: str
    enabled: bool
    revision: int
    public_keys: int
    endpoints: int


class Tenants(_Response, frozen=True):
    """A page of tenants, by customer id."""

    items: list[TenantSummary]
    next_cursor: str | None = None


class ApiKeyOut(_Response, frozen=True):
    """An API key, without the key."""

    id: str
    scopes: list[str]
    created_at: str


class PublicKeyOut(_Response, frozen=True):
    """A public key: `active` seals, `retiring` is what came before it."""

    kid: str
    alg: Literal["RSA-OAEP-256", "ECDH-ES"]
    state: Literal["active", "retiring"]
    public_key: dict[str, str]


class Keys(_Response, frozen=True):
    """All public keys of a tenant, in the order they were added."""

    items: list[PublicKeyOut]
    next_cursor: None = None


class ApiKeyCreate(_Request, frozen=True):
    """An API key to be made; the scopes of the key that asks when none are given."""

    scopes: Scopes | UnsetType = UNSET


class ApiKeyCreated(_Response, frozen=True):
    """An API key that was made. `api_key` is shown this once."""

    id: str
    api_key: str
    scopes: list[str]


class PublicKeyCreate(_Request, frozen=True):
    """A public key: RSA (2048 to 4096 bits), P-256 or X25519."""

    public_key: Annotated[
        str | dict[str, Any],
        Meta(description="PEM (SubjectPublicKeyInfo) as text, or a JWK as an object."),
    ]


class EndpointCreate(_Request, frozen=True, kw_only=True):
    """An endpoint to be added.

    Attributes:
        id: Made when not given; the signing secret follows from it.
    """

    id: EndpointId | UnsetType = UNSET
    url: Url
    event_types: EventTypes
    headers: Headers = {}
    description: Description = ""
    retry_delays_s: Delays | None = None
    limits: LimitsIn = LimitsIn()


class EndpointUpdate(_Request, frozen=True):
    """What is to be changed; the rest stays.

    Attributes:
        retry_delays_s: With null the operator's schedule holds again.
        limits: In the place of all that there were; `{}` for none.
    """

    url: Url | UnsetType = UNSET
    event_types: EventTypes | UnsetType = UNSET
    headers: Headers | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    retry_delays_s: Delays | UnsetType | None = UNSET
    limits: LimitsIn | UnsetType = UNSET


class EndpointOut(_Response, frozen=True):
    """An endpoint.

    Attributes:
        headers: Values are masked for keys without the scope `endpoints:write`.
        disabled_reason: `gone` (it answered 410) or `asked`.
        state: Of a `suspended` endpoint events are set aside, and follow in their order
            when it accepts again.
        suspended_since: RFC 3339; null unless it is suspended.
        suspended_because: `exhausted`, too many events in a row were not accepted;
            `behind`, more events waited for it than one customer may let wait.
        secret_version: Of the signing secret in force, from 1.
        previous_secret_until: RFC 3339, until when the secret before it signs as well.
    """

    id: str
    url: str
    event_types: list[str]
    headers: dict[str, str]
    description: str
    enabled: bool
    disabled_reason: str | None
    state: Literal["active", "suspended", "disabled"]
    suspended_since: str | None
    suspended_because: Literal["exhausted", "behind"] | None
    secret_version: int
    previous_secret_until: str | None
    retry_delays_s: list[float] | None
    limits: LimitsIn


class EndpointCreated(EndpointOut, frozen=True):
    """An endpoint that was added, with its signing secret, which is shown this once."""

    signing_secret: str


class Endpoints(_Response, frozen=True):
    """All endpoints of a tenant, in the order they were added."""

    items: list[EndpointOut]
    next_cursor: None = None


class TenantOut(_Response, frozen=True):
    """All there is to know of a tenant."""

    customer_id: str
    name: str
    enabled: bool
    revision: int
    api_keys: list[ApiKeyOut]
    public_keys: list[PublicKeyOut]
    endpoints: list[EndpointOut]


class RotateRequest(_Request, frozen=True):
    """How a signing secret is rotated.

    Attributes:
        overlap_s: Seconds for which the secret before signs as well.
    """

    overlap_s: Annotated[float, Meta(ge=0, le=OVERLAP_MAX_S)] = OVERLAP_DEFAULT_S


class SecretOut(_Response, frozen=True):
    """A signing secret, shown this once; the one before it signs as well for a while."""

    signing_secret: str
    secret_version: int
    previous_secret_until: str | None


class Queued(_Response, frozen=True):
    """An event that was put on the log; `id` is its event id."""

    id: str


class EventCreate(_Request, frozen=True):
    """An event to be published.

    Attributes:
        customer_id: Whom it is for. An API key publishes for its own tenant, and may leave it
            out; without it the admin key publishes to every tenant that subscribes.
        data: Any JSON value; its bytes are kept.
        id: Unique within the tenant: visible ASCII without a dot.
        timestamp: RFC 3339; when it is published, if left out.
    """

    type: Annotated[str, Meta(min_length=1, max_length=255, examples=["order.paid"])]
    data: Any
    customer_id: CustomerId | None = None
    id: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    timestamp: str | None = None


class EventPublished(_Response, frozen=True):
    """An event that is on the log.

    Attributes:
        id: Its event id, which receivers see as `webhook-id`.
        partition: Where it stands; null for a broadcast.
        offset: Where in the partition; null for a broadcast.
        partitions: Of a broadcast: how many have a copy.
    """

    id: str
    partition: int | None
    offset: int | None
    partitions: int | UnsetType = UNSET


class EventsPublished(_Response, frozen=True):
    """The events of a batch, in their order."""

    items: list[EventPublished]
