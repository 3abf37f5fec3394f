"""`hookseal tenants`: make tenants, look at them, switch them off."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hookseal.cli import tenant_endpoints, tenant_keys, ui
from hookseal.cli.options import AsJson, Customer, Timeout

if TYPE_CHECKING:
    from hookseal.domain.tenant import Tenant

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Make tenants, look at them, change them.")
app.add_typer(tenant_keys.app, name="keys")
app.add_typer(tenant_endpoints.app, name="endpoints")

HIDDEN = "***"


@app.command()
def create(
    customer: Customer,
    name: Annotated[str, typer.Option(help="For people.")] = "",
    timeout: Timeout = 10.0,
) -> None:
    """Create a tenant."""
    from hookseal.cli.changes import a_command, change
    from hookseal.domain.command import CreateTenant
    from hookseal.domain.event import check_customer_id

    change(a_command(CreateTenant, check_customer_id(customer), name=name), timeout_s=timeout)
    ui.say(f"Created {customer}")


@app.command()
def enable(customer: Customer, timeout: Timeout = 10.0) -> None:
    """Deliver the tenant's events again."""
    from hookseal.cli.changes import a_command, change
    from hookseal.domain.command import EnableTenant

    change(a_command(EnableTenant, customer), timeout_s=timeout)
    ui.say(f"Enabled {customer}")


@app.command()
def disable(customer: Customer, timeout: Timeout = 10.0) -> None:
    """Dead-letter the tenant's events from now on."""
    from hookseal.cli.changes import a_command, change
    from hookseal.domain.command import DisableTenant

    change(a_command(DisableTenant, customer), timeout_s=timeout)
    ui.say(f"Disabled {customer}")


@app.command()
def delete(
    customer: Customer,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    timeout: Timeout = 10.0,
) -> None:
    """Forget the tenant, its keys and its endpoints."""
    from hookseal.cli.changes import a_command, change
    from hookseal.domain.command import DeleteTenant

    if not yes and sys.stdin.isatty():
        typer.confirm(f"Forget {customer}, its keys and its endpoints?", abort=True)
    change(a_command(DeleteTenant, customer), timeout_s=timeout)
    ui.say(f"Deleted {customer}")


@app.command(name="list")
def list_(*, as_json: AsJson = False) -> None:
    """List all tenants."""
    with ui.working("Reading the tenants"):
        tenants = ui.run(_read(None))
    if as_json:
        ui.json([described(tenant) for tenant in tenants])
        return
    rows = [
        (
            tenant.customer_id,
            tenant.name,
            "enabled" if tenant.enabled else "disabled",
            len(tenant.public_keys),
            len(tenant.endpoints),
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
    """Show a tenant with its public keys and endpoints."""
    from hookseal.cli.changes import unknown_tenant

    with ui.working("Reading the tenant"):
        tenants = ui.run(_read(customer))
    if not tenants:
        raise unknown_tenant(customer)
    document = described(tenants[0], reveal=reveal)
    if as_json:
        ui.json(document)
        return
    for name in ("customer_id", "name", "enabled", "revision"):
        ui.say(f"{name}: {document[name]}")
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


def described(tenant: "Tenant", *, reveal: bool = False) -> dict[str, Any]:
    """Return the tenant for printing.

    Args:
        tenant: The tenant.
        reveal: Whether to include the values of custom headers: they may be secrets.
    """
    return {
        "customer_id": tenant.customer_id,
        "name": tenant.name,
        "enabled": tenant.enabled,
        "revision": tenant.revision,
        "public_keys": [
            {"kid": key.kid, "alg": key.alg, "state": key.state} for key in tenant.public_keys
        ],
        "endpoints": [
            {
                "id": endpoint.id,
                "url": endpoint.url,
                "event_types": list(endpoint.event_types),
                "headers": {
                    name: value if reveal else HIDDEN for name, value in endpoint.headers.items()
                },
                "description": endpoint.description,
                "enabled": endpoint.enabled,
                "disabled_reason": endpoint.disabled_reason,
                "secret_version": endpoint.secret_version,
                "retry_delays_s": endpoint.retry_delays_s,
            }
            for endpoint in tenant.endpoints
        ],
    }


async def _read(customer_id: str | None) -> "list[Tenant]":
    from hookseal.config import load
    from hookseal.kafka.partitioner import partition_of
    from hookseal.kafka.tenants import TenantsModel
    from hookseal.kafka.topics import partition_count

    cluster = load().cluster
    if customer_id is None:
        async with TenantsModel(cluster) as model:
            return model.page()
    partition = partition_of(customer_id, await partition_count(cluster))
    async with TenantsModel(cluster, partitions=[partition]) as model:
        found = model.get(customer_id)
        return [] if found is None else [found]
