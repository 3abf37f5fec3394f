"""Arguments and options that several commands share, and the files they name."""

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Annotated

import typer

from hookseal.errors import ConfigurationError

Customer = Annotated[str, typer.Argument(help="Customer id.", show_default=False)]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for a worker.")]
Host = Annotated[str, typer.Option(help="Address of the API.")]
Port = Annotated[int, typer.Option(min=0, max=65_535, help="Port of the API; 0 = any free one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def missing_extra(error: ImportError, extra: str) -> ConfigurationError:
    """Return the error for an optional dependency that is not installed."""
    return ConfigurationError(
        "extra_missing", f"{error.name} is not installed; install `hookseal[{extra}]`.", field=extra
    )


def open_file(path: Path) -> AbstractContextManager[IO[bytes]]:
    """Open a file for reading; `-` is stdin, which stays open afterwards.

    Raises:
        ConfigurationError: `file_not_read`.
    """
    if str(path) == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return path.open("rb")
    except OSError as error:
        raise ConfigurationError(
            "file_not_read", f"Cannot read the file: {error.strerror}.", field=str(path)
        ) from None


def create_folder(folder: Path, *, field: str) -> None:
    """Create a folder that does not exist yet, for this user only, and its parents.

    Raises:
        ConfigurationError: `folder_not_made`, for this field.
    """
    try:
        folder.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise ConfigurationError(
            "folder_not_made",
            f"Cannot create the folder: {error.strerror}. Name another one.",
            field=field,
        ) from None
