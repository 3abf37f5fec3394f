"""`hookseal tenants endpoints`: the webhook URLs of a tenant."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from hookseal.cli import ui
from hookseal.cli.options import (
    AsJson,
    Customer,
    Timeout,
    checked_url,
    parse_event_types,
    parse_headers,
    parse_retry_delays,
)
from hookseal.domain.endpoint import EndpointLimits, check_endpoint_id, check_limits

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="The webhook URLs of a tenant.")

EndpointId = Annotated[str, typer.Argument(metavar="ENDPOINT", help="Endpoint id.")]
EventTypes = "Event types, `order.*,invoice.paid`; `*` is all."
RetryDelays = "Waits between attempts in seconds, `1,2,4`, instead of the operator's."
Concurrency = Annotated[int | None, typer.Option(help="Attempts on the wire together.")]
Rate = Annotated[float | None, typer.Option(help="Attempts a second.")]
AttemptTimeout = Annotated[float | None, typer.Option(help="Seconds an attempt may take.")]
Header = "Custom header sent along, `Name: value`; may be repeated."


@app.command()
def add(
    customer: Customer,
    url: Annotated[str, typer.Argument(help="Where events are sent.")],
    *,
    event_types: Annotated[str, typer.Option(help=EventTypes)],
    header: Annotated[list[str] | None, typer.Option(help=Header)] = None,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    retry_delays: Annotated[str | None, typer.Option(help=RetryDelays)] = None,
    concurrency: Concurrency = None,
    rate: Rate = None,
    attempt_timeout: AttemptTimeout = None,
    endpoint_id: Annotated[
        str | None, typer.Option("--id", help="Endpoint id; one is made up when not given.")
    ] = None,
    as_json: AsJson = False,
    timeout: Timeout = 10.0,
) -> None:
    """Add an endpoint; prints its id and its signing secret."""
    from hookseal.cli.api_session import ask_tenant

    body: dict[str, Any] = {
        "url": _checked_url(url),
        "event_types": parse_event_types(event_types),
        "headers": parse_headers(header or []),
        "description": description,
        "retry_delays_s": parse_retry_delays(retry_delays),
        "limits": _limits(concurrency, rate, attempt_timeout),
    }
    if endpoint_id is not None:
        body["id"] = check_endpoint_id(endpoint_id)
    made = ask_tenant(customer, "POST", "/endpoints", body, timeout_s=timeout)
    _say_secret(made["id"], made, as_json=as_json)


@app.command(name="change")
def change_(
    customer: Customer,
    endpoint_id: EndpointId,
    *,
    url: Annotated[str | None, typer.Option(help="Where events are sent.")] = None,
    event_types: Annotated[str | None, typer.Option(help=EventTypes)] = None,
    header: Annotated[
        list[str] | None, typer.Option(help=f"{Header} Replaces all there are.")
    ] = None,
    no_headers: Annotated[bool, typer.Option("--no-headers", help="Send none along.")] = False,
    description: Annotated[str | None, typer.Option(help="For people.")] = None,
    retry_delays: Annotated[str | None, typer.Option(help=RetryDelays)] = None,
    operators_schedule: Annotated[
        bool, typer.Option("--operators-schedule", help="Drop the endpoint's own waits.")
    ] = False,
    concurrency: Concurrency = None,
    rate: Rate = None,
    attempt_timeout: AttemptTimeout = None,
    no_limits: Annotated[bool, typer.Option("--no-limits", help="Drop all limits.")] = False,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Deliver, or dead-letter.")
    ] = None,
    timeout: Timeout = 10.0,
) -> None:
    """Change what is given, keep the rest; limits are replaced together."""
    from hookseal.cli.api_session import ask_tenant

    headers = parse_headers(header) if header else None
    body = {
        "url": None if url is None else _checked_url(url),
        "event_types": None if event_types is None else parse_event_types(event_types),
        "headers": {} if no_headers else headers,
        "description": description,
        "retry_delays_s": parse_retry_delays(retry_delays),
        "limits": {} if no_limits else _limits(concurrency, rate, attempt_timeout) or None,
        "enabled": enabled,
    }
    given: dict[str, Any] = {name: value for name, value in body.items() if value is not None}
    if operators_schedule:
        given["retry_delays_s"] = None
    ask_tenant(customer, "PATCH", _path(endpoint_id), given, timeout_s=timeout)
    ui.print_line(f"Changed {endpoint_id}")


@app.command()
def remove(customer: Customer, endpoint_id: EndpointId, timeout: Timeout = 10.0) -> None:
    """Remove an endpoint; what waits for it is dead-lettered."""
    from hookseal.cli.api_session import ask_tenant

    ask_tenant(customer, "DELETE", _path(endpoint_id), timeout_s=timeout)
    ui.print_line(f"Removed {endpoint_id}")


@app.command()
def resume(customer: Customer, endpoint_id: EndpointId, timeout: Timeout = 10.0) -> None:
    """Try a suspended endpoint now; what was set aside follows if it accepts."""
    from hookseal.cli.api_session import ask_tenant

    ask_tenant(customer, "POST", f"{_path(endpoint_id)}/resume", timeout_s=timeout)
    ui.print_line(f"Trying {endpoint_id}")


@app.command(name="test")
def send_test(customer: Customer, endpoint_id: EndpointId, timeout: Timeout = 10.0) -> None:
    """Send a test event to this endpoint alone; prints its event id."""
    from hookseal.cli.api_session import ask_tenant

    ui.print_line(
        ask_tenant(customer, "POST", f"{_path(endpoint_id)}/test", timeout_s=timeout)["id"]
    )


@app.command()
def rotate_secret(
    customer: Customer,
    endpoint_id: EndpointId,
    overlap: Annotated[
        float, typer.Option(min=0, help="Seconds for which the old secret signs as well.")
    ] = 86_400.0,
    as_json: AsJson = False,
    timeout: Timeout = 10.0,
) -> None:
    """Sign with a new secret, and for a while with the old one as well; prints the new one."""
    from hookseal.cli.api_session import ask_tenant

    path = f"{_path(endpoint_id)}/rotate-secret"
    rotated = ask_tenant(customer, "POST", path, {"overlap_s": overlap}, timeout_s=timeout)
    _say_secret(endpoint_id, rotated, as_json=as_json)


def _limits(
    concurrency: int | None, rate: float | None, attempt_timeout: float | None
) -> dict[str, Any]:
    given = {"concurrency": concurrency, "rate_per_s": rate, "timeout_s": attempt_timeout}
    limits = {name: value for name, value in given.items() if value is not None}
    check_limits(EndpointLimits(concurrency, rate, attempt_timeout))
    return limits


def _path(endpoint_id: str) -> str:
    return f"/endpoints/{quote(endpoint_id, safe='')}"


def _say_secret(endpoint_id: str, made: dict[str, Any], *, as_json: bool) -> None:
    secret, version = made["signing_secret"], made["secret_version"]
    if as_json:
        ui.json({"id": endpoint_id, "signing_secret": secret, "version": version})
        return
    ui.print_line(f"Endpoint: {endpoint_id}")
    ui.print_line(f"Signing secret: {secret}")


def _checked_url(url: str) -> str:
    from hookseal.config import load

    settings = load()
    # What another API allows it knows itself.
    return url if settings.api_url else checked_url(url, settings)
