"""`hookseal bench`: how fast, at what cost, beside what it cannot be faster than."""

import os
import shutil
import signal
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hookseal.cli import ui
from hookseal.cli.options import missing_extra
from hookseal.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress

    from hookseal.kafka.broker import Broker

__all__ = ["bench"]

_Broker = Literal["embedded", "apache", "docker"]
_WAITING = 100_000
_REPLAYS_MAX = 100_000
_SMOKE_EVENTS = 500
_SMOKE_SEALS = 20


def bench(
    *,
    broker: Annotated[
        _Broker | None,
        typer.Option(
            help="Kafka to use, unless HOOKSEAL_KAFKA_BOOTSTRAP names one.",
            show_default="apache where Java and Maven are, else embedded",
        ),
    ] = None,
    events: Annotated[int, typer.Option(min=500, help="Events of each run.")] = 20_000,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each kind.")] = 3,
    memory: Annotated[
        bool, typer.Option("--memory", help="Measure a worker all of whose partitions are held.")
    ] = False,
    waiting: Annotated[
        int, typer.Option(min=6, help="Events that wait on the broker, for --memory.")
    ] = _WAITING,
    tenants: Annotated[
        int, typer.Option(min=0, help="Measure nothing but the read model of so many tenants.")
    ] = 0,
    letters: Annotated[
        int,
        typer.Option(min=0, help="Measure nothing but listing and replaying so many letters."),
    ] = 0,
    log: Annotated[
        bool, typer.Option("--log", help="Measure nothing but what the delivery log costs.")
    ] = False,
    publish: Annotated[
        bool, typer.Option("--publish", help="Measure nothing but publishing over the API.")
    ] = False,
    hostile: Annotated[
        bool,
        typer.Option(
            "--hostile", help="Measure nothing but what hostile receivers cost their neighbours."
        ),
    ] = False,
    seconds: Annotated[
        float, typer.Option(min=1, help="Seconds of each run of --publish, --hostile.")
    ] = 5.0,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="One round of 500 events: does it work at all?")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="File to write all figures to.")] = None,
    logs: Annotated[
        Path | None, typer.Option(help="New folder to keep the processes' logs in.")
    ] = None,
) -> None:
    """Measure one worker process, delivering to nginx what was published before it started.

    Beside it, in turns: a loop of plain aiohttp requests, and a Faust agent that does
    nothing. Exits with 1 if an event was not delivered exactly once. Of the shell's
    settings HOOKSEAL_ORDERING and HOOKSEAL_COMMIT_INTERVAL_S hold for the worker.
    """
    try:
        from hookseal.bench.rounds import Bench
    except ImportError as error:
        raise missing_extra(error, "bench") from None
    from hookseal.bench.report import document
    from hookseal.bench.scenario import Scenario
    from hookseal.kafka.broker import choose_kind, running_broker

    scenario = Scenario(events=events, rounds=rounds, waiting=waiting if memory else 0)
    if smoke:
        scenario = replace(scenario, events=_SMOKE_EVENTS, rounds=1, seals=_SMOKE_SEALS)
    if logs is not None:
        _make(logs)
    # So that a polite kill cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, _as_interrupt)
    with ui.progress() as progress, running_broker(choose_kind(broker or _preferred())) as running:
        stages = _Stages(progress)
        took = (1.0, 1) if smoke else (seconds, rounds)
        instead: tuple[tuple[object, Callable[[], None]], ...] = (
            (tenants, lambda: _measure_model(running, tenants, stages, json)),
            (letters, lambda: _measure_letters(running, letters, stages, json)),
            (log, lambda: _measure_log(running, scenario.events, scenario.rounds, stages, json)),
            (hostile, lambda: _measure_hostile(running, *took, stages, json)),
            (publish, lambda: _measure_publishing(running, *took, stages, json)),
        )
        for _, measure in filter(itemgetter(0), instead):
            measure()
            return
        results = Bench(running, scenario, os.environ, stages).run(logs)
        figures = document(results, scenario, running.kind)
    _say(figures)
    if json is not None:
        _write(json, figures)
    if not figures["worker"]["exact"]:
        ui.err.print("An event was not delivered exactly once; look at received and accepted.")
        raise typer.Exit(1)


def _measure_model(broker: "Broker", tenants: int, stages: "_Stages", json: Path | None) -> None:
    from dataclasses import asdict

    from hookseal.bench.model_run import model_line, run_model

    run = run_model(broker, os.environ, stages, tenants=tenants)
    ui.say(f"{model_line(run)}; {broker.kind} broker, one process")
    if json is not None:
        _write(json, {"broker": broker.kind, **asdict(run)})


def _measure_letters(broker: "Broker", letters: int, stages: "_Stages", json: Path | None) -> None:
    from dataclasses import asdict

    from hookseal.bench.letters_run import letters_line, run_letters

    replays = min(letters, _REPLAYS_MAX)
    run = run_letters(broker, os.environ, stages, letters=letters, replays=replays)
    ui.say(f"{letters_line(run)}; {broker.kind} broker, one process")
    if json is not None:
        _write(json, {"broker": broker.kind, **asdict(run)})
    if not run.exact:
        ui.err.print("A letter was not replayed exactly once; look at the figures.")
        raise typer.Exit(1)


def _measure_log(
    broker: "Broker", events: int, rounds: int, stages: "_Stages", json: Path | None
) -> None:
    from hookseal.bench.log_run import log_figures, log_line, run_log

    runs = run_log(broker, os.environ, stages, events=events, rounds=rounds)
    figures = log_figures(runs, broker.kind, events)
    ui.say(f"{log_line(figures)}; {broker.kind} broker, medians of {rounds} rounds")
    if json is not None:
        _write(json, figures)
    if not figures["exact"]:
        ui.err.print("An event was not delivered, or not logged, exactly once.")
        raise typer.Exit(1)


def _measure_hostile(
    broker: "Broker", seconds: float, rounds: int, stages: "_Stages", json: Path | None
) -> None:
    from hookseal.bench.hostile_run import hostile_figures, hostile_line, run_hostile

    runs = run_hostile(broker, os.environ, stages, seconds=seconds, rounds=rounds)
    figures = hostile_figures(runs, broker.kind)
    ui.say(f"{hostile_line(figures)}; {broker.kind} broker, medians of {rounds} rounds")
    if json is not None:
        _write(json, figures)


def _measure_publishing(
    broker: "Broker", seconds: float, rounds: int, stages: "_Stages", json: Path | None
) -> None:
    from hookseal.bench.publish_run import (
        CONNECTIONS,
        publish_figures,
        publish_rows,
        run_publish,
    )

    runs = run_publish(broker, os.environ, stages, seconds=seconds, rounds=rounds)
    figures = publish_figures(runs, broker.kind)
    ui.say(
        f"One API process, {CONNECTIONS} connections of {figures['client']}, events of 1 KB, "
        f"{broker.kind} broker; the best of {rounds} runs of {seconds:.0f} s each"
    )
    columns = ("requests", "per s", "events per s", "p50 ms", "p99 ms", "CPU us each")
    ui.table((*columns, "requests per s of all runs", "MB"), publish_rows(runs))
    if json is not None:
        _write(json, figures)
    if not figures["exact"]:
        ui.err.print("Something failed, or was acknowledged and not written; look at the figures.")
        raise typer.Exit(1)


class _Stages:
    """A progress bar for what is under way; a line for each stage where it draws nothing."""

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._task = progress.add_task("Starting", total=None)

    def stage(self, text: str, total: int | None = None) -> None:
        self._progress.reset(self._task, description=text, total=total)
        if self._progress.disable:
            ui.err.print(text)

    def done(self, steps: int) -> None:
        self._progress.update(self._task, completed=steps)


def _say(figures: dict[str, Any]) -> None:
    from hookseal.bench.report import (
        memory_line,
        pace_rows,
        ratios_line,
        seal_rows,
        setting_line,
    )

    ui.say(setting_line(figures))
    ui.say()
    ui.table(("one process", "per s", "CPU us each", "rounds", "peak MB"), pace_rows(figures))
    ui.say()
    ui.table(("seal and sign alone", "us"), seal_rows(figures))
    ui.say()
    ui.say(ratios_line(figures))
    held = memory_line(figures)
    if held is not None:
        ui.say(held)


def _write(path: Path, figures: dict[str, Any]) -> None:
    import orjson

    try:
        path.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")
    except OSError as error:
        raise ConfigurationError(
            "file_not_written", f"The file cannot be written: {error.strerror}.", field=str(path)
        ) from None


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise ConfigurationError(
            "folder_not_made", f"The folder cannot be made: {error.strerror}.", field=str(folder)
        ) from None


def _preferred() -> _Broker | None:
    """Return real Kafka where it can run, unless the environment says otherwise."""
    if os.environ.get("HOOKSEAL_TEST_BROKER") or not (shutil.which("java") and shutil.which("mvn")):
        return None
    return "apache"


def _as_interrupt(_: int, __: FrameType | None) -> None:
    signal.raise_signal(signal.SIGINT)
