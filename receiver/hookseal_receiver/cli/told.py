"""Prints errors for a person."""

import functools
from collections.abc import Callable
from typing import ParamSpec

import typer

from hookseal_receiver.errors import ReceiverError

_P = ParamSpec("_P")
_REFUSED = 2


def told(command: Callable[_P, None]) -> Callable[_P, None]:
    """Print a receiver error as one line on stderr, and exit with code 2."""

    @functools.wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except ReceiverError as error:
            typer.echo(visible(str(error)), err=True)
            raise typer.Exit(_REFUSED) from None

    return run


def visible(text: str) -> str:
    """Return the text with control characters escaped."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
