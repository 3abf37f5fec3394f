"""`hookseal tenants keys` and `hookseal tenants api-keys`: public keys, and keys to the API."""

from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from hookseal.cli import ui
from hookseal.cli.options import AsJson, Customer, Timeout, read_small

public_keys = typer.Typer(
    no_args_is_help=True, help="The keys that a tenant's events are sealed to."
)
api_keys = typer.Typer(no_args_is_help=True, help="A tenant's keys to the HTTP API.")


@public_keys.command()
def add(
    customer: Customer,
    file: Annotated[Path, typer.Argument(help="Public key, PEM or JWK; `-` is stdin.")],
    timeout: Timeout = 10.0,
) -> None:
    """Add a public key and seal to it from now on; prints its id."""
    from hookseal.cli.api_session import ask_tenant
    from hookseal.seal.keys import parse_public_key

    # Checked before it leaves this machine: it may be a private key.
    key = parse_public_key(read_small(file))
    body = {"public_key": key.jwk}
    ui.print_line(ask_tenant(customer, "POST", "/public-keys", body, timeout_s=timeout)["kid"])


@public_keys.command()
def remove(
    customer: Customer,
    kid: Annotated[str, typer.Argument(help="Id of the public key.")],
    timeout: Timeout = 10.0,
) -> None:
    """Remove a public key. Without an active one nothing can be sealed."""
    from hookseal.cli.api_session import ask_tenant

    ask_tenant(customer, "DELETE", f"/public-keys/{quote(kid, safe='')}", timeout_s=timeout)
    ui.print_line(f"Removed {kid}")


@api_keys.command(name="add")
def add_api_key(
    customer: Customer,
    *,
    scope: Annotated[
        list[str] | None, typer.Option(help="What it may do; may be repeated. All when not given.")
    ] = None,
    as_json: AsJson = False,
    timeout: Timeout = 10.0,
) -> None:
    """Make an API key; it is printed this once. A tenant has at most two."""
    from hookseal.cli.api_session import ask_tenant

    body = {"scopes": scope} if scope else {}
    made = ask_tenant(customer, "POST", "/api-keys", body, timeout_s=timeout)
    if as_json:
        ui.json(made)
        return
    ui.print_line(f"Id: {made['id']}")
    ui.print_line(f"API key: {made['api_key']}")


@api_keys.command(name="list")
def list_api_keys(customer: Customer, *, as_json: AsJson = False) -> None:
    """List the API keys, without the keys."""
    from hookseal.cli.api_session import ask_tenant

    keys = ask_tenant(customer, "GET")["api_keys"]
    if as_json:
        ui.json(keys)
        return
    ui.table(
        ("id", "scopes", "created"),
        [(key["id"], ",".join(key["scopes"]), key["created_at"]) for key in keys],
    )


@api_keys.command()
def revoke(
    customer: Customer,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `list` prints it.")],
    timeout: Timeout = 10.0,
) -> None:
    """Accept a key no more."""
    from hookseal.cli.api_session import ask_tenant

    ask_tenant(customer, "DELETE", f"/api-keys/{quote(key_id, safe='')}", timeout_s=timeout)
    ui.print_line(f"Revoked {key_id}")
