"""`hookseal tenants endpoints`: the webhook URLs of a tenant."""

import re
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

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
from hookseal.errors import InvalidInputError

if TYPE_CHECKING:
    from hookseal.config import Settings
    from hookseal.domain.tenant import Tenant

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="The webhook URLs of a tenant.")

EndpointId = Annotated[str, typer.Argument(metavar="ENDPOINT", help="Endpoint id.")]
EventTypes = "Event types, `order.*,invoice.paid`; `*` is all."
RetryDelays = "Waits between attempts in seconds, `1,2,4`, instead of the operator's."
Header = "Custom header sent along, `Name: value`; may be repeated."

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@app.command()
def add(
    customer: Customer,
    url: Annotated[str, typer.Argument(help="Where events are sent.")],
    *,
    event_types: Annotated[str, typer.Option(help=EventTypes)],
    header: Annotated[list[str] | None, typer.Option(help=Header)] = None,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    retry_delays: Annotated[str | None, typer.Option(help=RetryDelays)] = None,
    endpoint_id: Annotated[
        str | None, typer.Option("--id", help="Endpoint id; one is made up when not given.")
    ] = None,
    as_json: AsJson = False,
    timeout: Timeout = 10.0,
) -> None:
    """Add an endpoint; prints its id and its signing secret."""
    from hookseal.cli.changes import a_command, change
    from hookseal.config import load
    from hookseal.domain.command import AddEndpoint

    settings = load()
    settings.master_key_bytes()
    endpoint_id = f"ep_{uuid4().hex}" if endpoint_id is None else _checked_id(endpoint_id)
    command = a_command(
        AddEndpoint,
        customer,
        endpoint_id=endpoint_id,
        url=checked_url(url, settings),
        event_types=parse_event_types(event_types),
        headers=parse_headers(header or []),
        description=description,
        retry_delays_s=parse_retry_delays(retry_delays),
    )
    _say_secret(settings, change(command, timeout_s=timeout), endpoint_id, as_json=as_json)


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
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Deliver, or dead-letter.")
    ] = None,
    timeout: Timeout = 10.0,
) -> None:
    """Change what is given, keep the rest."""
    from hookseal.cli.changes import a_command, change
    from hookseal.config import load
    from hookseal.domain.command import ChangeEndpoint

    headers = parse_headers(header) if header else None
    command = a_command(
        ChangeEndpoint,
        customer,
        endpoint_id=endpoint_id,
        url=None if url is None else checked_url(url, load()),
        event_types=None if event_types is None else parse_event_types(event_types),
        headers={} if no_headers else headers,
        description=description,
        retry_delays_s=parse_retry_delays(retry_delays),
        enabled=enabled,
    )
    change(command, timeout_s=timeout)
    ui.say(f"Changed {endpoint_id}")


@app.command()
def remove(customer: Customer, endpoint_id: EndpointId, timeout: Timeout = 10.0) -> None:
    """Remove an endpoint; what waits for it is dead-lettered."""
    from hookseal.cli.changes import a_command, change
    from hookseal.domain.command import RemoveEndpoint

    change(a_command(RemoveEndpoint, customer, endpoint_id=endpoint_id), timeout_s=timeout)
    ui.say(f"Removed {endpoint_id}")


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
    from hookseal.cli.changes import a_command, change
    from hookseal.config import load
    from hookseal.domain.command import RotateSecret

    settings = load()
    settings.master_key_bytes()
    command = a_command(RotateSecret, customer, endpoint_id=endpoint_id, overlap_s=overlap)
    _say_secret(settings, change(command, timeout_s=timeout), endpoint_id, as_json=as_json)


def _say_secret(
    settings: "Settings", tenant: "Tenant | None", endpoint_id: str, *, as_json: bool
) -> None:
    from hookseal.cli.changes import unknown_endpoint
    from hookseal.seal.sign import SigningSecrets

    endpoint = None if tenant is None else tenant.endpoint(endpoint_id)
    if tenant is None or endpoint is None:
        raise unknown_endpoint(endpoint_id)
    secret = SigningSecrets(settings.master_key_bytes()).show(
        tenant.customer_id, endpoint_id, endpoint.secret_version
    )
    if as_json:
        ui.json({"id": endpoint_id, "signing_secret": secret, "version": endpoint.secret_version})
        return
    ui.say(f"Endpoint: {endpoint_id}")
    ui.say(f"Signing secret: {secret}")


def _checked_id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise InvalidInputError(
            "endpoint_id_invalid",
            "Build an endpoint id of 1 to 64 letters, digits, hyphens and underscores.",
            field="id",
        )
    return text
