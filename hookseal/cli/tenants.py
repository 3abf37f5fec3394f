"""`hookseal tenants`: create, show, change and delete tenants."""

import sys
from typing import Annotated, Any

import typer

from hookseal.cli import tenant_endpoints, tenant_keys, ui
from hookseal.cli.options import AsJson, Customer, Timeout

app = typer.Typer(no_args_is_help=True, help="Create, show, change and delete tenants.")
app.add_typer(tenant_keys.api_keys, name="api-keys")
app.add_typer(tenant_keys.public_keys, name="keys")
app.add_typer(tenant_endpoints.app, name="endpoints")


@app.command()
def create(
    customer: Customer,
    *,
    name: Annotated[str, typer.Option(help="Name for people.")] = "",
    as_json: AsJson = False,
    timeout: Timeout = 10.0,
) -> None:
    """Create a tenant; print its first API key, once."""
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
    _ask(customer, "PATCH", {"enabled": True}, timeout)
    ui.print_line(f"Enabled {customer}")


@app.command()
def disable(customer: Customer, timeout: Timeout = 10.0) -> None:
    """Dead-letter the tenant's events from now on."""
    _ask(customer, "PATCH", {"enabled": False}, timeout)
    ui.print_line(f"Disabled {customer}")


@app.command()
def delete(
    customer: Customer,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    timeout: Timeout = 10.0,
) -> None:
    """Delete the tenant, its keys and its endpoints."""
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Delete {customer}, its keys and its endpoints?", abort=True)
    _ask(customer, "DELETE", None, timeout)
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
        (one["customer_id"], one["name"], _state(one), one["public_keys"], one["endpoints"])
        for one in tenants
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
    document = _ask(customer, "GET", None, 10.0)
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
    if item["enabled"]:
        return "enabled"
    reason = item.get("disabled_reason")
    return f"disabled ({reason})" if reason else "disabled"


def _ask(customer: str, method: str, body: Any, timeout_s: float) -> Any:
    from hookseal.cli.api_session import ask_tenant

    return ask_tenant(customer, method, body=body, timeout_s=timeout_s)
