"""`hookseal tenants keys` and `hookseal tenants api-keys`."""

import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from hookseal.cli import ui
from hookseal.cli.api_session import ask_tenant
from hookseal.cli.options import AsJson, Customer, Timeout
from hookseal.errors import ConfigurationError, InvalidInputError

public_keys = typer.Typer(
    no_args_is_help=True, help="Public keys, for which a tenant's events are encrypted."
)
api_keys = typer.Typer(no_args_is_help=True, help="A tenant's keys for the HTTP API.")

_FILE_MAX_BYTES = 64 * 1024


@public_keys.command()
def add(
    customer: Customer,
    file: Annotated[Path, typer.Argument(help="Public key, PEM or JWK; `-` is stdin.")],
    timeout: Timeout = 10.0,
) -> None:
    """Add a public key and encrypt for it from now on; print its id."""
    from hookseal.seal.keys import parse_public_key

    # Parse it before it leaves this machine: it may be a private key.
    body = {"public_key": parse_public_key(_read(file)).jwk}
    ui.print_line(ask_tenant(customer, "POST", "/public-keys", body, timeout_s=timeout)["kid"])


@public_keys.command()
def remove(
    customer: Customer,
    kid: Annotated[str, typer.Argument(help="Id of the public key.")],
    timeout: Timeout = 10.0,
) -> None:
    """Remove a public key. Without an active key nothing can be encrypted."""
    ask_tenant(customer, "DELETE", f"/public-keys/{quote(kid, safe='')}", timeout_s=timeout)
    ui.print_line(f"Removed {kid}")


@api_keys.command(name="add")
def add_api_key(
    customer: Customer,
    *,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="Scope of the key; may be repeated. By default all scopes."),
    ] = None,
    as_json: AsJson = False,
    timeout: Timeout = 10.0,
) -> None:
    """Create an API key and print it, once. A tenant has at most two."""
    body = {"scopes": scope} if scope else {}
    created = ask_tenant(customer, "POST", "/api-keys", body, timeout_s=timeout)
    text = f"Id: {created['id']}\nAPI key: {created['api_key']}"
    ui.result(created, text, as_json=as_json)


@api_keys.command(name="list")
def list_api_keys(customer: Customer, *, as_json: AsJson = False) -> None:
    """List API keys by id, without the keys themselves."""
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
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Id, as `list` prints it.")],
    timeout: Timeout = 10.0,
) -> None:
    """Revoke an API key."""
    ask_tenant(customer, "DELETE", f"/api-keys/{quote(key_id, safe='')}", timeout_s=timeout)
    ui.print_line(f"Revoked {key_id}")


def _read(path: Path) -> bytes:
    try:
        if str(path) == "-":
            content = sys.stdin.buffer.read(_FILE_MAX_BYTES + 1)
        else:
            with path.open("rb") as file:
                content = file.read(_FILE_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(
            "file_not_read", f"Cannot read the file: {error.strerror}.", field=str(path)
        ) from None
    if len(content) > _FILE_MAX_BYTES:
        raise InvalidInputError(
            "file_too_large",
            f"The file is too large for a key: at most {_FILE_MAX_BYTES:,} bytes.",
            field=str(path),
        )
    return content
