"""`hookseal tenants api-keys`: a tenant's keys to the HTTP API."""

from typing import Annotated
from urllib.parse import quote

import typer

from hookseal.cli import ui
from hookseal.cli.options import AsJson, Customer, Timeout

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="A tenant's keys to the HTTP API.")


@app.command()
def add(
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


@app.command(name="list")
def list_(customer: Customer, *, as_json: AsJson = False) -> None:
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


@app.command()
def revoke(
    customer: Customer,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `list` prints it.")],
    timeout: Timeout = 10.0,
) -> None:
    """Accept a key no more."""
    from hookseal.cli.api_session import ask_tenant

    ask_tenant(customer, "DELETE", f"/api-keys/{quote(key_id, safe='')}", timeout_s=timeout)
    ui.print_line(f"Revoked {key_id}")
