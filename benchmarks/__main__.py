"""`hookseal bench`: how fast, at what cost, beside what it cannot be faster than."""

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hookseal.cli import bench_simulate, ui
from hookseal.cli.options import missing_extra

if TYPE_CHECKING:
    from collections.abc import Callable


_Broker = Literal["embedded", "apache", "docker"]
_WAITING = 100_000
_SMOKE_EVENTS = 500
_SMOKE_SEALS = 20
_ROUNDS = 3
_SECONDS = 5.0

app = typer.Typer()
app.command()(bench_simulate.simulate)


@app.callback(invoke_without_command=True)
def bench(
    ctx: typer.Context,
    *,
    broker: Annotated[
        _Broker | None,
        typer.Option(
            help="Kafka to use, unless HOOKSEAL_KAFKA_BOOTSTRAP names one.",
            show_default="apache where Java and Maven are, else embedded",
        ),
    ] = None,
    events: Annotated[int, typer.Option(min=500, help="Events of each run.")] = 20_000,
    rounds: Annotated[
        int | None,
        typer.Option(
            min=1, help="Runs of each kind.", show_default="3; 5 with --all; 1 with --smoke"
        ),
    ] = None,
    memory: Annotated[
        bool, typer.Option("--memory", help="Measure a worker all of whose partitions are held.")
    ] = False,
    waiting: Annotated[
        int, typer.Option(min=6, help="Events that wait on the broker, for --memory and --all.")
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
    everything: Annotated[
        bool,
        typer.Option(
            "--all", help="Measure all of it: the worker, --sizes to --recovery, --publish."
        ),
    ] = False,
    sizes: Annotated[
        bool, typer.Option("--sizes", help="Measure nothing but kinds of keys, sizes of events.")
    ] = False,
    distance: Annotated[
        bool, typer.Option("--distance", help="Measure nothing but receivers that are far away.")
    ] = False,
    latency: Annotated[
        bool, typer.Option("--latency", help="Measure nothing but from publishing to receiving.")
    ] = False,
    scale: Annotated[
        bool, typer.Option("--scale", help="Measure nothing but one worker process and more.")
    ] = False,
    recovery: Annotated[
        bool, typer.Option("--recovery", help="Measure nothing but how workers start.")
    ] = False,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=1,
            help="Seconds of each run of --publish, --hostile, --latency.",
            show_default="5; 15 with --latency",
        ),
    ] = None,
    smoke: Annotated[
        bool,
        typer.Option(
            "--smoke", "--quick", help="Little of all, one round if not told: does it work at all?"
        ),
    ] = False,
    json: Annotated[Path | None, typer.Option(help="File to write all figures to.")] = None,
    svg: Annotated[
        Path | None,
        typer.Option(help="File to draw figures into, of --all, --sizes to --recovery."),
    ] = None,
    logs: Annotated[
        Path | None, typer.Option(help="New folder to keep the processes' logs in.")
    ] = None,
) -> None:
    """Measure one worker process, delivering to nginx what was published before it started.

    Beside it, in turns: a loop of plain aiohttp requests, a Faust agent that does nothing,
    and, where Node is, a consumer on kafkajs that seals nothing. Exits with 1 if an event was
    not delivered exactly once. Of the shell's settings HOOKSEAL_ORDERING and
    HOOKSEAL_COMMIT_INTERVAL_S hold for the worker.
    """
    if ctx.invoked_subcommand is not None:
        return
    sections = {"sizes": sizes, "distance": distance, "latency": latency, "scale": scale}
    section = next(filter(sections.get, sections), "recovery" if recovery else "")
    if svg is not None and not (everything or section):
        raise typer.BadParameter("it goes with --all, --sizes to --recovery", param_hint="--svg")
    try:
        from benchmarks.suite import Place
    except ImportError as error:
        raise missing_extra(error, "bench") from None
    from benchmarks.output import Stages, make_folder
    from benchmarks.scenario import FULL, QUICK, Scenario
    from benchmarks.suite_output import measure_section, measure_suite
    from hookseal.cli import bench_parts as parts
    from hookseal.kafka.broker import choose_kind, running_broker

    turns = rounds or (1 if smoke else _ROUNDS)
    scenario = Scenario(events=events, rounds=turns, waiting=waiting if memory else 0)
    amounts = replace(FULL, events=events, rounds=rounds or FULL.rounds, turns=turns)
    amounts = replace(amounts, seconds=seconds or FULL.seconds, waiting=waiting)
    took = (seconds or _SECONDS, turns)
    if smoke:
        scenario = replace(scenario, events=_SMOKE_EVENTS, seals=_SMOKE_SEALS)
        amounts, took = replace(QUICK, rounds=turns, turns=turns), (1.0, turns)
    if logs is not None:
        make_folder(logs)
    # So that a polite kill cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, _as_interrupt)
    with ui.progress() as progress, running_broker(choose_kind(broker or _preferred())) as running:
        stages = Stages(progress)
        place = Place(running, os.environ, stages)
        of = (running, scenario.events, scenario.rounds, stages, json)
        choice: tuple[tuple[object, Callable[[], None]], ...] = (
            (everything, lambda: measure_suite(place, amounts, json=json, svg=svg)),
            (section, lambda: measure_section(section, place, amounts, json=json, svg=svg)),
            (tenants, lambda: parts.measure_model(running, tenants, stages, json)),
            (letters, lambda: parts.measure_letters(running, letters, stages, json)),
            (log, lambda: parts.measure_log(*of)),
            (hostile, lambda: parts.measure_hostile(running, *took, stages, json)),
            (publish, lambda: parts.measure_publishing(running, *took, stages, json)),
            (True, lambda: parts.measure_worker(running, scenario, stages, json, logs)),
        )
        next(measure for asked, measure in choice if asked)()


def _preferred() -> _Broker | None:
    """Return real Kafka where it can run, unless the environment says otherwise."""
    if os.environ.get("HOOKSEAL_TEST_BROKER") or not (shutil.which("java") and shutil.which("mvn")):
        return None
    return "apache"


def _as_interrupt(_: int, __: FrameType | None) -> None:
    signal.raise_signal(signal.SIGINT)
