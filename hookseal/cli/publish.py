"""`hookseal publish`: publish one event, or a file of events."""

import asyncio
import os
import stat
from contextlib import aclosing
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from hookseal.cli import ui
from hookseal.cli.api_session import client, is_tenant_key
from hookseal.cli.options import AsJson, open_file
from hookseal.errors import ConfigurationError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from hookseal.cli.batch_publisher import BatchPublisher
    from hookseal.config import Settings
    from hookseal.domain.new_event import NewEvent, NewEventReader

LINE_MAX_BYTES = 1024 * 1024
# Seconds for which a batch is retried.
_RETRY_S = 60.0


def publish(
    file: Annotated[
        Path | None,
        typer.Argument(help="Events, one JSON object per line; `-` is stdin.", show_default=False),
    ] = None,
    *,
    customer: Annotated[str | None, typer.Option(help="Default customer id.")] = None,
    event_type: Annotated[str | None, typer.Option("--type", help="Default event type.")] = None,
    data: Annotated[str | None, typer.Option(help="Data of one event, as JSON.")] = None,
    event_id: Annotated[str | None, typer.Option("--id", help="Id of the --data event.")] = None,
    broadcast: Annotated[
        bool, typer.Option("--broadcast", help="For all subscribed tenants.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Publish events, over the API at HOOKSEAL_API_URL if it is set. Data keeps its bytes.

    A line is `{"customer_id": …, "type": …, "data": …, "id": …, "timestamp": …, "expires_at": …}`.
    Only the data is required if --customer and --type are given. Publishing stops at the first line
    that is refused.
    """
    from hookseal.config import EVENT_BYTES_MAX, load
    from hookseal.domain.json_text import validate
    from hookseal.domain.new_event import NewEventReader

    if (file is None) == (data is None) or (event_id is not None and data is None):
        raise InvalidInputError("arguments_conflict", "Give a file (`-` is stdin), or --data.")
    settings = load()
    # The API checks the configured size limit.
    reader = NewEventReader(EVENT_BYTES_MAX, customer, event_type, "every" if broadcast else "none")
    if file is not None:
        ui.run(_publish(settings, reader, file, as_json=as_json))
        return
    content = (data or "").encode("utf-8", "surrogateescape")
    validate(content)
    event = reader.draft(data=content, event_id=event_id, spare_id=_spare_id(reader))
    ui.run(_publish(settings, reader, event, as_json=as_json))


async def _publish(
    settings: "Settings", reader: "NewEventReader", source: "NewEvent | Path", *, as_json: bool
) -> None:
    """Publish one event, or the file at a path."""
    from hookseal.cli.batch_publisher import BatchPublisher

    if reader.broadcast == "every" and is_tenant_key(settings):
        # The API would publish it to the tenant of the key.
        raise ConfigurationError(
            "admin_only",
            "Only the operator's admin key may publish to every tenant.",
            field="HOOKSEAL_API_KEY",
        )
    async with client(settings, parts=frozenset({"events"}), timeout_s=_RETRY_S) as api:
        events = BatchPublisher(api)
        if not isinstance(source, Path):
            await events.put_alone(source)
            _report(events, as_json=as_json)
            return
        try:
            async with events, aclosing(_events(reader, source)) as found:
                async for number, event in found:
                    await events.put(number, event)
                await events.drain()
        finally:
            _report(events, as_json=as_json)


def _spare_id(reader: "NewEventReader") -> str | None:
    # An id derived from partition and offset would differ between the copies of a broadcast.
    return None if reader.broadcast == "none" else f"evt_{uuid4().hex}"


async def _events(reader: "NewEventReader", file: Path) -> "AsyncGenerator[tuple[int, NewEvent]]":
    """Yield the events of a file with their line numbers, counted from 1."""
    number = 1
    with ui.progress() as progress:
        task = progress.add_task("Publishing (bytes)", total=file_size(file))
        try:
            async for line in read_lines(file):
                progress.advance(task, len(line))
                if line.strip():
                    yield number, reader.read(line, spare_id=_spare_id(reader))
                number += 1
        except InvalidInputError as error:
            field = f"line {number}" if error.field is None else f"line {number}, {error.field}"
            raise type(error)(error.code, error.message, field=field) from None


def _report(events: "BatchPublisher", *, as_json: bool) -> None:
    partitions = dict(sorted(events.acknowledged.items()))
    records = sum(partitions.values())
    if as_json:
        report: dict[str, Any] = {
            "records": records,
            "partitions": {str(partition): count for partition, count in partitions.items()},
        }
        if events.events == 1:
            report["id"] = events.last_id
        if records == 1 and events.last is not None:
            report["position"] = events.last._asdict()
        ui.json(report)
        return
    listing = ", ".join(f"partition {number}: {count}" for number, count in partitions.items())
    ui.print_line(f"Published {records} record(s){f' ({listing})' if listing else ''}")
    if events.events == 1:
        ui.print_line(f"Event id: {events.last_id}")


async def read_lines(path: Path) -> "AsyncIterator[bytes]":
    """Yield the lines of a file without blocking the event loop; `-` is stdin.

    Raises:
        ConfigurationError: `file_not_read`.
        InvalidInputError: `line_too_long`.
    """
    with open_file(path) as file:
        if not _may_block(file):
            while line := file.readline(LINE_MAX_BYTES + 1):
                if len(line) > LINE_MAX_BYTES:
                    raise _too_long()
                yield line
            return
        # A blocking read of a slow pipe would stop the publishing of earlier lines.
        reader = asyncio.StreamReader(limit=LINE_MAX_BYTES)
        # The transport closes its file, but stdin must stay open: give it a duplicate.
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(file.fileno()), "rb")
        )
        try:
            while line := await reader.readline():
                yield line
        except ValueError:
            raise _too_long() from None
        finally:
            transport.close()
            # The shell needs a blocking terminal afterwards.
            os.set_blocking(file.fileno(), True)


def _may_block(file: "IO[bytes]") -> bool:
    try:
        mode = os.fstat(file.fileno()).st_mode
    except OSError:
        # A file object of a test.
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(file.fileno())


def file_size(path: Path) -> int | None:
    """Return the size in bytes; None if it is not a regular file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _too_long() -> InvalidInputError:
    return InvalidInputError("line_too_long", f"A line has at most {LINE_MAX_BYTES:,} bytes.")
