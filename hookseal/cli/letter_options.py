"""How the commands of dead letters say which ones are meant, and where they look."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hookseal.cli import ui

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.progress import Progress

    from hookseal.config import Settings
    from hookseal.dead_letters.index import LetterIndex
    from hookseal.domain.letter_filter import LetterFilter

__all__ = [
    "Category",
    "Customer",
    "Endpoint",
    "EventType",
    "Reason",
    "SetAside",
    "Since",
    "Status",
    "Until",
    "asked_of",
    "followed",
    "letter_filter",
    "reading_bar",
]

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

_QUIET_S = 2.0


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


@asynccontextmanager
async def followed(settings: "Settings") -> AsyncIterator["LetterIndex"]:
    """Yield the index of dead letters, at the end of its topics.

    Raises:
        BrokerError: `broker_unreachable`, `topic_missing`.
        ConfigurationError: `index_unusable`.
    """
    from hookseal.dead_letters.index import LetterIndex

    index = LetterIndex(settings.cluster, settings.data_dir)
    try:
        await index.start()
        with ui.progress() as bar:
            await index.catch_up(on_progress=reading_bar(bar))
        yield index
    finally:
        await index.close()


class reading_bar:  # noqa: N801 - used like the function it would be
    """Draws a bar once reading has taken longer than a moment."""

    def __init__(self, bar: "Progress") -> None:
        self._bar = bar
        self._began = time.monotonic()
        self._task: Any = None

    def __call__(self, done: int, total: int) -> None:
        """Note how many records are read, and of how many."""
        if self._task is None:
            if time.monotonic() - self._began < _QUIET_S:
                return
            self._task = self._bar.add_task("Reading the dead letters", total=total)
        self._bar.update(self._task, completed=done, total=total)
