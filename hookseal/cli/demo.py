"""`hookseal demo`: show and check everything on one machine, in half a minute."""

import signal
import tempfile
import time
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.text import Text

from hookseal.cli import ui
from hookseal.cli.options import AsJson, create_folder, missing_extra

# Seconds for which the demo waits until a worker applied a change to a tenant.
_READY_S = 90.0
_FAULTS_SHOWN = 5
_CHARACTERS_SHOWN = 60
_COLUMNS = {
    "partition": "p",
    "customer_id": "tenant",
    "key": "key",
    "receiver": "receiver",
    "published": "published",
    "accepted": "accepted",
    "dead_lettered": "dead",
    "retried": "retried",
    "repeated": "repeats",
}


def demo(
    *,
    events: Annotated[int, typer.Option(min=30, max=1_000_000, help="Events to publish.")] = 300,
    workers: Annotated[int, typer.Option(min=1, max=6, help="Worker processes.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Decides the events and failures.")] = 1,
    logs: Annotated[Path | None, typer.Option(help="New folder for the workers' logs.")] = None,
    as_json: AsJson = False,
) -> None:
    """Deliver events to six tenants, one down and one flaky, and check the result.

    The demo starts real workers on the cluster at HOOKSEAL_KAFKA_BOOTSTRAP, or on an embedded
    broker if it is not set. It creates tenants with different kinds of keys, publishes events,
    receives, verifies and decrypts them. Then it compares what the receivers got with the
    dead-letter topic. The exit code is 0 only if every claim holds.
    """
    try:
        from hookseal.demo.run import run_demo
    except ImportError as error:
        raise missing_extra(error, "receiver") from None
    from hookseal.cli.api_session import client
    from hookseal.kafka.broker import start_broker

    if logs is not None:
        create_folder(logs, field=str(logs))
    began_s = time.monotonic()
    # SIGTERM cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, _interrupt)
    with (
        tempfile.TemporaryDirectory(prefix="hookseal-demo-") as folder,
        start_broker() as broker,
    ):
        document = ui.run(
            run_demo(
                broker,
                partial(client, timeout_s=_READY_S),
                logs or Path(folder),
                events=events,
                workers=workers,
                seed=seed,
                began_s=began_s,
            )
        )
    if as_json:
        ui.json(document)
    else:
        _print_result(document)
    if not all(claim["holds"] for claim in document["claims"]):
        if logs is None:
            ui.err.print("Run the demo again with --logs FOLDER to keep the workers' logs.")
        raise typer.Exit(1)


def _interrupt(_: int, __: FrameType | None) -> None:
    signal.raise_signal(signal.SIGINT)


def _print_result(document: dict[str, Any]) -> None:
    ui.table(
        list(_COLUMNS.values()),
        [[row[name] for name in _COLUMNS] for row in document["tenants"]],
    )
    for worker in document["workers"]:
        partitions = ", ".join(map(str, worker["partitions"]))
        ui.print_line(f"{worker['name']}: {worker['attempts']} attempts, partitions {partitions}")
    if (request := document["sealed"]) is not None:
        _print_request(request)
    if (letter := document["dead_letter"]) is not None:
        ui.print_line(f"\nThe dead letter {letter['id']}:")
        for name, value in letter["headers"].items():
            ui.print_line(f"  hookseal-{name}: {ui.printable(value)}")
        ui.print_line(f"  {ui.printable(letter['value'])}")
    ui.print_line()
    for claim in document["claims"]:
        line = Text("holds  " if claim["holds"] else "FAILS  ")
        line.stylize("bold green" if claim["holds"] else "bold red")
        ui.print_line(line.append(claim["text"], "default"))
        for fault in claim["faults"][:_FAULTS_SHOWN]:
            ui.print_line(f"       {ui.printable(fault)}")
        if (more := len(claim["faults"]) - _FAULTS_SHOWN) > 0:
            ui.print_line(f"       and {more} more")
    failed = ", ".join(claim["code"] for claim in document["claims"] if not claim["holds"])
    ui.print_line(
        f"\n{document['published']} events in {document['seconds']} s, including start and stop, "
        f"on the {document['broker']} broker. "
        + (f"Failed claims: {failed}." if failed else "All claims hold.")
    )


def _print_request(request: dict[str, Any]) -> None:
    ui.print_line(f"\nA request to {request['customer_id']} ({request['key']}):")
    for name, value in request["body"].items():
        hidden = len(value) - _CHARACTERS_SHOWN
        more = f"… {hidden} more" if hidden > 0 else ""
        ui.print_line(f"  {name}: {value[:_CHARACTERS_SHOWN]}{more}")
    ui.print_line(f"and its decrypted event:\n  {ui.printable(request['opened'])}")
