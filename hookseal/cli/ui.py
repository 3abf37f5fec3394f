"""Output of the commands: consoles, tables, errors, progress, exit codes."""

from __future__ import annotations

import asyncio
import os
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from hookseal.errors import ConfigurationError, ConflictError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from hookseal.errors import HooksealError

# Without a file, Rich looks up the stream at each write, so tests can capture it.
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_T = TypeVar("_T")
_COLUMN_MIN = 12
_SETTINGS_CODES = frozenset({"settings_invalid", "settings_unknown", "master_key_wrong"})


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run the asynchronous part of a command."""
    return asyncio.run(work)


def exit_code_of(error: HooksealError) -> int:
    """Return 2 for refused input, 78 for a wrong or missing setting, 1 for a failure."""
    names_setting = (error.field or "").startswith("HOOKSEAL_")
    # `admin_only`: the setting is right, but its key lacks the right to run this command.
    if error.code in _SETTINGS_CODES or (
        isinstance(error, ConfigurationError) and names_setting and error.code != "admin_only"
    ):
        # As for workers: a service manager must not restart the process.
        return os.EX_CONFIG
    return 2 if isinstance(error, InvalidInputError | ConfigurationError | ConflictError) else 1


def print_error(error: HooksealError) -> None:
    """Print `code (field): message` on stderr, in one line."""
    line = Text(printable(" ".join(str(error).split())))
    line.stylize("bold red", 0, len(error.code))
    err.print(line, soft_wrap=True)


def print_line(text: str | Text = "") -> None:
    """Print a line on stdout without markup and wrapping."""
    out.print(Text(text) if isinstance(text, str) else text, soft_wrap=True)


def print_addresses(url: str) -> None:
    """Print where a process serves the API, the console and the reference."""
    print_line(f"The API answers at {url} until Ctrl-C")
    print_line(f"Console: {url}/console")
    print_line(f"API reference: {url}/docs")


def json(data: Any) -> None:
    """Print data as JSON."""
    out.file.write(orjson.dumps(data, option=orjson.OPT_INDENT_2).decode() + "\n")
    out.file.flush()


def result(data: Any, text: str, *, as_json: bool) -> None:
    """Print the result of a command, as JSON or as text."""
    if as_json:
        json(data)
    else:
        print_line(text)


def printable(text: str) -> str:
    """Return the text with control characters escaped, as they could steer a terminal."""
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "backslashreplace").decode()
        for character in text
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table on a terminal, and aligned columns of full width elsewhere.

    A terminal too narrow for that many columns gets one line per cell.
    """
    cells = [[printable("" if cell is None else str(cell)) for cell in row] for row in rows]
    numeric = [
        bool(rows) and all(row[at] is None or isinstance(row[at], int | float) for row in rows)
        for at in range(len(columns))
    ]
    lines = [list(columns), *cells]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    if not out.is_terminal:
        for line in lines:
            padded = (
                cell.rjust(width) if is_numeric else cell.ljust(width)
                for cell, width, is_numeric in zip(line, widths, numeric, strict=True)
            )
            print_line("  ".join(padded).rstrip())
    elif out.width < min(sum(widths) + len(widths), _COLUMN_MIN * len(widths)):
        for row in cells:
            for name, cell in zip(columns, row, strict=True):
                print_line(f"{name:<{max(map(len, columns))}}  {cell}")
            print_line()
    else:
        drawn = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        for column, is_numeric in zip(columns, numeric, strict=True):
            drawn.add_column(column, overflow="fold", justify="right" if is_numeric else "left")
        for row in cells:
            drawn.add_row(*map(Text, row))
        out.print(drawn)


def working(text: str) -> AbstractContextManager[object]:
    """Show a spinner on a terminal."""
    return err.status(text) if err.is_terminal else nullcontext()


def progress() -> Progress:
    """Return a progress bar on stderr, which draws only on a terminal."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
