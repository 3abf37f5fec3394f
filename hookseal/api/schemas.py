"""Requests and responses. Validation and the OpenAPI document follow from the types."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from hookseal.domain.api_key import SCOPES
from hookseal.domain.command import RETRY_DELAY_MAX_S, RETRY_DELAYS_MAX
from hookseal.domain.endpoint import ENDPOINT_ID
from hookseal.domain.endpoint_headers import HEADERS_MAX, NAME_MAX, VALUE_MAX
from hookseal.domain.endpoint_url import URL_MAX
from hookseal.domain.event import CUSTOMER_ID_MAX
from hookseal.domain.limits import (
    CONCURRENCY_MAX,
    RATE_MAX,
    RATE_MIN,
    TIMEOUT_MAX_S,
    TIMEOUT_MIN_S,
)

NAME_CHARS_MAX = 200
DESCRIPTION_CHARS_MAX = 1000
OVERLAP_DEFAULT_S = 86_400.0
OVERLAP_MAX_S = 7 * 86_400.0
PAGE_MAX = 1000
PAGE_DEFAULT = 100
TEXT_MAX = 255

Text = Annotated[str, Meta(max_length=TEXT_MAX)]
Cursor = Annotated[
    str, Meta(max_length=1024, description="The `next_cursor` of the previous page.")
]
CustomerId = Annotated[
    str, Meta(min_length=1, max_length=CUSTOMER_ID_MAX, description="Stable id of the tenant.")
]
Name = Annotated[str, Meta(max_length=NAME_CHARS_MAX, description="For display only.")]
Description = Annotated[
    str, Meta(max_length=DESCRIPTION_CHARS_MAX, description="For display only.")
]
# The domain checks it: the `$` of a pattern would accept a line feed.
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
        description="Event types (`order.paid`), all below a prefix (`order.*`), or `*`.",
        examples=[["order.*"]],
    ),
]
Headers = Annotated[
    dict[str, str],
    Meta(
        description=(
            f"At most {HEADERS_MAX} request headers of each delivery: a name of up to {NAME_MAX}, "
            f"a value of up to {VALUE_MAX} characters."
        ),
        examples=[{"X-Team": "billing"}],
    ),
]
Delays = Annotated[
    tuple[float, ...],
    Meta(
        description=(
            f"Seconds between attempts, instead of the operator's retry policy: at most "
            f"{RETRY_DELAYS_MAX} delays of up to {RETRY_DELAY_MAX_S:.0f} s."
        ),
        examples=[[1, 5, 30]],
    ),
]


Scopes = Annotated[
    tuple[str, ...],
    Meta(description=f"One or more of {', '.join(SCOPES)}.", examples=[["events:write"]]),
]


class Input(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request body or query. An unknown member is refused, since it may be misspelled."""


class Output(Struct, frozen=True, kw_only=True):
    """A response body."""


class LimitsIn(Input, frozen=True):
    """Limits of an endpoint; null for the operator's limit.

    Attributes:
        concurrency: Concurrent attempts. With an ordering mode there is one at a time anyway.
        rate_per_s: Attempts/s, as a token bucket whose burst is one second of attempts.
        timeout_s: Seconds per attempt, at most the operator's limit.
    """

    concurrency: Annotated[int, Meta(ge=1, le=CONCURRENCY_MAX)] | None = None
    rate_per_s: Annotated[float, Meta(ge=RATE_MIN, le=RATE_MAX)] | None = None
    timeout_s: Annotated[float, Meta(ge=TIMEOUT_MIN_S, le=TIMEOUT_MAX_S)] | None = None


class Page(Input, frozen=True):
    """One page of a list."""

    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT
    cursor: Cursor | None = None


class TenantCreate(Input, frozen=True):
    """A tenant to create."""

    customer_id: CustomerId
    name: Name = ""


class TenantCreated(Output, frozen=True):
    """The new tenant, with its first API key, which is shown only once."""

    customer_id: str
    api_key: str


class TenantUpdate(Input, frozen=True):
    """Enables or disables a tenant. Events of a disabled tenant are dead-lettered."""

    enabled: bool


class TenantSummary(Output, frozen=True):
    """A tenant in a list."""

    customer_id: str
    name: str
    enabled: bool
    revision: int
    public_keys: int
    endpoints: int


class Tenants(Output, frozen=True):
    """A page of tenants, ordered by customer id."""

    items: list[TenantSummary]
    next_cursor: str | None = None


class ApiKeyOut(Output, frozen=True):
    """An API key without its secret."""

    id: str
    scopes: list[str]
    created_at: str


class PublicKeyOut(Output, frozen=True):
    """A public key: events are encrypted to the `active` one; `retiring` is the previous one."""

    kid: str
    alg: Literal["RSA-OAEP-256", "ECDH-ES"]
    state: Literal["active", "retiring"]
    public_key: dict[str, str]


class Keys(Output, frozen=True):
    """All public keys of a tenant, in the order they were added."""

    items: list[PublicKeyOut]
    next_cursor: None = None


class ApiKeyCreate(Input, frozen=True):
    """An API key to create; without `scopes` it has those of the key of the request."""

    scopes: Scopes | UnsetType = UNSET


class ApiKeyCreated(Output, frozen=True):
    """The new API key. `api_key` is shown only once."""

    id: str
    api_key: str
    scopes: list[str]


class PublicKeyCreate(Input, frozen=True):
    """A public key to add: RSA (2048 to 4096 bits), P-256 or X25519."""

    public_key: Annotated[
        str | dict[str, Any],
        Meta(description="A PEM (SubjectPublicKeyInfo) as a string, or a JWK as an object."),
    ]


class EndpointCreate(Input, frozen=True, kw_only=True):
    """An endpoint to add.

    Attributes:
        id: Generated if omitted. The signing secret is derived from it.
    """

    id: EndpointId | UnsetType = UNSET
    url: Url
    event_types: EventTypes
    headers: Headers = {}
    description: Description = ""
    retry_delays_s: Delays | None = None
    limits: LimitsIn = LimitsIn()


class EndpointUpdate(Input, frozen=True):
    """The members to change.

    Attributes:
        retry_delays_s: null restores the operator's retry policy.
        limits: Replaces all limits; `{}` removes them.
    """

    url: Url | UnsetType = UNSET
    event_types: EventTypes | UnsetType = UNSET
    headers: Headers | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    retry_delays_s: Delays | UnsetType | None = UNSET
    limits: LimitsIn | UnsetType = UNSET


class EndpointOut(Output, frozen=True):
    """An endpoint.

    Attributes:
        headers: Values are masked for keys without the scope `endpoints:write`.
        disabled_reason: `gone` (the receiver answered 410) or `asked`.
        state: Events of a `suspended` endpoint are deferred, and delivered in order after it
            accepts events again.
        suspended_since: RFC 3339; null unless suspended.
        suspended_because: `exhausted` (too many deliveries in a row failed) or `behind` (more
            events were queued than the limit of one customer).
        secret_version: Version of the current signing secret, from 1.
        previous_secret_until: Requests are also signed with the previous secret until then,
            RFC 3339.
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
    """The new endpoint, with its signing secret, which is shown only once."""

    signing_secret: str


class Endpoints(Output, frozen=True):
    """All endpoints of a tenant, in the order they were added."""

    items: list[EndpointOut]
    next_cursor: None = None


class TenantOut(Output, frozen=True):
    """A tenant with its keys and endpoints."""

    customer_id: str
    name: str
    enabled: bool
    revision: int
    api_keys: list[ApiKeyOut]
    public_keys: list[PublicKeyOut]
    endpoints: list[EndpointOut]


class RotateRequest(Input, frozen=True):
    """Rotation of a signing secret.

    Attributes:
        overlap_s: Seconds for which requests are also signed with the previous secret.
    """

    overlap_s: Annotated[float, Meta(ge=0, le=OVERLAP_MAX_S)] = OVERLAP_DEFAULT_S


class SecretOut(Output, frozen=True):
    """The new signing secret, which is shown only once."""

    signing_secret: str
    secret_version: int
    previous_secret_until: str | None


class Queued(Output, frozen=True):
    """The event that was published; `id` is its event id."""

    id: str


class EventCreate(Input, frozen=True):
    """An event to publish.

    Attributes:
        customer_id: The tenant. Optional with an API key, which publishes for its own tenant. An
            event of the admin key without it is a broadcast to every tenant that subscribes.
        data: Any JSON value. Its bytes are delivered unchanged.
        id: Unique within the tenant: visible ASCII without a dot.
        timestamp: RFC 3339. Default: the time of publishing.
    """

    type: Annotated[str, Meta(min_length=1, max_length=255, examples=["order.paid"])]
    data: Any
    customer_id: CustomerId | None = None
    id: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    timestamp: str | None = None


class EventPublished(Output, frozen=True):
    """A published event.

    Attributes:
        id: The event id, which receivers get as `webhook-id`.
        partition: Partition of `events`; null for a broadcast.
        offset: Offset on `events`; null for a broadcast.
        partitions: Number of partitions that have a copy of a broadcast.
    """

    id: str
    partition: int | None
    offset: int | None
    partitions: int | UnsetType = UNSET


class EventsPublished(Output, frozen=True):
    """The events of a batch, in their order."""

    items: list[EventPublished]
