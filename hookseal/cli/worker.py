"""`hookseal worker`: become a Faust worker."""

import os
import sys
from pathlib import Path

import typer

from hookseal.errors import ConfigurationError

__all__ = ["worker"]


def worker(context: typer.Context) -> None:
    """Deliver: become `faust -A streams.app worker`, with the same arguments.

    Start as many as there is work for; they share the partitions among themselves.
    """
    from hookseal.config import load

    load().master_key_bytes()
    # Of this very environment: another one's would bring another Faust.
    faust = Path(sys.executable).with_name("faust")
    if not faust.exists():
        raise ConfigurationError(
            "faust_missing",
            "There is no `faust` beside this Python; install hookseal into this environment.",
        )
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(faust, [str(faust), "-A", "streams.app", "worker", *context.args])  # noqa: S606
