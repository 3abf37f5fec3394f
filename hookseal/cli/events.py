"""`hookseal events`: where an event is."""

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from hookseal.cli import ui
from hookseal.cli.options import AsJson

if TYPE_CHECKING:
    from hookseal.cli.api_service import Part

app = typer.Typer(no_args_is_help=True, help="Trace events.")

# Seconds for one request, which searches `events` for up to 10 s.
_TIMEOUT_S = 30.0

Json = dict[str, Any]


# With one command, Typer would make it the group itself.
@app.callback()
def _events() -> None:
    pass


@app.command()
def trace(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="Event id.")],
    *,
    customer: Annotated[
        str | None,
        typer.Option(help="Customer id. Needed if several customers have an event with this id."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Search `events` from this time on: RFC 3339, or a day. Default: 24 hours ago.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show where an event is: waiting, skipped, attempted, deferred or dead-lettered.

    Exit code 1: the event was never seen.
    """
    from hookseal.cli.api_session import client
    from hookseal.config import load
    from hookseal.domain.event import check_event_id
    from hookseal.domain.letter_filter import parse_moment

    check_event_id(event_id)
    if since is not None:
        parse_moment(since, field="since")
    given = {"customer_id": customer, "since": since}
    query = {name: value for name, value in given.items() if value is not None}
    parts: frozenset[Part] = frozenset({"tenants", "dead_letters", "attempts"})

    async def read() -> Json:
        path = f"/v1/events/{quote(event_id, safe='')}/trace"
        async with client(load(), parts=parts, customer_id=customer, timeout_s=_TIMEOUT_S) as api:
            return dict(await api.ask("GET", path, query=query))

    with ui.working("Tracing the event"):
        found = ui.run(read())
    if as_json:
        ui.json(found)
    else:
        _print(found)
    if found["state"] == "never_seen":
        raise typer.Exit(1)


def _print(found: Json) -> None:
    ui.print_line(ui.printable(f"{found['state']}: {found['detail']}"))
    for name in ("event_id", "customer_id", "event_type", "published_at"):
        if found[name] is not None:
            ui.print_line(ui.printable(f"{name.replace('_', ' ')}: {found[name]}"))
    if found["offset"] is not None:
        ui.print_line(f"position: partition {found['partition']}, offset {found['offset']}")
    if found["searched"] is not None:
        searched = found["searched"]
        listed = ", ".join(map(str, searched["partitions"]))
        ui.print_line(
            f"searched: {searched['records']:,} records of partition {listed} since "
            f"{searched['since']}{'' if searched['is_complete'] else ', not all'}"
        )
    if not found["deliveries"]:
        return
    ui.print_line()
    ui.table(
        ("endpoint", "state", "detail"),
        [(one["endpoint_id"], one["state"], one["detail"]) for one in found["deliveries"]],
    )
    attempts = [item for one in found["deliveries"] for item in one["attempts"]]
    if attempts:
        columns = ("at", "endpoint_id", "attempt", "attempt_max", "code", "status", "duration_s")
        ui.print_line()
        ui.table(
            [column.replace("_", " ") for column in columns],
            [[one[column] for column in columns] for one in attempts],
        )
    for command in _commands(found):
        ui.print_line(ui.printable(command))


def _commands(found: Json) -> list[str]:
    """Return the commands that help with what the trace found."""
    commands = []
    for one in found["deliveries"]:
        letter = one["dead_letter"]
        if one["state"] == "dead_lettered":
            commands.append(f"hookseal dead-letters replay {letter['id']}")
        elif one["state"] == "deferred":
            where = f"{found['customer_id']} {one['endpoint_id']}"
            commands.append(f"hookseal tenants endpoints resume {where}")
    return ["", *commands] if commands else []
