"""`hookseal tenants keys`: the keys that a tenant's events are sealed to."""

from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from hookseal.cli import ui
from hookseal.cli.options import Customer, Timeout, read_small

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="The keys that a tenant's events are sealed to.")


@app.command()
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


@app.command()
def remove(
    customer: Customer,
    kid: Annotated[str, typer.Argument(help="Id of the public key.")],
    timeout: Timeout = 10.0,
) -> None:
    """Remove a public key. Without an active one nothing can be sealed."""
    from hookseal.cli.api_session import ask_tenant

    ask_tenant(customer, "DELETE", f"/public-keys/{quote(kid, safe='')}", timeout_s=timeout)
    ui.print_line(f"Removed {kid}")
