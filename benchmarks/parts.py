"""What `hookseal bench` measures: the worker, and what is asked for one by one."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from benchmarks.output import write_figures
from hookseal.cli import ui

if TYPE_CHECKING:
    from benchmarks.output import Stages
    from benchmarks.scenario import Scenario
    from hookseal.kafka.broker import Broker


_REPLAYS_MAX = 100_000


def measure_worker(
    broker: "Broker", scenario: "Scenario", stages: "Stages", json: Path | None, logs: Path | None
) -> None:
    """Measure a worker beside what it is compared with."""
    from benchmarks.report import document
    from benchmarks.rounds import Bench

    results = Bench(broker, scenario, os.environ, stages).run(logs)
    figures = document(results, scenario, broker.kind)
    _say(figures)
    if json is not None:
        write_figures(json, figures)
    if not figures["worker"]["exact"]:
        ui.err.print("An event was not delivered exactly once; look at received and accepted.")
        raise typer.Exit(1)


def _say(figures: dict[str, Any]) -> None:
    from benchmarks.report import (
        PACE_COLUMNS,
        memory_line,
        pace_lines,
        pace_rows,
        seal_rows,
        setting_line,
    )

    ui.say(setting_line(figures))
    ui.say()
    ui.table(PACE_COLUMNS, pace_rows(figures))
    ui.say()
    ui.table(("seal and sign alone", "us"), seal_rows(figures))
    ui.say()
    for line in (*pace_lines(figures), memory_line(figures)):
        if line is not None:
            ui.say(line)


def measure_model(broker: "Broker", tenants: int, stages: "Stages", json: Path | None) -> None:
    """Measure the read model of so many tenants."""
    from dataclasses import asdict

    from benchmarks.model_run import model_line, run_model

    run = run_model(broker, os.environ, stages, tenants=tenants)
    ui.say(f"{model_line(run)}; {broker.kind} broker, one process")
    if json is not None:
        write_figures(json, {"broker": broker.kind, **asdict(run)})


def measure_letters(broker: "Broker", letters: int, stages: "Stages", json: Path | None) -> None:
    """Measure listing and replaying so many letters."""
    from dataclasses import asdict

    from benchmarks.letters_run import letters_line, run_letters

    replays = min(letters, _REPLAYS_MAX)
    run = run_letters(broker, os.environ, stages, letters=letters, replays=replays)
    ui.say(f"{letters_line(run)}; {broker.kind} broker, one process")
    if json is not None:
        write_figures(json, {"broker": broker.kind, **asdict(run)})
    if not run.exact:
        ui.err.print("A letter was not replayed exactly once; look at the figures.")
        raise typer.Exit(1)


def measure_log(
    broker: "Broker", events: int, rounds: int, stages: "Stages", json: Path | None
) -> None:
    """Measure what the delivery log costs."""
    from benchmarks.log_run import log_figures, log_line, run_log

    runs = run_log(broker, os.environ, stages, events=events, rounds=rounds)
    figures = log_figures(runs, broker.kind, events)
    ui.say(f"{log_line(figures)}; {broker.kind} broker, medians of {rounds} rounds")
    if json is not None:
        write_figures(json, figures)
    if not figures["exact"]:
        ui.err.print("An event was not delivered, or not logged, exactly once.")
        raise typer.Exit(1)


def measure_hostile(
    broker: "Broker", seconds: float, rounds: int, stages: "Stages", json: Path | None
) -> None:
    """Measure what hostile receivers cost their neighbours."""
    from benchmarks.hostile_run import hostile_figures, hostile_line, run_hostile

    runs = run_hostile(broker, os.environ, stages, seconds=seconds, rounds=rounds)
    figures = hostile_figures(runs, broker.kind)
    ui.say(f"{hostile_line(figures)}; {broker.kind} broker, medians of {rounds} rounds")
    if json is not None:
        write_figures(json, figures)


def measure_publishing(
    broker: "Broker", seconds: float, rounds: int, stages: "Stages", json: Path | None
) -> None:
    """Measure publishing over the API."""
    from benchmarks.publish_run import CONNECTIONS, publish_figures, run_publish
    from benchmarks.suite import SECTIONS

    runs = run_publish(broker, os.environ, stages, seconds=seconds, rounds=rounds)
    figures = publish_figures(runs, broker.kind)
    ui.say(
        f"One API process, {CONNECTIONS} connections of {figures['client']}, events of 1 KB, "
        f"{broker.kind} broker; the best of {rounds} runs of {seconds:.0f} s each"
    )
    ui.table(*SECTIONS["publish"].table(figures))
    if json is not None:
        write_figures(json, figures)
    if not figures["exact"]:
        ui.err.print("Something failed, or was acknowledged and not written; look at the figures.")
        raise typer.Exit(1)
