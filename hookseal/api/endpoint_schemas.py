"""Requests and responses of endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from msgspec import UNSET, Meta, UnsetType, field
from msgspec.structs import asdict

from hookseal.api.schemas import Input, Output
from hookseal.domain import endpoint as limits
from hookseal.domain.endpoint import (
    ENDPOINT_ID,
    RETRY_DELAY_MAX_S,
    RETRY_DELAYS_MAX,
    EndpointOrdering,
)
from hookseal.domain.endpoint_headers import HEADERS_MAX, NAME_MAX, VALUE_MAX
from hookseal.domain.endpoint_url import URL_MAX
from hookseal.domain.utc_time import format_utc_seconds

if TYPE_CHECKING:
    from hookseal.api.auth import Principal
    from hookseal.domain.endpoint import Endpoint

_MASKED = "***"
_OVERLAP_DEFAULT_S = 86_400.0
_OVERLAP_MAX_S = 7 * 86_400.0

Description = Annotated[str, Meta(max_length=1000, description="For display only.")]
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


OwnOrdering = Annotated[
    EndpointOrdering,
    Meta(
        description=(
            "Ordering mode of this endpoint, instead of the operator's. It never makes events wait "
            "that the operator's mode delivers side by side: the looser of both modes counts."
        )
    ),
]


class LimitsIn(Input, frozen=True):
    """Limits of an endpoint; null for the operator's limit.

    Attributes:
        concurrency: Concurrent attempts. With an ordering mode there is one at a time anyway.
        rate_per_s: Attempts/s, as a token bucket whose burst is one second of attempts.
        timeout_s: Seconds per attempt, at most the operator's limit.
    """

    concurrency: Annotated[int, Meta(ge=1, le=limits.CONCURRENCY_MAX)] | None = None
    rate_per_s: Annotated[float, Meta(ge=limits.RATE_MIN, le=limits.RATE_MAX)] | None = None
    timeout_s: Annotated[float, Meta(ge=limits.TIMEOUT_MIN_S, le=limits.TIMEOUT_MAX_S)] | None = (
        None
    )


class EndpointCreate(Input, frozen=True, kw_only=True):
    """An endpoint to add. The `id` is generated if omitted; the signing secret depends on it."""

    id: EndpointId | UnsetType = UNSET
    url: Url
    event_types: EventTypes
    headers: Headers = field(default_factory=dict)
    description: Description = ""
    retry_delays_s: Delays | None = None
    limits: LimitsIn = LimitsIn()
    ordering: OwnOrdering | None = None


class EndpointUpdate(Input, frozen=True):
    """The members to change.

    Attributes:
        retry_delays_s: null restores the operator's retry policy.
        limits: Replaces all limits; `{}` removes them.
        ordering: null restores the operator's ordering mode.
    """

    url: Url | UnsetType = UNSET
    event_types: EventTypes | UnsetType = UNSET
    headers: Headers | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    retry_delays_s: Delays | UnsetType | None = UNSET
    limits: LimitsIn | UnsetType = UNSET
    ordering: OwnOrdering | UnsetType | None = UNSET


class EndpointOut(Output, frozen=True):
    """An endpoint.

    Attributes:
        url: Without the scope `endpoints:write` only the origin is shown: path and query can hold
            secrets.
        headers: Values are masked for keys without the scope `endpoints:write`.
        disabled_reason: `gone` (the receiver answered 410) or `asked`.
        state: Events of a `suspended` endpoint are deferred, and delivered in order after it
            accepts events again. Those of a `paused` endpoint wait until it is resumed.
        suspended_because: `exhausted` (too many deliveries in a row failed), `behind` (more
            events were queued than the limit of one customer, it held its partition for too long,
            or events wait after a pause) or `paused`.
        secret_version: Version of the current signing secret, from 1.
        previous_secret_until: Requests are signed with the previous secret, too, until then.
        ordering: The endpoint's own ordering mode; null for the operator's.
    """

    id: str
    url: str
    event_types: list[str]
    headers: dict[str, str]
    description: str
    enabled: bool
    disabled_reason: str | None
    state: Literal["active", "suspended", "paused", "disabled"]
    suspended_since: str | None
    suspended_because: Literal["exhausted", "behind", "paused"] | None
    secret_version: int
    previous_secret_until: str | None
    retry_delays_s: list[float] | None
    limits: LimitsIn
    ordering: EndpointOrdering | None


class EndpointCreated(EndpointOut, frozen=True):
    """The new endpoint, with its signing secret, which is shown only once."""

    signing_secret: str


class Endpoints(Output, frozen=True):
    """All endpoints of a tenant, in the order they were added."""

    items: list[EndpointOut]
    next_cursor: None = None


class RotateRequest(Input, frozen=True):
    """Requests are signed with the previous secret, too, for `overlap_s` seconds."""

    overlap_s: Annotated[float, Meta(ge=0, le=_OVERLAP_MAX_S)] = _OVERLAP_DEFAULT_S


class SecretOut(Output, frozen=True):
    """The new signing secret, which is shown only once."""

    signing_secret: str
    secret_version: int
    previous_secret_until: str | None


class Queued(Output, frozen=True):
    """The event that was published; `id` is its event id."""

    id: str


def endpoint_out(endpoint: Endpoint, principal: Principal) -> EndpointOut:
    """Return the endpoint as the principal may read it.

    Custom headers and URLs can hold secrets: to read them, a key needs the scope to set them.
    Without validation: the document of an earlier release may exceed the limits of this one.
    """
    may_read = principal.may("endpoints:write")
    suspension, paused_at = endpoint.suspension, endpoint.paused_at
    since = paused_at if suspension is None else suspension.since
    why = None if suspension is None else suspension.why
    if paused_at is not None:
        why = "paused"
    given: dict[str, Any] = {
        "url": endpoint.url if may_read else _masked_url(endpoint.url),
        "headers": endpoint.headers if may_read else dict.fromkeys(endpoint.headers, _MASKED),
        "suspended_since": _rfc3339(since),
        "suspended_because": why,
        "previous_secret_until": _rfc3339(endpoint.previous_secret_until),
        "limits": LimitsIn(**asdict(endpoint.limits)),
    }
    for name in EndpointOut.__struct_fields__:
        given.setdefault(name, getattr(endpoint, name, None))
    return EndpointOut(**given)


def _masked_url(url: str) -> str:
    """Return scheme, host and port only. A user name, path or query can be a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{_MASKED}"


def _rfc3339(moment: float | None) -> str | None:
    return None if moment is None else f"{format_utc_seconds(int(moment))}Z"
