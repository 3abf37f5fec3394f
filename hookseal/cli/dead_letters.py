"""`hookseal dead-letters`: what was given up, why, and doing it again."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hookseal.cli import ui
from hookseal.cli.options import AsJson
from hookseal.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hookseal.domain.letter_filter import LetterFilter, Order

app = typer.Typer(no_args_is_help=True, help="What was given up, why, and doing it again.")

_COLUMNS = ("id", "failed_at", "customer_id", "endpoint_id", "reason", "category", "event_type")
_MORE = ("event_id", "attempts", "status", "replayed_at")
_PER_S = 200.0
_IDS = 1000

Customer = Annotated[str | None, typer.Option(help="Only this customer's.")]
Endpoint = Annotated[str | None, typer.Option(help="Only those of this endpoint.")]
Reason = Annotated[str | None, typer.Option(help="Only those of this reason.")]
Category = Annotated[
    str | None,
    typer.Option(help="Only these: `receiver`, `configuration`, `event` or `platform`."),
]
SetAside = Annotated[
    bool,
    typer.Option(
        "--set-aside", help="Only what was set aside since endpoint or tenant were disabled."
    ),
]
EventType = Annotated[str | None, typer.Option(help="Only events of exactly this type.")]
Status = Annotated[
    int | None, typer.Option(min=100, max=599, help="Only those whose last HTTP status was this.")
]
Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="Given up then or later: RFC 3339, or a day.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Given up before then.")]


def letter_filter(
    *,
    customer: str | None,
    endpoint: str | None,
    reason: str | None,
    category: str | None,
    set_aside: bool,
    event_type: str | None,
    status: int | None,
    since: str | None,
    until: str | None,
    **more: Any,
) -> "LetterFilter":
    """Return the filter.

    Raises:
        InvalidInputError: `reason_unknown`, `category_unknown`, `time_invalid`.
    """
    from hookseal.domain.letter_filter import LetterFilter, parse_moment, reasons_of

    return LetterFilter(
        customer_id=customer,
        endpoint_id=endpoint,
        reasons=reasons_of(reason, category, set_aside=set_aside),
        event_type=event_type,
        status=status,
        since_ms=None if since is None else parse_moment(since, field="since"),
        until_ms=None if until is None else parse_moment(until, field="until"),
        **more,
    )


def asked_of(options: "Mapping[str, Any]") -> dict[str, Any]:
    """Return the options, those that were given, by the names that the API has for them."""
    names = {"customer": "customer_id", "endpoint": "endpoint_id"}
    return {names.get(name, name): value for name, value in options.items() if value is not None}


@app.command()
def replay(
    *,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="These ones, as listed.")
    ] = None,
    customer: Customer = None,
    endpoint: Endpoint = None,
    reason: Reason = None,
    category: Category = None,
    set_aside: SetAside = False,
    event_type: EventType = None,
    status: Status = None,
    since: Since = None,
    until: Until = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All of them, of all customers.")
    ] = False,
    accepted: Annotated[
        bool,
        typer.Option(
            "--accepted",
            help="Not dead letters: all events of --endpoint since --since, as they stand on "
            "`events`, accepted ones included.",
        ),
    ] = False,
    again: Annotated[
        str, typer.Option(metavar="NAME", help="With --accepted: once more, after it was done.")
    ] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    rate: Annotated[
        float, typer.Option(min=0, help="At most so many a second, from 1 on; 0 = no bound.")
    ] = _PER_S,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would be replayed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Publish dead letters' events again, each aimed at the endpoint that gave up.

    Each letter is replayed once, however often this is interrupted, repeated, or run twice
    at once. They are sealed to the key, and go to the URL, that the tenant has by then.
    """
    from hookseal.domain.letter_filter import parse_place

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
    }
    wanted = letter_filter(**options)
    if ids:
        wanted = replace(wanted, places=tuple(parse_place(one) for one in ids))
    if not (ids or everything or any(options.values())):
        raise InvalidInputError(
            "filter_missing", "Say which: ids, a filter, or --all for everything.", field="filter"
        )
    per_s = None if rate == 0 else max(1.0, rate)
    if accepted:
        from hookseal.cli.accepted_replay import replay_accepted

        _check_accepted(wanted, dry_run=dry_run)
        done = ui.run(replay_accepted(asked_of(options), again, per_s))
        _report({"replayed": done}, as_json=as_json)
        return
    # Each id once, as the API counts them.
    chosen = list(dict.fromkeys(ids or ()))
    _report(ui.run(_replay(asked_of(options), chosen, limit, per_s, dry_run)), as_json=as_json)


def _check_accepted(wanted: "LetterFilter", *, dry_run: bool) -> None:
    for name, value in (
        ("customer", wanted.customer_id),
        ("endpoint", wanted.endpoint_id),
        ("since", wanted.since_ms),
    ):
        if value is None:
            raise InvalidInputError(
                "option_missing", f"--accepted needs --{name} as well.", field=name
            )
    others = (wanted.reasons, wanted.event_type, wanted.status, wanted.places, dry_run or None)
    if any(other is not None for other in others):
        raise InvalidInputError(
            "options_conflict",
            "--accepted goes with --customer, --endpoint, --since, --until, --again and --rate.",
            field="accepted",
        )


def _report(figures: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        ui.json(figures)
        return
    for name, count in figures.items():
        ui.print_line(f"{name.replace('_', ' ')}: {count}")


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
    from hookseal.domain.letter_filter import parse_place

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
    letter_filter(**options)
    if after is not None:
        parse_place(after, field="after")
    letters, are_more = ui.run(_page(asked_of(options), order, limit, after))
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
    from hookseal.domain.letter_filter import parse_moment

    for name, moment in (("since", since), ("until", until)):
        if moment is not None:
            parse_moment(moment, field=name)
    found = ui.run(_stats(asked_of({"customer": customer, "since": since, "until": until})))
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


async def _page(
    asked: dict[str, Any], order: "Order", limit: int, after: str | None
) -> tuple[list[dict[str, Any]], bool]:
    from hookseal.cli.letter_client import letter_client

    async with letter_client(asked.get("customer_id")) as letters:
        return await letters.page(asked, order=order, limit=limit, after=after)


async def _stats(asked: dict[str, Any]) -> list[dict[str, Any]]:
    from hookseal.cli.letter_client import letter_client

    async with letter_client(asked.get("customer_id")) as letters:
        return await letters.stats(asked)


async def _document(place: str, *, reveal: bool) -> dict[str, Any]:
    from hookseal.cli.letter_client import letter_client

    async with letter_client(indexed=False) as letters:
        found = await letters.show(place, reveal=reveal)
    size, event = found.pop("size"), found["event"]
    return {
        **found,
        "headers": [
            (one["name"], _masked(one["size"]) if one["value"] is None else one["value"])
            for one in found["headers"]
        ],
        "event": _masked(size) if event is None else event,
    }


def _masked(size: int) -> str:
    return f"({size} bytes; --reveal prints them)"


async def _replay(
    asked: dict[str, Any], ids: list[str], limit: int | None, per_s: float | None, dry_run: bool
) -> dict[str, Any]:
    from hookseal.cli.letter_client import letter_client

    total: dict[str, Any] = {}
    # One request names at most so many ids.
    parts = [ids[start : start + _IDS] for start in range(0, len(ids), _IDS)] or [[]]
    async with letter_client(asked.get("customer_id")) as letters:
        for part in parts:
            wanted = {**asked, "ids": part} if part else asked
            left = None if limit is None else limit - total.get("replayed", 0)
            plan = await letters.plan(wanted)
            if dry_run:
                most = plan.pop("to_replay")
                figures = {"would_replay": most, **plan}
            else:
                with ui.progress() as bar:
                    task = bar.add_task("Replaying", total=plan["to_replay"])
                    figures = await letters.replay(
                        wanted,
                        plan,
                        limit=left,
                        per_s=per_s,
                        on_progress=partial(bar.advance, task),
                    )
            for name, count in figures.items():
                total[name] = total.get(name, 0) + count
    if dry_run and limit is not None:
        total["would_replay"] = min(limit, total["would_replay"])
    return total
