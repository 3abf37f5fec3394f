"""`hookseal demo`: all of it at work, on one machine, in half a minute."""

import signal
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from hookseal.cli import ui
from hookseal.cli.options import AsJson, missing_extra
from hookseal.errors import ConfigurationError

__all__ = ["demo"]


def demo(
    *,
    events: Annotated[int, typer.Option(min=30, max=1_000_000, help="Events to publish.")] = 300,
    workers: Annotated[int, typer.Option(min=1, max=6, help="Worker processes.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="The same one makes the same events.")] = 1,
    logs: Annotated[
        Path | None, typer.Option(help="New folder to keep the workers' logs in.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show it: six tenants, one of them down, one failing now and then; then check it.

    Starts real workers on the cluster that HOOKSEAL_KAFKA_BOOTSTRAP names, or else on an embedded
    broker, makes tenants with keys of different kinds, publishes,
    receives, opens. The summary is checked against what the receivers got and what stands
    on the dead-letters topic; the exit code is 0 only if all of it holds.
    """
    try:
        from hookseal.cli.demo.run import run_demo
    except ImportError as error:
        raise missing_extra(error, "receiver") from None
    from hookseal.cli.demo.summary import as_document, say_summary
    from hookseal.kafka.broker import start_broker

    if logs is not None:
        _make(logs)
    began_s = time.monotonic()
    # So that a polite kill cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, _as_interrupt)
    with (
        tempfile.TemporaryDirectory(prefix="hookseal-demo-") as folder,
        start_broker() as running,
    ):
        performance = ui.run(
            run_demo(
                running,
                logs or Path(folder),
                events=events,
                workers=workers,
                seed=seed,
                began_s=began_s,
            )
        )
    if as_json:
        ui.json(as_document(performance))
    else:
        say_summary(performance)
    if not all(claim.holds for claim in performance.claims):
        if logs is None:
            ui.err.print("Run it again with --logs FOLDER to see what the workers say.")
        raise typer.Exit(1)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise ConfigurationError(
            "folder_not_made", f"The folder cannot be made: {error.strerror}.", field=str(folder)
        ) from None


def _as_interrupt(_: int, __: FrameType | None) -> None:
    signal.raise_signal(signal.SIGINT)
