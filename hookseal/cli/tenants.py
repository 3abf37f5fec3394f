"""`hookseal tenants`: create, show, change and delete tenants."""

import sys
from typing import Annotated, Any

import typer

from hookseal.cli import tenant_endpoints, tenant_keys, ui
from hookseal.cli.api_session import READ_S, ask_tenant, client
from hookseal.cli.options import AsJson, Customer, Timeout

app = typer.Typer(no_args_is_help=True, help="Create, show, change and delete tenants.")
app.add_typer(tenant_keys.api_keys, name="api-keys")
app.add_typer(tenant_keys.public_keys, name="keys")
app.add_typer(tenant_endpoints.app, name="endpoints")

_PAGE = 1000


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
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
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
        found: list[dict[str, Any]] = []
        cursor = ""
        async with client(load(), timeout_s=READ_S) as api:
            while True:
                page = await api.ask("GET", f"/v1/tenants?limit={_PAGE}{cursor}")
                found += page["items"]
                if page["next_cursor"] is None:
                    return found
                cursor = f"&cursor={page['next_cursor']}"

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
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Print the values of custom headers.")
    ] = False,
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
    if item["enabled"]:
        return "enabled"
    reason = item.get("disabled_reason")
    return f"disabled ({reason})" if reason else "disabled"
