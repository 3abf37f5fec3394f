"""`hookseal tenants`: create, show, change and delete tenants and their keys."""

import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from hookseal.cli import tenant_endpoints, ui
from hookseal.cli.api_session import READ_S, ask_tenant, client
from hookseal.cli.options import AsJson, Customer, Timeout, open_file
from hookseal.errors import InvalidInputError

app = typer.Typer(no_args_is_help=True, help="Create, show, change and delete tenants.")
public_keys = typer.Typer(no_args_is_help=True, help="A tenant's public keys for encryption.")
api_keys = typer.Typer(no_args_is_help=True, help="A tenant's keys for the HTTP API.")
app.add_typer(api_keys, name="api-keys")
app.add_typer(public_keys, name="keys")
app.add_typer(tenant_endpoints.app, name="endpoints")

_PAGE = 1000
_KEY_MAX_BYTES = 64 * 1024


@app.command()
def create(
    customer: Customer,
    *,
    name: Annotated[str, typer.Option(help="Name for people.")] = "",
    as_json: AsJson = False,
    timeout: Timeout = 10.0,
) -> None:
    """Create a tenant; print its first API key, once."""
    from hookseal.domain.event import check_customer_id

    body = {"customer_id": check_customer_id(customer), "name": name}
    api_key = ask_tenant(customer, "POST", None, body, timeout_s=timeout)["api_key"]
    ui.result(
        {"customer_id": customer, "api_key": api_key},
        f"Created {customer}\nAPI key: {api_key}",
        as_json=as_json,
    )


@app.command()
def enable(customer: Customer, timeout: Timeout = 10.0) -> None:
    """Deliver the tenant's events again."""
    ask_tenant(customer, "PATCH", body={"enabled": True}, timeout_s=timeout)
    ui.print_line(f"Enabled {customer}")


@app.command()
def disable(customer: Customer, timeout: Timeout = 10.0) -> None:
    """Dead-letter the tenant's events from now on."""
    ask_tenant(customer, "PATCH", body={"enabled": False}, timeout_s=timeout)
    ui.print_line(f"Disabled {customer}")


@app.command()
def delete(
    customer: Customer,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    timeout: Timeout = 10.0,
) -> None:
    """Delete the tenant, its keys and its endpoints."""
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Delete {customer}, its keys and its endpoints?", abort=True)
    ask_tenant(customer, "DELETE", timeout_s=timeout)
    ui.print_line(f"Deleted {customer}")


@app.command(name="list")
def list_(*, as_json: AsJson = False) -> None:
    """List all tenants."""
    from hookseal.config import load

    async def read() -> list[dict[str, Any]]:
        async with client(load(), timeout_s=READ_S) as api:
            return [one async for one in api.items("/v1/tenants", {"limit": _PAGE})]

    with ui.working("Reading the tenants"):
        tenants = ui.run(read())
    if as_json:
        ui.json(tenants)
        return
    rows = [
        (one["customer_id"], one["name"], _state(one), one["public_keys"], one["endpoints"])
        for one in tenants
    ]
    ui.table(("customer id", "name", "state", "keys", "endpoints"), rows)


@app.command()
def show(
    customer: Customer,
    as_json: AsJson = False,
    reveal: Annotated[bool, typer.Option("--reveal", help="Print the values of headers.")] = False,
) -> None:
    """Show a tenant with its keys and endpoints."""
    document = ask_tenant(customer, "GET")
    document["public_keys"] = [
        {name: key[name] for name in ("kid", "alg", "state")} for key in document["public_keys"]
    ]
    if not reveal:
        # Custom headers may contain secrets.
        for endpoint in document["endpoints"]:
            endpoint["headers"] = dict.fromkeys(endpoint["headers"], "***")
    if as_json:
        ui.json(document)
        return
    for name in ("customer_id", "name", "enabled", "revision"):
        ui.print_line(f"{name}: {document[name]}")
    ui.table(
        ("API key", "scopes"),
        [(key["id"], ",".join(key["scopes"])) for key in document["api_keys"]],
    )
    ui.table(("public key", "alg", "state"), [[*key.values()] for key in document["public_keys"]])
    ui.table(
        ("endpoint", "url", "event types", "state", "headers", "description"),
        [
            (
                endpoint["id"],
                endpoint["url"],
                ",".join(endpoint["event_types"]),
                _state(endpoint),
                ", ".join(f"{name}: {value}" for name, value in endpoint["headers"].items()),
                endpoint["description"],
            )
            for endpoint in document["endpoints"]
        ],
    )


def _state(item: dict[str, Any]) -> str:
    """Return the state of an endpoint with its reason, or of a tenant."""
    state: str = item.get("state") or ("enabled" if item["enabled"] else "disabled")
    reasons = {"suspended": "suspended_because", "disabled": "disabled_reason"}
    reason = item.get(reasons.get(state, ""))
    return f"{state} ({reason})" if reason else state


@public_keys.command(name="add")
def add_key(
    customer: Customer,
    file: Annotated[Path, typer.Argument(help="Public key, PEM or JWK; `-` is stdin.")],
    timeout: Timeout = 10.0,
) -> None:
    """Add a public key and encrypt for it from now on; print its id."""
    from hookseal.seal.keys import parse_public_key

    with open_file(file) as content:
        text = content.read(_KEY_MAX_BYTES + 1)
    if len(text) > _KEY_MAX_BYTES:
        raise InvalidInputError(
            "file_too_large",
            f"The file is too large for a key: at most {_KEY_MAX_BYTES:,} bytes.",
            field=str(file),
        )
    # Parse it before it leaves this machine: it may be a private key.
    body = {"public_key": parse_public_key(text).jwk}
    ui.print_line(ask_tenant(customer, "POST", "/public-keys", body, timeout_s=timeout)["kid"])


@public_keys.command(name="remove")
def remove_key(
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
        typer.Option(help="Scope of the key; may be repeated. Default: all."),
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


@api_keys.command(name="revoke")
def revoke_api_key(
    customer: Customer,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Id, as `list` prints it.")],
    timeout: Timeout = 10.0,
) -> None:
    """Revoke an API key."""
    ask_tenant(customer, "DELETE", f"/api-keys/{quote(key_id, safe='')}", timeout_s=timeout)
    ui.print_line(f"Revoked {key_id}")
