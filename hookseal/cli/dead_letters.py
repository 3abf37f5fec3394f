"""`hookseal dead-letters`: what was given up, why, and doing it again."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hookseal.cli import replays, ui
from hookseal.cli.letter_options import (
    Category,
    Customer,
    Endpoint,
    EventType,
    Reason,
    SetAside,
    Since,
    Status,
    Until,
    asked_of,
    followed,
    letter_filter,
)
from hookseal.cli.options import AsJson
from hookseal.errors import InvalidInputError

if TYPE_CHECKING:
    from hookseal.domain.attempt_record import AttemptRecord
    from hookseal.domain.letter_filter import LetterFilter, Order
    from hookseal.domain.record import Record

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="What was given up, why, and doing it again.")
app.command()(replays.replay)

_COLUMNS = ("id", "failed_at", "customer_id", "endpoint_id", "reason", "category", "event_type")
_MORE = ("event_id", "attempts", "status", "replayed_at")
_ADDED = "hookseal-"


@app.command(name="list")
def list_(
    *,
    customer: Customer = None,
    endpoint: Endpoint = None,
    reason: Reason = None,
    category: Category = None,
    set_aside: SetAside = False,
    event_type: EventType = None,
    status: Status = None,
    since: Since = None,
    until: Until = None,
    replayed: Annotated[
        bool | None,
        typer.Option("--replayed/--not-replayed", help="Only those that were, or were not."),
    ] = None,
    order: Annotated[
        Literal["newest", "oldest"], typer.Option(help="Which come first.")
    ] = "newest",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    after: Annotated[
        str | None, typer.Option(metavar="ID", help="Go on behind this one: the next page.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters."""
    options: dict[str, Any] = {
        "customer": customer,
        "endpoint": endpoint,
        "reason": reason,
        "category": category,
        "set_aside": set_aside,
        "event_type": event_type,
        "status": status,
        "since": since,
        "until": until,
        "replayed": replayed,
    }
    wanted, asked = letter_filter(**options), asked_of(options)
    letters, are_more = ui.run(_page(wanted, asked, order, limit, after))
    if as_json:
        ui.json(letters)
        return
    columns = (*_COLUMNS, *_MORE)
    ui.table(
        [column.replace("_", " ") for column in columns],
        [[letter[column] for column in columns] for letter in letters],
    )
    if are_more:
        ui.err.print(f"There are more: --after {letters[-1]['id']}", style="dim")


@app.command()
def stats(
    *,
    customer: Customer = None,
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
) -> None:
    """Count dead letters by customer, endpoint and reason; most first."""
    wanted = letter_filter(
        customer=customer,
        endpoint=None,
        reason=None,
        category=None,
        set_aside=False,
        event_type=None,
        status=None,
        since=since,
        until=until,
    )
    found = ui.run(_stats(wanted, asked_of({"customer": customer, "since": since, "until": until})))
    if as_json:
        ui.json(found)
        return
    columns = ("count", "replayed", "category", "reason", "customer_id", "endpoint_id")
    ui.table(
        [*(column.replace("_", " ") for column in columns), "last failed at"],
        [[*(row[column] for column in columns), row["last_failed_at"]] for row in found],
    )


@app.command()
def show(
    place: Annotated[str, typer.Argument(metavar="ID", help="PARTITION/OFFSET, as listed.")],
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Print the event and its own headers as well.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter, and the attempts before it; the event itself only when asked."""
    from hookseal.domain.letter_filter import parse_place

    parse_place(place)
    with ui.working("Reading the dead letter"):
        document = ui.run(_document(place, reveal=reveal))
    if as_json:
        ui.json(document)
        return
    for name, value in document["headers"]:
        ui.print_line(ui.printable(f"{name}: {value}"))
    ui.print_line()
    if document["history"]:
        columns = ("at", "attempt", "code", "status", "duration_s", "worker", "kid")
        rows = [[attempt[column] for column in columns] for attempt in document["history"]]
        ui.table([column.replace("_", " ") for column in columns], rows)
        ui.print_line()
    ui.print_line(ui.printable(document["event"]))


def summary_of(record: "Record") -> dict[str, Any]:
    """Return what is worth knowing of a dead letter, without a payload."""
    from hookseal.domain.dead_letter import added_headers, category_of

    added = added_headers(record.headers)
    return {
        "id": f"{record.partition}/{record.offset}",
        "partition": record.partition,
        "offset": record.offset,
        "customer_id": None if record.key is None else record.key.decode("utf-8", "replace"),
        "reason": added.get("reason"),
        "category": category_of(added.get("reason", "")),
        "error": added.get("error"),
        "endpoint_id": added.get("endpoint-id"),
        "event_id": added.get("event-id"),
        "attempts": added.get("attempts"),
        "status": added.get("status"),
        "failed_at": added.get("failed-at"),
    }


def _shown(record: "Record", attempts: "list[AttemptRecord]", *, reveal: bool) -> dict[str, Any]:
    """Return the letter for printing; what its producer wrote is masked unless revealed."""
    import msgspec

    from hookseal.domain.utc_time import rfc3339

    size = len(record.value or b"")
    return {
        **summary_of(record),
        "headers": [
            (
                name,
                (value or b"").decode("utf-8", "replace")
                if reveal or name.startswith(_ADDED)
                else f"({len(value or b'')} bytes; --reveal prints them)",
            )
            for name, value in record.headers
        ],
        "history": [{**msgspec.structs.asdict(one), "at": rfc3339(one.at)} for one in attempts],
        "event": (record.value or b"").decode("utf-8", "replace")
        if reveal
        else f"({size} bytes; --reveal prints them)",
    }


async def _page(
    wanted: "LetterFilter", asked: dict[str, Any], order: "Order", limit: int, after: str | None
) -> tuple[list[dict[str, Any]], bool]:
    from hookseal.cli.api_letters import api_letters
    from hookseal.config import load
    from hookseal.domain.letter_filter import parse_place

    settings = load()
    behind = None if after is None else parse_place(after, field="after")
    if settings.api_url:
        async with api_letters(settings) as letters:
            return await letters.page(asked, order=order, limit=limit, after=after)
    async with followed(settings) as index:
        cursor = None if behind is None else await index.cursor_at(*behind)
        page = await index.page(wanted, order=order, limit=limit, cursor=cursor)
    return [letter.document() for letter in page.letters], page.next_cursor is not None


async def _stats(wanted: "LetterFilter", asked: dict[str, Any]) -> list[dict[str, Any]]:
    from hookseal.cli.api_letters import api_letters
    from hookseal.config import load

    settings = load()
    if settings.api_url:
        async with api_letters(settings) as letters:
            return await letters.stats(asked)
    async with followed(settings) as index:
        return await index.stats(wanted)


async def _document(place: str, *, reveal: bool) -> dict[str, Any]:
    from hookseal.cli.api_letters import api_letters
    from hookseal.config import load
    from hookseal.dead_letters.lookup import attempts_of, letter_at
    from hookseal.domain.letter_filter import parse_place

    settings = load()
    if not settings.api_url:
        letter = await letter_at(settings.cluster, *parse_place(place))
        return _shown(letter, await attempts_of(settings.cluster, letter), reveal=reveal)
    if reveal:
        raise InvalidInputError(
            "options_conflict",
            "The API hands out no payloads; --reveal works on Kafka itself, without "
            "HOOKSEAL_API_URL.",
            field="reveal",
        )
    async with api_letters(settings) as letters:
        found, attempts = await letters.at(place)
    # The same members as from Kafka, as far as the API tells them.
    return {
        **found,
        "headers": [],
        "history": [{"worker": None, **attempt} for attempt in attempts],
        "event": "(the API hands out no payloads)",
    }
