"""`hookseal worker`: become a Faust worker, or supervise several."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hookseal.errors import ConfigurationError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hookseal.config import Settings


def worker(
    context: typer.Context,
    processes: Annotated[
        str,
        typer.Option(metavar="N|auto", help="Processes on this host; `auto` = one per usable CPU."),
    ] = "1",
) -> None:
    """Deliver events: become `faust -A streams.app worker`, with the same arguments.

    Workers share the partitions among themselves. With `--processes` one command starts several
    workers, stops them, and restarts those that end by themselves.
    """
    from hookseal.config import load
    from hookseal.environment import usable_folder

    count = process_count(processes)
    settings = load()
    settings.master_key_bytes()
    usable_folder(settings.data_dir)
    # The `faust` of this environment: another one would import another Faust.
    faust = Path(sys.executable).with_name("faust")
    if not faust.exists():
        raise ConfigurationError(
            "faust_missing",
            "There is no `faust` beside this Python. Install hookseal into this environment.",
        )
    command = [str(faust), "-A", "streams.app", "worker", *context.args]
    if count > 1:
        raise typer.Exit(_supervise(count, command, settings))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(faust, command)  # noqa: S606


def _supervise(count: int, command: list[str], settings: "Settings") -> int:
    import asyncio
    import logging.config

    from hookseal.cli.supervisor import Supervisor
    from hookseal.telemetry.logs import logging_config

    logging.config.dictConfig(logging_config(settings.log_level, settings.log_format))
    return asyncio.run(Supervisor(command, environments(os.environ, settings, count)).run())


def process_count(processes: str) -> int:
    """Return the number of processes that `--processes` asks for.

    Raises:
        InvalidInputError: `processes_invalid`.
    """
    if processes == "auto":
        # Python cannot see the CPU limit of a container.
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1
    if not (processes.isascii() and processes.isdigit() and int(processes) > 0):
        raise InvalidInputError(
            "processes_invalid", "Give `auto` or a number from 1.", field="--processes"
        )
    return int(processes)


def environments(
    shell: "Mapping[str, str]", settings: "Settings", count: int
) -> list[dict[str, str]]:
    """Return the environments of `count` workers on one host, from that of the command."""
    found = []
    for number in range(count):
        # RocksDB locks its files.
        own = {"HOOKSEAL_DATA_DIR": str(settings.data_dir / f"worker-{number}")}
        if settings.group_instance_id:
            # Kafka fences a member whose name another member takes.
            own["HOOKSEAL_GROUP_INSTANCE_ID"] = f"{settings.group_instance_id}-{number}"
        if settings.metrics_port is not None:
            own["HOOKSEAL_METRICS_PORT"] = str(settings.metrics_port + number)
        found.append({**shell, **own})
    return found
