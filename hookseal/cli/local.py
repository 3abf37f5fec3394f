"""`hookseal local`: API and delivery in one process, without Kafka."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from hookseal.cli import ui


def local(
    *,
    queue: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="`memory://`, or `redis://host:6379/0`; HOOKSEAL_QUEUE_URL when not given.",
        ),
    ] = None,
    ordering: Annotated[
        Literal["unordered", "customer", "sequential"] | None,
        typer.Option(
            help="Who waits for whom: nobody, a customer's events, or all of them.",
            show_default="unordered",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address the API listens on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 is any that is free.")] = 8000,
    spool: Annotated[
        Path | None,
        typer.Option(
            help="With memory://: write what is left to this file at the end, and read it when "
            "started again."
        ),
    ] = None,
) -> None:
    """Serve the API and deliver in one process, from memory or a Redis; no Kafka.

    For a laptop or a small installation. Several processes may share one Redis.
    """
    if queue is not None:
        # Not as an argument: a password in it would be in every list of processes.
        os.environ["HOOKSEAL_QUEUE_URL"] = queue
    from hookseal.local.runtime.run import run

    run(
        host=host,
        port=port,
        ordering=ordering,
        spool=spool,
        on_ready=lambda url: ui.print_line(f"The API answers at {url} until Ctrl-C"),
        note=lambda text: ui.err.print(text, style="dim"),
    )
