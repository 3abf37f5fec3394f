"""Arguments and options that several commands share."""

from typing import Annotated

import typer

from hookseal.errors import ConfigurationError

Customer = Annotated[str, typer.Argument(help="Customer id.", show_default=False)]
Timeout = Annotated[
    float, typer.Option(min=0.1, help="Seconds to wait until a worker applied the change.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def missing_extra(error: ImportError, extra: str) -> ConfigurationError:
    """Return the error for an optional dependency that is not installed."""
    return ConfigurationError(
        "extra_missing", f"{error.name} is not installed; install `hookseal[{extra}]`.", field=extra
    )
