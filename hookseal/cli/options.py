"""Arguments and options that several commands share, and how their text is read."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hookseal.domain.endpoint import check_event_types, check_retry_delays
from hookseal.domain.endpoint_headers import check_headers
from hookseal.domain.endpoint_url import check_url
from hookseal.errors import (
    ConfigurationError,
    InvalidHeaderError,
    InvalidInputError,
)

if TYPE_CHECKING:
    from hookseal.config import Settings

__all__ = [
    "AsJson",
    "Customer",
    "Timeout",
    "checked_url",
    "missing_extra",
    "parse_event_types",
    "parse_headers",
    "parse_retry_delays",
    "read_small",
]

Customer = Annotated[str, typer.Argument(help="Customer id.", show_default=False)]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for a worker.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_SMALL_MAX_BYTES = 64 * 1024


def missing_extra(error: ImportError, extra: str) -> ConfigurationError:
    """Return the error for a program that was installed without an extra it needs now."""
    return ConfigurationError(
        "extra_missing", f"{error.name} is not installed; install `hookseal[{extra}]`.", field=extra
    )


def read_small(path: Path) -> bytes:
    """Return a small file's content; `-` is stdin.

    Raises:
        ConfigurationError: `file_not_read`.
        InvalidInputError: `file_too_large`.
    """
    try:
        if str(path) == "-":
            content = sys.stdin.buffer.read(_SMALL_MAX_BYTES + 1)
        else:
            with path.open("rb") as file:
                content = file.read(_SMALL_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(
            "file_not_read", f"The file cannot be read: {error.strerror}.", field=str(path)
        ) from None
    if len(content) > _SMALL_MAX_BYTES:
        raise InvalidInputError(
            "file_too_large", f"At most {_SMALL_MAX_BYTES} bytes are read.", field=str(path)
        )
    return content


def checked_url(raw: str, settings: "Settings") -> str:
    """Return the canonical form of an endpoint's URL.

    Raises:
        InvalidUrlError: As `check_url`, with what the operator allows.
    """
    return check_url(
        raw,
        allow_http=settings.egress_allow_http,
        allow_ports=settings.egress_allow_ports,
        allow_cidrs=settings.egress_allow_cidrs,
        own_hosts=frozenset(),
    )


def parse_event_types(text: str) -> tuple[str, ...]:
    """Return the patterns of `order.*,invoice.paid`.

    Raises:
        InvalidCommandError: `event_types_invalid`.
    """
    return check_event_types(tuple(part.strip() for part in text.split(",")))


def parse_headers(lines: list[str]) -> dict[str, str]:
    """Return the custom headers of `Name: value` lines.

    Raises:
        InvalidHeaderError: As `check_headers`; `header_name` where a line has no colon or
            a name comes twice.
    """
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise InvalidHeaderError(
                "header_name", "Write a header as `Name: value`.", field="headers"
            )
        if name in headers:
            raise InvalidHeaderError("header_name", f"Give {name} once.", field="headers")
        headers[name] = value
    return check_headers(headers)


def parse_retry_delays(text: str | None) -> tuple[float, ...] | None:
    """Return the waits of `1,2,4`, in seconds.

    Raises:
        InvalidCommandError: `retry_delays_invalid`.
    """
    if text is None:
        return None
    try:
        delays_s = tuple(float(part) for part in text.split(","))
    except ValueError:
        delays_s = (-1.0,)
    return check_retry_delays(delays_s)
