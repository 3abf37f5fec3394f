"""`hookseal tenants endpoints`: the webhook URLs of a tenant."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from hookseal.cli import ui
from hookseal.cli.api_session import ask_tenant
from hookseal.cli.options import AsJson, Customer, Timeout
from hookseal.domain.endpoint import (
    EndpointLimits,
    EndpointOrdering,
    check_endpoint_id,
    check_event_types,
    check_limits,
    check_retry_delays,
)
from hookseal.domain.endpoint_headers import check_headers
from hookseal.domain.endpoint_url import check_url
from hookseal.errors import InvalidHeaderError

app = typer.Typer(no_args_is_help=True, help="Endpoints: the webhook URLs of a tenant.")

EndpointId = Annotated[str, typer.Argument(metavar="ENDPOINT", help="Endpoint id.")]
_URL = "URL to which events are sent."
_EVENT_TYPES = "Event types, as `order.*,invoice.paid`; `*` is all."
_HEADER = "Custom header, `Name: value`; may be repeated."
Description = Annotated[str | None, typer.Option(help="Description for people.")]
RetryDelays = Annotated[
    str | None,
    typer.Option(help="Seconds between attempts, as `1,2,4`; default: the operator's."),
]
Concurrency = Annotated[int | None, typer.Option(help="Maximum number of concurrent attempts.")]
Rate = Annotated[float | None, typer.Option(help="Maximum number of attempts per second.")]
AttemptTimeout = Annotated[float | None, typer.Option(help="Timeout of an attempt in seconds.")]

Ordering = Annotated[
    EndpointOrdering | None,
    typer.Option(help="Ordering mode, if looser than the operator's; default: the operator's."),
]


@app.command()
def add(
    customer: Customer,
    url: Annotated[str, typer.Argument(help=_URL)],
    *,
    event_types: Annotated[str, typer.Option(help=_EVENT_TYPES)],
    header: Annotated[list[str] | None, typer.Option(help=_HEADER)] = None,
    description: Description = None,
    retry_delays: RetryDelays = None,
    concurrency: Concurrency = None,
    rate: Rate = None,
    attempt_timeout: AttemptTimeout = None,
    ordering: Ordering = None,
    endpoint_id: Annotated[str | None, typer.Option("--id", help="Id; default: random.")] = None,
    as_json: AsJson = False,
    timeout: Timeout = 10.0,
) -> None:
    """Add an endpoint; print its id and its signing secret."""
    body = {
        "id": None if endpoint_id is None else check_endpoint_id(endpoint_id),
        "url": _checked_url(url),
        "event_types": _event_types(event_types),
        "headers": _headers(header or []),
        "description": description,
        "retry_delays_s": _retry_delays(retry_delays),
        "limits": _limits(concurrency, rate, attempt_timeout),
        "ordering": ordering,
    }
    created = _ask(timeout, "POST", customer, "", _given(body))
    _print_secret(created["id"], created, as_json=as_json)


@app.command()
def change(
    customer: Customer,
    endpoint_id: EndpointId,
    *,
    url: Annotated[str | None, typer.Option(help=_URL)] = None,
    event_types: Annotated[str | None, typer.Option(help=_EVENT_TYPES)] = None,
    header: Annotated[list[str] | None, typer.Option(help=f"{_HEADER} Replaces all.")] = None,
    no_headers: Annotated[bool, typer.Option("--no-headers", help="Remove all headers.")] = False,
    description: Description = None,
    retry_delays: RetryDelays = None,
    operators_schedule: Annotated[
        bool, typer.Option("--operators-schedule", help="Use the operator's retry schedule again.")
    ] = False,
    concurrency: Concurrency = None,
    rate: Rate = None,
    attempt_timeout: AttemptTimeout = None,
    ordering: Ordering = None,
    operators_ordering: Annotated[
        bool, typer.Option("--operators-ordering", help="Use the operator's ordering mode again.")
    ] = False,
    no_limits: Annotated[bool, typer.Option("--no-limits", help="Remove all limits.")] = False,
    enabled: Annotated[
        bool | None,
        typer.Option("--enable/--disable", help="Deliver events, or dead-letter them."),
    ] = None,
    timeout: Timeout = 10.0,
) -> None:
    """Change the given properties and keep the others. Limits are replaced together."""
    body = {
        "url": None if url is None else _checked_url(url),
        "event_types": None if event_types is None else _event_types(event_types),
        "headers": {} if no_headers else _headers(header) if header else None,
        "description": description,
        "retry_delays_s": _retry_delays(retry_delays),
        "limits": {} if no_limits else _limits(concurrency, rate, attempt_timeout) or None,
        "enabled": enabled,
        "ordering": ordering,
    }
    given = _given(body)
    if operators_schedule:
        given["retry_delays_s"] = None
    if operators_ordering:
        given["ordering"] = None
    _ask(timeout, "PATCH", customer, _one(endpoint_id), given)
    ui.print_line(f"Changed {endpoint_id}")


@app.command()
def remove(customer: Customer, endpoint_id: EndpointId, timeout: Timeout = 10.0) -> None:
    """Remove an endpoint; its undelivered events are dead-lettered."""
    _ask(timeout, "DELETE", customer, _one(endpoint_id))
    ui.print_line(f"Removed {endpoint_id}")


@app.command()
def pause(customer: Customer, endpoint_id: EndpointId, timeout: Timeout = 10.0) -> None:
    """Make no attempt at an endpoint until it is resumed; its events are deferred."""
    _ask(timeout, "POST", customer, f"{_one(endpoint_id)}/pause")
    ui.print_line(f"Paused {endpoint_id}")


@app.command()
def resume(customer: Customer, endpoint_id: EndpointId, timeout: Timeout = 10.0) -> None:
    """End a pause, or probe a suspended endpoint now; if it accepts, its deferred events follow."""
    _ask(timeout, "POST", customer, f"{_one(endpoint_id)}/resume")
    ui.print_line(f"Probing {endpoint_id}")


@app.command(name="test")
def send_test(customer: Customer, endpoint_id: EndpointId, timeout: Timeout = 10.0) -> None:
    """Send a test event to this endpoint only; print its event id."""
    ui.print_line(_ask(timeout, "POST", customer, f"{_one(endpoint_id)}/test")["id"])


@app.command()
def rotate_secret(
    customer: Customer,
    endpoint_id: EndpointId,
    overlap: Annotated[float, typer.Option(min=0, help="Seconds to keep the old one.")] = 86_400.0,
    as_json: AsJson = False,
    timeout: Timeout = 10.0,
) -> None:
    """Sign with a new secret, and for a while with the old one too; print the new secret."""
    path = f"{_one(endpoint_id)}/rotate-secret"
    rotated = _ask(timeout, "POST", customer, path, {"overlap_s": overlap})
    _print_secret(endpoint_id, rotated, as_json=as_json)


def _ask(timeout_s: float, method: str, customer: str, path: str, body: Any = None) -> Any:
    return ask_tenant(customer, method, f"/endpoints{path}", body, timeout_s=timeout_s)


def _one(endpoint_id: str) -> str:
    return f"/{quote(endpoint_id, safe='')}"


def _given(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def _print_secret(endpoint_id: str, answer: dict[str, Any], *, as_json: bool) -> None:
    secret, version = answer["signing_secret"], answer["secret_version"]
    ui.result(
        {"id": endpoint_id, "signing_secret": secret, "version": version},
        f"Endpoint: {endpoint_id}\nSigning secret: {secret}",
        as_json=as_json,
    )


def _checked_url(url: str) -> str:
    from hookseal.config import load

    settings = load()
    if settings.api_url:
        # The API knows which URLs its operator allows.
        return url
    return check_url(
        url,
        allow_http=settings.egress_allow_http,
        allow_ports=settings.egress_allow_ports,
        allow_cidrs=settings.egress_allow_cidrs,
        own_hosts=frozenset(),
    )


def _event_types(text: str) -> tuple[str, ...]:
    return check_event_types(tuple(part.strip() for part in text.split(",")))


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise InvalidHeaderError("header_name", "Write it as `Name: value`.", field="headers")
        if name in headers:
            raise InvalidHeaderError("header_name", f"Give {name} only once.", field="headers")
        headers[name] = value
    return check_headers(headers)


def _retry_delays(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        delays_s = tuple(float(part) for part in text.split(","))
    except ValueError:
        delays_s = (-1.0,)
    return check_retry_delays(delays_s)


def _limits(concurrency: int | None, rate: float | None, timeout: float | None) -> dict[str, Any]:
    check_limits(EndpointLimits(concurrency, rate, timeout))
    given = {"concurrency": concurrency, "rate_per_s": rate, "timeout_s": timeout}
    return _given(given)
