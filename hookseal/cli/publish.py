"""`hookseal publish`: put events on the log, one or a file of them."""

from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from hookseal.cli import ui
from hookseal.cli.options import AsJson
from hookseal.errors import HooksealError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from hookseal.cli.publish_batches import BatchPublisher
    from hookseal.config import Settings
    from hookseal.domain.new_event import NewEvent, NewEventReader

# Seconds for which a batch is sent again to an API that cannot take it now.
_PATIENCE_S = 60.0


def publish(
    file: Annotated[
        Path | None,
        typer.Argument(help="Events, one JSON object a line; `-` is stdin.", show_default=False),
    ] = None,
    *,
    customer: Annotated[
        str | None, typer.Option(help="Customer id of events that name none.")
    ] = None,
    event_type: Annotated[
        str | None, typer.Option("--type", help="Type of events that name none.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Publish one event with these data, JSON.")
    ] = None,
    event_id: Annotated[str | None, typer.Option("--id", help="Id of that one event.")] = None,
    broadcast: Annotated[
        bool, typer.Option("--broadcast", help="For every tenant that subscribes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put events on the log, by the API if HOOKSEAL_API_URL names one; data keep their bytes.

    A line is `{"customer_id": …, "type": …, "data": …, "id": …, "timestamp": …}`, of which
    only the data must be there if --customer and --type are given. Publishing stops at the
    first line that is refused.
    """
    from hookseal.config import EVENT_BYTES_MAX, load
    from hookseal.domain.new_event import NewEventReader

    if (file is None) == (data is None) or (event_id is not None and data is None):
        raise InvalidInputError(
            "arguments_conflict", "Give a file (`-` is stdin), or --data for one event."
        )
    settings = load()
    # How large an event may be, the API knows.
    reader = NewEventReader(EVENT_BYTES_MAX, customer, event_type, "every" if broadcast else "none")
    if file is not None:
        ui.run(_publish_file(settings, reader, file, as_json=as_json))
        return
    draft = reader.draft(
        data=_checked_data(data or ""), event_id=event_id, spare_id=_spare_id(reader)
    )
    ui.run(_publish_one(settings, reader, draft, as_json=as_json))


def _spare_id(reader: "NewEventReader") -> str | None:
    # Derived from where it stands it would differ from partition to partition.
    return None if reader.broadcast == "none" else f"evt_{uuid4().hex}"


def _checked_data(text: str) -> bytes:
    from hookseal.domain.json_text import validate

    content = text.encode("utf-8", "surrogateescape")
    validate(content)
    return content


@asynccontextmanager
async def _publisher(settings: "Settings", *, broadcast: bool) -> "AsyncIterator[BatchPublisher]":
    from hookseal.cli.api_session import client, key_of
    from hookseal.cli.publish_batches import BatchPublisher
    from hookseal.errors import ConfigurationError
    from hookseal.seal.api_keys import TENANT_PREFIX

    if broadcast and settings.api_url and key_of(settings).startswith(TENANT_PREFIX):
        # The API would take it for an event for the key's own tenant.
        raise ConfigurationError(
            "admin_only",
            "Only the operator's admin key may publish to every tenant.",
            field="HOOKSEAL_API_KEY",
        )
    async with (
        client(settings, parts=frozenset({"events"}), timeout_s=_PATIENCE_S) as api,
        BatchPublisher(api) as events,
    ):
        yield events


async def _publish_one(
    settings: "Settings", reader: "NewEventReader", draft: "NewEvent", *, as_json: bool
) -> None:
    async with _publisher(settings, broadcast=reader.broadcast == "every") as events:
        await events.put_alone(draft)
    _report(events, as_json=as_json)


async def _publish_file(
    settings: "Settings", reader: "NewEventReader", file: Path, *, as_json: bool
) -> None:
    events: BatchPublisher | None = None
    try:
        async with _publisher(settings, broadcast=reader.broadcast == "every") as events:
            async with aclosing(_drafts(reader, file)) as drafts:
                async for number, draft in drafts:
                    await events.put(number, draft)
            await events.drain()
    finally:
        if events is not None:
            _report(events, as_json=as_json)


async def _drafts(reader: "NewEventReader", file: Path) -> "AsyncGenerator[tuple[int, NewEvent]]":
    """Yield the events of a file, each with the number of its line, from 1."""
    from hookseal.cli.lines import lines_of, size_of

    number = 1
    with ui.progress() as progress:
        task = progress.add_task("Publishing (bytes)", total=size_of(file))
        try:
            async for line in lines_of(file):
                progress.advance(task, len(line))
                if line.strip():
                    yield number, reader.read(line, spare_id=_spare_id(reader))
                number += 1
        except InvalidInputError as error:
            raise _at_line(error, number) from None


def _at_line(error: HooksealError, number: int) -> HooksealError:
    place = f"line {number}" if error.field is None else f"line {number}, {error.field}"
    return type(error)(error.code, error.message, field=place)


def _report(events: "BatchPublisher", *, as_json: bool) -> None:
    partitions = dict(sorted(events.acknowledged.items()))
    records = sum(partitions.values())
    if as_json:
        report: dict[str, Any] = {
            "records": records,
            "partitions": {str(partition): count for partition, count in partitions.items()},
        }
        if records == 1 and events.last is not None:
            report["position"] = events.last._asdict()
        ui.json(report)
        return
    listing = ", ".join(f"partition {number}: {count}" for number, count in partitions.items())
    ui.print_line(f"Published {records} record(s){f' ({listing})' if listing else ''}")
