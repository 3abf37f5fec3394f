"""`hookseal tenants`: make tenants, look at them, switch them off."""

import sys
from typing import Annotated, Any

import typer

from hookseal.cli import tenant_endpoints, tenant_keys, ui
from hookseal.cli.options import AsJson, Customer, Timeout

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Make tenants, look at them, change them.")
app.add_typer(tenant_keys.api_keys, name="api-keys")
app.add_typer(tenant_keys.public_keys, name="keys")
app.add_typer(tenant_endpoints.app, name="endpoints")

HIDDEN = "***"


@app.command()
def create(
    customer: Customer,
    *,
    name: Annotated[str, typer.Option(help="For people.")] = "",
    as_json: AsJson = False,
    timeout: Timeout = 10.0,
) -> None:
    """Create a tenant; prints its first API key, this once."""
    from hookseal.cli.api_session import create_tenant
    from hookseal.domain.event import check_customer_id

    api_key = create_tenant(check_customer_id(customer), name, timeout_s=timeout)
    if as_json:
        ui.json({"customer_id": customer, "api_key": api_key})
        return
    ui.print_line(f"Created {customer}")
    ui.print_line(f"API key: {api_key}")


@app.command()
def enable(customer: Customer, timeout: Timeout = 10.0) -> None:
    """Deliver the tenant's events again."""
    _switch(customer, timeout, enabled=True)
    ui.print_line(f"Enabled {customer}")


@app.command()
def disable(customer: Customer, timeout: Timeout = 10.0) -> None:
    """Dead-letter the tenant's events from now on."""
    _switch(customer, timeout, enabled=False)
    ui.print_line(f"Disabled {customer}")


@app.command()
def delete(
    customer: Customer,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    timeout: Timeout = 10.0,
) -> None:
    """Forget the tenant, its keys and its endpoints."""
    from hookseal.cli.api_session import ask_tenant

    if not yes and sys.stdin.isatty():
        typer.confirm(f"Forget {customer}, its keys and its endpoints?", abort=True)
    ask_tenant(customer, "DELETE", timeout_s=timeout)
    ui.print_line(f"Deleted {customer}")


@app.command(name="list")
def list_(*, as_json: AsJson = False) -> None:
    """List all tenants."""
    from hookseal.cli.api_session import every_tenant

    tenants = every_tenant()
    if as_json:
        ui.json(tenants)
        return
    rows = [
        (
            tenant["customer_id"],
            tenant["name"],
            "enabled" if tenant["enabled"] else "disabled",
            tenant["public_keys"],
            tenant["endpoints"],
        )
        for tenant in tenants
    ]
    ui.table(("customer id", "name", "state", "keys", "endpoints"), rows)


@app.command()
def show(
    customer: Customer,
    as_json: AsJson = False,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Print the values of custom headers.")
    ] = False,
) -> None:
    """Show a tenant with its keys and endpoints."""
    from hookseal.cli.api_session import ask_tenant

    document = described(ask_tenant(customer, "GET"), reveal=reveal)
    if as_json:
        ui.json(document)
        return
    for name in ("customer_id", "name", "enabled", "revision"):
        ui.print_line(f"{name}: {document[name]}")
    ui.table(
        ("API key", "scopes"),
        [(key["id"], ",".join(key["scopes"])) for key in document["api_keys"]],
    )
    ui.table(
        ("public key", "alg", "state"),
        [(key["kid"], key["alg"], key["state"]) for key in document["public_keys"]],
    )
    ui.table(
        ("endpoint", "url", "event types", "state", "headers", "description"),
        [
            (
                endpoint["id"],
                endpoint["url"],
                ",".join(endpoint["event_types"]),
                "enabled" if endpoint["enabled"] else f"disabled ({endpoint['disabled_reason']})",
                ", ".join(f"{name}: {value}" for name, value in endpoint["headers"].items()),
                endpoint["description"],
            )
            for endpoint in document["endpoints"]
        ],
    )


def described(tenant: dict[str, Any], *, reveal: bool = False) -> dict[str, Any]:
    """Return the tenant for printing.

    Args:
        tenant: As the API tells of it.
        reveal: Whether to include the values of custom headers: they may be secrets.
    """
    return {
        **tenant,
        "public_keys": [
            {name: key[name] for name in ("kid", "alg", "state")} for key in tenant["public_keys"]
        ],
        "endpoints": [
            endpoint
            if reveal
            else {**endpoint, "headers": dict.fromkeys(endpoint["headers"], HIDDEN)}
            for endpoint in tenant["endpoints"]
        ],
    }


def _switch(customer: str, timeout_s: float, *, enabled: bool) -> None:
    from hookseal.cli.api_session import ask_tenant

    ask_tenant(customer, "PATCH", body={"enabled": enabled}, timeout_s=timeout_s)
