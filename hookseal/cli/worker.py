"""`hookseal worker`: become a Faust worker, or look after several."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hookseal.errors import ConfigurationError, InvalidInputError

if TYPE_CHECKING:
    from hookseal.config import Settings

__all__ = ["how_many", "worker"]


def worker(
    context: typer.Context,
    processes: Annotated[
        str,
        typer.Option(
            metavar="N|auto",
            help="Processes on this host; `auto` is one for each CPU that this one may use.",
        ),
    ] = "1",
) -> None:
    """Deliver: become `faust -A streams.app worker`, with the same arguments.

    Start as many as there is work for; they share the partitions among themselves. With
    `--processes` one command starts several, ends them, and starts again what ends by itself.
    """
    from hookseal.config import load

    count = how_many(processes)
    settings = load()
    settings.master_key_bytes()
    # Of this very environment: another one's would bring another Faust.
    faust = Path(sys.executable).with_name("faust")
    if not faust.exists():
        raise ConfigurationError(
            "faust_missing",
            "There is no `faust` beside this Python; install hookseal into this environment.",
        )
    command = [str(faust), "-A", "streams.app", "worker", *context.args]
    if count > 1:
        raise typer.Exit(_look_after(count, command, settings))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(faust, command)  # noqa: S606


def _look_after(count: int, command: list[str], settings: "Settings") -> int:
    import asyncio
    import logging.config

    from hookseal.cli.supervisor import Supervisor
    from hookseal.cli.worker_env import environments, make_folder
    from hookseal.telemetry.logs import logging_config

    logging.config.dictConfig(logging_config(settings.log_level, settings.log_format))
    make_folder(settings.data_dir)
    return asyncio.run(Supervisor(command, environments(os.environ, settings, count)).run())


def how_many(processes: str) -> int:
    """Return the number of processes that `--processes` asks for.

    Raises:
        InvalidInputError: `processes_invalid`.
    """
    if processes == "auto":
        return _usable_cpus()
    if not (processes.isascii() and processes.isdigit() and int(processes) > 0):
        raise InvalidInputError(
            "processes_invalid", "Give a number from 1 on, or `auto`.", field="--processes"
        )
    return int(processes)


def _usable_cpus() -> int:
    # What a container's CPU limit leaves of them is not told here, or anywhere.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
