"""`hookseal deliveries`: the attempts in the delivery log."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hookseal.cli import ui
from hookseal.cli.options import AsJson

if TYPE_CHECKING:
    from hookseal.cli.api_service import Part

app = typer.Typer(no_args_is_help=True, help="List attempts from the delivery log.")

_PAGE = 1000
_TIMEOUT_S = 30.0

Json = dict[str, Any]


@app.command(name="list")
def list_(
    *,
    customer: Annotated[str | None, typer.Option(help="Only attempts of this customer.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Only attempts at this endpoint.")] = None,
    event_id: Annotated[str | None, typer.Option(help="Only attempts of this event.")] = None,
    event_type: Annotated[str | None, typer.Option(help="Only events of this exact type.")] = None,
    code: Annotated[
        str | None, typer.Option(help="Only this code: `accepted`, `http_503`, `timeout`, …")
    ] = None,
    status: Annotated[
        int | None, typer.Option(min=100, max=599, help="Only responses with this HTTP status.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Ended since: RFC 3339, or a day.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Ended before this time.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number.")] = 50,
    cursor: Annotated[
        str | None, typer.Option(help="The cursor that the previous page printed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List attempts, newest first. With a tenant's API key, --customer is required."""
    from hookseal.cli.api_session import operator_or_tenant
    from hookseal.domain.letter_filter import parse_moment

    for name, text in (("since", since), ("until", until)):
        if text is not None:
            parse_moment(text, field=name)
    asked = {
        "endpoint_id": endpoint,
        "event_id": event_id,
        "event_type": event_type,
        "code": code,
        "status": status,
        "since": since,
        "until": until,
        "cursor": cursor,
    }
    query = {name: value for name, value in asked.items() if value is not None}

    async def read() -> tuple[list[Json], str | None]:
        items: list[Json] = []
        parts: frozenset[Part] = frozenset({"tenants", "attempts"})
        async with operator_or_tenant(customer, parts=parts, timeout_s=_TIMEOUT_S) as (api, path):
            while True:
                wanted = {**query, "limit": min(_PAGE, limit - len(items))}
                if customer is not None and path == "/v1":
                    wanted["customer_id"] = customer
                page = await api.ask("GET", f"{path}/deliveries", query=wanted)
                items += [{"customer_id": customer, **item} for item in page["items"]]
                if page["next_cursor"] is None or len(items) >= limit:
                    return items, page["next_cursor"]
                query["cursor"] = page["next_cursor"]

    with ui.working("Reading the delivery log"):
        found, next_cursor = ui.run(read())
    if as_json:
        ui.json({"items": found, "next_cursor": next_cursor})
        return
    who = ("at", "customer_id", "endpoint_id", "event_id", "event_type")
    columns = (*who, "attempt", "attempt_max", "code", "status", "duration_s")
    ui.table(
        [column.replace("_", " ") for column in columns],
        [[one[column] for column in columns] for one in found],
    )
    if next_cursor is not None:
        ui.err.print(f"There are more: --cursor {next_cursor}", style="dim", soft_wrap=True)
