"""`hookseal local`: API and delivery in one process, without Kafka."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from hookseal.cli import ui
from hookseal.cli.options import Host, Port


def local(
    *,
    queue: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="`memory://` or `redis://host:6379/0`; by default HOOKSEAL_QUEUE_URL.",
        ),
    ] = None,
    ordering: Annotated[
        Literal["customer", "endpoint", "key", "unordered", "sequential"] | None,
        typer.Option(
            help="Ordering mode; `sequential` delivers one event after the other.",
            show_default="customer",
        ),
    ] = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    spool: Annotated[
        Path | None,
        typer.Option(help="With memory://, file that keeps undelivered events between runs."),
    ] = None,
) -> None:
    """Serve the API and deliver events in one process, from memory or Redis, without Kafka.

    For a laptop or a small installation. Several processes may share one Redis.
    """
    if queue is not None:
        # Not as an argument: the process list would show a password in it.
        os.environ["HOOKSEAL_QUEUE_URL"] = queue
    from hookseal.local.runtime.run import run

    run(
        host=host,
        port=port,
        ordering=ordering,
        spool=spool,
        on_ready=ui.print_addresses,
        note=lambda text: ui.err.print(text, style="dim"),
    )
