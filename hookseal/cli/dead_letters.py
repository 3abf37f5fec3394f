"""`hookseal dead-letters`: list, count, show and replay dead letters."""

import inspect
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import partial, wraps
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hookseal.cli import ui
from hookseal.cli.letter_client import letter_client
from hookseal.cli.options import AsJson
from hookseal.errors import InvalidInputError

if TYPE_CHECKING:
    from hookseal.domain.letter_filter import LetterFilter

app = typer.Typer(no_args_is_help=True, help="List, count, show and replay dead letters.")

_PER_S = 200.0
# One request of the API names at most so many ids.
_IDS_MAX = 1000

Json = dict[str, Any]
Customer = Annotated[str | None, typer.Option(help="Only letters of this customer.")]
Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="Failed since: RFC 3339, or a day.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Failed before this time.")]


@dataclass(frozen=True)
class _Filter:
    """The filter options of `list` and `replay`."""

    customer: Customer = None
    endpoint: Annotated[str | None, typer.Option(help="Only letters of this endpoint.")] = None
    reason: Annotated[str | None, typer.Option(help="Only letters with this reason.")] = None
    category: Annotated[
        str | None,
        typer.Option(help="Only these: `receiver`, `configuration`, `event` or `platform`."),
    ] = None
    set_aside: Annotated[
        bool,
        typer.Option("--set-aside", help="Only events deferred for a disabled endpoint or tenant."),
    ] = False
    event_id: Annotated[str | None, typer.Option(help="Only letters of this event.")] = None
    event_type: Annotated[str | None, typer.Option(help="Only events of this exact type.")] = None
    status: Annotated[
        int | None, typer.Option(min=100, max=599, help="Only letters with this last HTTP status.")
    ] = None
    since: Since = None
    until: Until = None

    def checked(self, ids: list[str] | None = None) -> "LetterFilter":
        """Return the filter.

        Raises:
            InvalidInputError: `reason_unknown`, `category_unknown`, `time_invalid`,
                `place_invalid`.
        """
        from hookseal.domain import letter_filter as letters

        def moment(field: str, text: str | None) -> int | None:
            return None if text is None else letters.parse_moment(text, field=field)

        return letters.LetterFilter(
            customer_id=self.customer,
            endpoint_id=self.endpoint,
            reasons=letters.reasons_of(self.reason, self.category, set_aside=self.set_aside),
            event_id=self.event_id,
            event_type=self.event_type,
            status=self.status,
            since_ms=moment("since", self.since),
            until_ms=moment("until", self.until),
            places=tuple(map(letters.parse_place, ids)) if ids else None,
        )

    def query(self) -> Json:
        """Return the given options by their names in the API."""
        names = {"customer": "customer_id", "endpoint": "endpoint_id"}
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return {names.get(name, name): value for name, value in given.items()}


def _with_filter(command: Callable[..., None]) -> Callable[..., None]:
    """Add the filter options to a command, which gets them as its first argument."""

    @wraps(command)
    def run(**given: Any) -> None:
        chosen = _Filter(**{one.name: given.pop(one.name) for one in fields(_Filter)})
        command(chosen, **given)

    _, *own = inspect.signature(command).parameters.values()
    shared = inspect.signature(_Filter).parameters.values()
    run.__signature__ = inspect.Signature([*shared, *own])  # type: ignore[attr-defined]
    return run


@app.command()
@_with_filter
def replay(
    chosen: _Filter,
    *,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Ids, as listed.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Letters of all customers.")] = False,
    accepted: Annotated[
        bool,
        typer.Option(
            "--accepted",
            help="Replay all events of --endpoint since --since from `events`, also accepted ones, "
            "instead of dead letters.",
        ),
    ] = False,
    again: Annotated[
        str,
        typer.Option(metavar="NAME", help="With --accepted: a new name repeats a finished replay."),
    ] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of events.")] = None,
    rate: Annotated[
        float, typer.Option(min=0, help="Events per second, from 1; 0 = no limit.")
    ] = _PER_S,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the events.")] = False,
    as_json: AsJson = False,
) -> None:
    """Publish the events of dead letters again, each for the endpoint that failed.

    Each letter is replayed once, even if the command is interrupted, repeated, or run twice at the
    same time. The events use the key and the URL that the tenant has by then.
    """
    ids = ids or []
    wanted = chosen.checked(ids)
    if not (ids or everything or any(asdict(chosen).values())):
        raise InvalidInputError(
            "filter_missing",
            "Give ids, a filter, or --all to replay every dead letter.",
            field="filter",
        )
    per_s = None if rate == 0 else max(1.0, rate)
    if accepted:
        from hookseal.cli.letter_client import replay_accepted

        _check_accepted(wanted, dry_run=dry_run)
        figures: Json = {"replayed": ui.run(replay_accepted(chosen.query(), again, per_s))}
    else:
        # The API counts each id once.
        unique = list(dict.fromkeys(ids))
        figures = ui.run(_replay(chosen.query(), unique, limit, per_s, dry_run=dry_run))
    lines = [f"{name.replace('_', ' ')}: {count}" for name, count in figures.items()]
    ui.result(figures, "\n".join(lines), as_json=as_json)


def _check_accepted(wanted: "LetterFilter", *, dry_run: bool) -> None:
    for name, value in (
        ("customer", wanted.customer_id),
        ("endpoint", wanted.endpoint_id),
        ("since", wanted.since_ms),
    ):
        if value is None:
            raise InvalidInputError("option_missing", f"--accepted needs --{name}.", field=name)
    others = (
        *(wanted.reasons, wanted.event_id, wanted.event_type, wanted.status, wanted.places),
        dry_run or None,
    )
    if any(other is not None for other in others):
        raise InvalidInputError(
            "options_conflict",
            "--accepted allows only --customer, --endpoint, --since, --until, --again and --rate.",
            field="accepted",
        )


async def _replay(
    query: Json, ids: list[str], limit: int | None, per_s: float | None, *, dry_run: bool
) -> Json:
    total: Counter[str] = Counter()
    parts = [ids[start : start + _IDS_MAX] for start in range(0, len(ids), _IDS_MAX)] or [[]]
    async with letter_client(query.get("customer_id")) as letters:
        for part in parts:
            wanted = {**query, "ids": part} if part else query
            plan = await letters.plan(wanted)
            if dry_run:
                total.update({"would_replay": plan.pop("to_replay"), **plan})
                continue
            most = plan["to_replay"]
            if limit is not None:
                most = min(most, limit - total["replayed"])
            with ui.progress() as bar:
                on_progress = partial(bar.advance, bar.add_task("Replaying", total=most))
                total.update(await letters.replay(wanted, plan, most, per_s, on_progress))
    if dry_run and limit is not None:
        total["would_replay"] = min(limit, total["would_replay"])
    return dict(total)


@app.command(name="list")
@_with_filter
def list_(
    chosen: _Filter,
    *,
    replayed: Annotated[
        bool | None,
        typer.Option("--replayed/--not-replayed", help="Only replayed letters, or only others."),
    ] = None,
    order: Annotated[Literal["newest", "oldest"], typer.Option(help="Sort order.")] = "newest",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number.")] = 50,
    after: Annotated[str | None, typer.Option(metavar="ID", help="Letters after this id.")] = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters."""
    from hookseal.domain.letter_filter import parse_place

    chosen.checked()
    if after is not None:
        parse_place(after, field="after")
    query = chosen.query()
    if replayed is not None:
        query["replayed"] = replayed

    async def page() -> tuple[list[Json], bool]:
        async with letter_client(chosen.customer) as letters:
            return await letters.page(query, order=order, limit=limit, after=after)

    found, has_more = ui.run(page())
    if as_json:
        ui.json(found)
        return
    columns = ("id", "failed_at", "customer_id", "endpoint_id", "reason", "category", "event_type")
    _print_rows((*columns, "event_id", "attempts", "status", "replayed_at"), found)
    if has_more:
        ui.err.print(f"There are more: --after {found[-1]['id']}", style="dim")


@app.command()
def stats(
    *,
    customer: Customer = None,
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
) -> None:
    """Count dead letters by customer, endpoint and reason, the largest count first."""
    chosen = _Filter(customer=customer, since=since, until=until)
    chosen.checked()
    query = chosen.query()
    del query["set_aside"]

    async def count() -> list[Json]:
        async with letter_client(customer) as letters:
            return await letters.stats(query)

    found = ui.run(count())
    if as_json:
        ui.json(found)
        return
    columns = ("count", "replayed", "category", "reason", "customer_id", "endpoint_id")
    _print_rows((*columns, "last_failed_at"), found)


@app.command()
def show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="PARTITION/OFFSET.")],
    reveal: Annotated[bool, typer.Option("--reveal", help="Print the event as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a dead letter and its attempts; the event itself only with --reveal."""
    from hookseal.domain.letter_filter import parse_place

    parse_place(letter_id)

    async def read() -> Json:
        async with letter_client(indexed=False) as letters:
            return await letters.show(letter_id, reveal=reveal)

    with ui.working("Reading the dead letter"):
        document = ui.run(read())
    document["headers"] = [
        (header["name"], _masked(header["value"], header["size"])) for header in document["headers"]
    ]
    document["event"] = _masked(document["event"], document.pop("size"))
    if as_json:
        ui.json(document)
        return
    for name, value in document["headers"]:
        ui.print_line(ui.printable(f"{name}: {value}"))
    ui.print_line()
    if document["history"]:
        columns = ("at", "attempt", "code", "status", "duration_s", "worker", "kid")
        _print_rows(columns, document["history"])
        ui.print_line()
    ui.print_line(ui.printable(document["event"]))


def _masked(value: str | None, size: int) -> str:
    return f"({size} bytes; --reveal prints them)" if value is None else value


def _print_rows(columns: tuple[str, ...], rows: list[Json]) -> None:
    ui.table(
        [column.replace("_", " ") for column in columns],
        [[row[column] for column in columns] for row in rows],
    )
