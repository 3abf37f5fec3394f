"""A file or stdin, line by line, without holding up what is under way."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from hookseal.errors import ConfigurationError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

__all__ = ["LINE_MAX_BYTES", "lines_of", "size_of"]

LINE_MAX_BYTES = 1024 * 1024


async def lines_of(path: Path) -> AsyncIterator[bytes]:
    """Yield the lines of a file; `-` is stdin.

    Raises:
        ConfigurationError: `file_not_read`.
        InvalidInputError: `line_too_long`.
    """
    with _opened(path) as file:
        if not _may_wait(file):
            while line := file.readline(LINE_MAX_BYTES + 1):
                if len(line) > LINE_MAX_BYTES:
                    raise _too_long()
                yield line
            return
        # A pipe whose writer takes its time must not keep what was read from being
        # published: a blocking read would stop the loop.
        reader = asyncio.StreamReader(limit=LINE_MAX_BYTES)
        # The transport closes what it is given: a duplicate, since stdin is not ours.
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(file.fileno()), "rb")
        )
        try:
            while line := await _line(reader):
                yield line
        finally:
            transport.close()
            # A terminal that stays non-blocking would trouble the shell after us.
            os.set_blocking(file.fileno(), True)


def size_of(path: Path) -> int | None:
    """Return a file's size in bytes, or None where it has none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError:
        raise _too_long() from None


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConfigurationError(
            "file_not_read", f"The file cannot be read: {error.strerror}.", field=str(path)
        ) from None
    with file:
        yield file


def _may_wait(file: IO[bytes]) -> bool:
    try:
        mode = os.fstat(file.fileno()).st_mode
    except OSError:
        # Not of the operating system: a test's.
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(file.fileno())


def _too_long() -> InvalidInputError:
    return InvalidInputError("line_too_long", f"A line has at most {LINE_MAX_BYTES} bytes.")
