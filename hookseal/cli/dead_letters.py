"""`hookseal dead-letters`: what was given up, and why."""

import heapq
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hookseal.cli import ui
from hookseal.cli.options import AsJson
from hookseal.errors import InvalidInputError

if TYPE_CHECKING:
    from hookseal.domain.record import Record

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="What was given up, and why.")

_COLUMNS = ("partition", "offset", "customer_id", "reason", "endpoint_id", "event_id")
_MORE = ("attempts", "status", "failed_at")
_PLACE = re.compile(r"(\d{1,9})/(\d{1,18})", re.ASCII)
_ADDED = "hookseal-"


@app.command(name="list")
def list_(
    customer: Annotated[str | None, typer.Option(help="Only this customer's.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only those of this reason.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The latest so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the latest last."""
    _check_reason(reason)
    with ui.working("Reading the dead letters"):
        letters = ui.run(_latest(customer, reason, limit))
    if as_json:
        ui.json(letters)
        return
    columns = (*_COLUMNS, *_MORE)
    ui.table(
        [column.replace("_", " ") for column in columns],
        [[letter[column] for column in columns] for letter in letters],
    )


@app.command()
def show(
    place: Annotated[
        str, typer.Argument(metavar="PARTITION/OFFSET", help="As `list` prints them.")
    ],
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Print the event and its own headers as well.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter with its headers; the event itself only when asked."""
    parts = _PLACE.fullmatch(place)
    if parts is None:
        raise InvalidInputError("place_invalid", "Write PARTITION/OFFSET, 3/118.", field=place)
    with ui.working("Reading the dead letters"):
        found = ui.run(_at(int(parts[1]), int(parts[2])))
    if found is None:
        raise InvalidInputError("unknown_dead_letter", "There is none at this place.", field=place)
    document = _shown(found, reveal=reveal)
    if as_json:
        ui.json(document)
        return
    for name, value in document["headers"]:
        ui.say(ui.printable(f"{name}: {value}"))
    ui.say()
    ui.say(ui.printable(document["event"]))


def summary_of(record: "Record") -> dict[str, Any]:
    """Return what is worth knowing of a dead letter, without a payload."""
    from hookseal.domain.dead_letter import added_headers

    added = added_headers(record.headers)
    return {
        "partition": record.partition,
        "offset": record.offset,
        "customer_id": None if record.key is None else record.key.decode("utf-8", "replace"),
        "reason": added.get("reason"),
        "error": added.get("error"),
        "endpoint_id": added.get("endpoint-id"),
        "event_id": added.get("event-id"),
        "attempts": added.get("attempts"),
        "status": added.get("status"),
        "failed_at": added.get("failed-at"),
    }


def _shown(record: "Record", *, reveal: bool) -> dict[str, Any]:
    """Return the letter for printing; what its producer wrote is masked unless revealed."""
    size = len(record.value or b"")
    return {
        **summary_of(record),
        "headers": [
            (
                name,
                value.decode("utf-8", "replace")
                if reveal or name.startswith(_ADDED)
                else f"({len(value)} bytes; --reveal prints them)",
            )
            for name, value in record.headers
        ],
        "event": (record.value or b"").decode("utf-8", "replace")
        if reveal
        else f"({size} bytes; --reveal prints them)",
    }


def _check_reason(reason: str | None) -> None:
    from hookseal.domain.dead_letter import REASONS

    if reason is not None and reason not in REASONS:
        raise InvalidInputError(
            "reason_unknown", f"Give one of {', '.join(sorted(REASONS))}.", field="reason"
        )


async def _latest(customer_id: str | None, reason: str | None, limit: int) -> list[dict[str, Any]]:
    from hookseal.config import load
    from hookseal.kafka.reader import read_all
    from hookseal.kafka.topics import TopicNames

    settings = load()
    # A heap of the latest: the topic may hold more than memory does.
    kept: list[tuple[tuple[int, int, int], dict[str, Any]]] = []
    async for record in read_all(settings.cluster, TopicNames(settings.topic_prefix).dead_letters):
        letter = summary_of(record)
        if customer_id not in (None, letter["customer_id"]) or reason not in (
            None,
            letter["reason"],
        ):
            continue
        entry = ((record.timestamp_ms, record.partition, record.offset), letter)
        if len(kept) < limit:
            heapq.heappush(kept, entry)
        else:
            heapq.heappushpop(kept, entry)
    return [letter for _, letter in sorted(kept, key=lambda entry: entry[0])]


async def _at(partition: int, offset: int) -> "Record | None":
    from hookseal.config import load
    from hookseal.kafka.reader import read_all
    from hookseal.kafka.topics import TopicNames, partition_count

    settings = load()
    if partition >= await partition_count(settings.cluster):
        return None
    records = read_all(
        settings.cluster, TopicNames(settings.topic_prefix).dead_letters, partition=partition
    )
    found = [record async for record in records if record.offset == offset]
    return found[0] if found else None
