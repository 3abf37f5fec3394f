"""`python -m benchmarks`: how fast a worker is and at what cost, next to its upper bounds."""

import logging
import os
import shutil
import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from benchmarks.capacity import CPU_S, UTILISATION, Load, bounds_of, deployment_per_s, plan
from benchmarks.deferred_run import deferred_line, run_deferred
from benchmarks.hostile_run import Trouble, hostile_figures, hostile_line, run_hostile
from benchmarks.letters_run import letters_line, run_letters
from benchmarks.log_run import log_figures, log_line, run_log
from benchmarks.model_run import model_line, run_model
from benchmarks.output import (
    Stages,
    make_folder,
    measure_section,
    measure_suite,
    report,
    write_figures,
)
from benchmarks.publish_run import CONNECTIONS, publish_figures, run_publish
from benchmarks.report import (
    PACE_COLUMNS,
    document,
    memory_line,
    pace_lines,
    pace_rows,
    seal_rows,
    setting_line,
)
from benchmarks.rounds import Bench
from benchmarks.scenario import FULL, QUICK, Scenario, Setup
from benchmarks.simulation import simulate as run_simulation
from benchmarks.suite import SECTIONS
from hookseal.cli import ui
from hookseal.config import load
from hookseal.errors import HooksealError
from tests.brokers import choose_kind, start_broker

if TYPE_CHECKING:
    from collections.abc import Callable

_Broker = Literal["embedded", "apache", "docker"]
_Ordering = Literal["partition", "customer", "unordered"]
_SMOKE_EVENTS, _SMOKE_SEALS = 500, 20
_REPLAYS_MAX = 100_000
_US, _MS = 1e-6, 1e-3

app = typer.Typer(rich_markup_mode="markdown", add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def bench(
    ctx: typer.Context,
    *,
    broker: Annotated[
        _Broker | None,
        typer.Option(
            help="Kafka broker to start, unless HOOKSEAL_KAFKA_BOOTSTRAP names one.",
            show_default="apache where Java and Maven are installed, else embedded",
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
        bool, typer.Option("--memory", help="Also measure a worker whose partitions back off.")
    ] = False,
    waiting: Annotated[
        int, typer.Option(min=6, help="Events in the topic, for --memory and --all.")
    ] = 100_000,
    tenants: Annotated[
        int, typer.Option(min=0, help="Measure only the read model of so many tenants.")
    ] = 0,
    letters: Annotated[
        int, typer.Option(min=0, help="Measure only lists and replays of so many dead letters.")
    ] = 0,
    log: Annotated[
        bool, typer.Option("--log", help="Measure only the cost of the delivery log.")
    ] = False,
    publish: Annotated[
        bool, typer.Option("--publish", help="Measure only publishing over the API.")
    ] = False,
    hostile: Annotated[
        bool,
        typer.Option(
            "--hostile", help="Measure only what hostile receivers cost their neighbours."
        ),
    ] = False,
    beside: Annotated[
        Literal["flood", "siblings"] | None,
        typer.Option(
            help="Measure only what a flooded slow customer, or slow and failing endpoints of the "
            "same customer, cost their neighbours; mode: HOOKSEAL_ORDERING."
        ),
    ] = None,
    deferred: Annotated[
        int, typer.Option(min=0, help="Measure only the deferral of so many events, and memory.")
    ] = 0,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Measure the worker, --sizes to --recovery, and --publish."),
    ] = False,
    sizes: Annotated[
        bool, typer.Option("--sizes", help="Measure only kinds of keys and sizes of events.")
    ] = False,
    distance: Annotated[
        bool, typer.Option("--distance", help="Measure only receivers that are far away.")
    ] = False,
    latency: Annotated[
        bool, typer.Option("--latency", help="Measure only the time from publish to arrival.")
    ] = False,
    scale: Annotated[
        bool, typer.Option("--scale", help="Measure only one worker process and two.")
    ] = False,
    recovery: Annotated[
        bool, typer.Option("--recovery", help="Measure only the start of a worker.")
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
        bool, typer.Option("--smoke", "--quick", help="Few events, one round: does all of it work?")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="File to write all figures to.")] = None,
    svg: Annotated[
        Path | None,
        typer.Option(help="File to draw the figures of --all, --sizes to --recovery into."),
    ] = None,
    logs: Annotated[
        Path | None, typer.Option(help="New folder to keep the logs of the processes in.")
    ] = None,
) -> None:
    """Measure one worker process that delivers a full topic to nginx.

    Next to it, in turns: a loop of plain aiohttp requests, a Faust agent that does nothing,
    and, where Node is installed, a consumer on kafkajs that encrypts nothing. Exits with 1 if an
    event was not delivered exactly once. The worker takes HOOKSEAL_ORDERING and
    HOOKSEAL_COMMIT_INTERVAL_S from the shell, and no other setting.
    """
    if ctx.invoked_subcommand is not None:
        return
    sections = {"sizes": sizes, "distance": distance, "latency": latency, "scale": scale}
    section = next(filter(sections.get, sections), "recovery" if recovery else "")
    if svg is not None and not (everything or section):
        raise typer.BadParameter("it goes with --all, --sizes to --recovery", param_hint="--svg")
    turns = rounds or (1 if smoke else FULL.turns)
    scenario = Scenario(events=events, rounds=turns, waiting=waiting if memory else 0)
    amounts = replace(FULL, events=events, rounds=rounds or FULL.rounds, turns=turns)
    amounts = replace(amounts, seconds=seconds or FULL.seconds, waiting=waiting)
    clocked_s = seconds or 5.0
    if smoke:
        scenario = replace(scenario, events=_SMOKE_EVENTS, seals=_SMOKE_SEALS)
        amounts, clocked_s = replace(QUICK, rounds=turns, turns=turns), 1.0
    if logs is not None:
        make_folder(logs)
    # SIGTERM cleans up as Ctrl-C does, where SIGINT is ignored (a background job) too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ui.progress() as progress, start_broker(choose_kind(broker or _preferred())) as running:
        setup = Setup(running, os.environ, Stages(progress))
        choice: tuple[tuple[object, Callable[[], None]], ...] = (
            (everything, lambda: measure_suite(setup, amounts, json=json, svg=svg)),
            (section, lambda: measure_section(section, setup, amounts, json=json, svg=svg)),
            (tenants, lambda: _measure_model(setup, tenants, json)),
            (letters, lambda: _measure_letters(setup, letters, json)),
            (log, lambda: _measure_log(setup, scenario, json)),
            (hostile, lambda: _measure_hostile(setup, clocked_s, turns, json)),
            (
                beside,
                lambda: _measure_hostile(setup, clocked_s, turns, json, beside or "hostile"),
            ),
            (deferred, lambda: _measure_deferred(setup, deferred, json)),
            (publish, lambda: _measure_publishing(setup, clocked_s, turns, json)),
            (True, lambda: _measure_worker(setup, scenario, json, logs)),
        )
        next(measure for asked, measure in choice if asked)()


def _measure_worker(setup: Setup, scenario: Scenario, json: Path | None, logs: Path | None) -> None:
    figures = document(Bench(setup, scenario).run(logs), scenario, setup.broker.kind)
    ui.print_line(setting_line(figures))
    ui.print_line()
    ui.table(PACE_COLUMNS, pace_rows(figures))
    ui.print_line()
    ui.table(("seal and sign alone", "us"), seal_rows(figures))
    ui.print_line()
    report(figures, filter(None, (*pace_lines(figures), memory_line(figures))), json)


def _measure_model(setup: Setup, tenants: int, json: Path | None) -> None:
    run, kind = run_model(setup, tenants=tenants), setup.broker.kind
    lines = [f"{model_line(run)}; {kind} broker, one process"]
    report({"broker": kind, **asdict(run)}, lines, json)


def _measure_letters(setup: Setup, letters: int, json: Path | None) -> None:
    replays = min(letters, _REPLAYS_MAX)
    run, kind = run_letters(setup, letters=letters, replays=replays), setup.broker.kind
    line = f"{letters_line(run)}; {kind} broker, one process"
    report({"broker": kind, **asdict(run)}, [line], json)


def _measure_log(setup: Setup, scenario: Scenario, json: Path | None) -> None:
    events, rounds, kind = scenario.events, scenario.rounds, setup.broker.kind
    figures = log_figures(run_log(setup, events=events, rounds=rounds), kind, events)
    report(figures, [f"{log_line(figures)}; {kind} broker, medians of {rounds} rounds"], json)


def _measure_hostile(
    setup: Setup, seconds: float, rounds: int, json: Path | None, trouble: Trouble = "hostile"
) -> None:
    kind = setup.broker.kind
    ordering = load().ordering if trouble != "hostile" else "customer"
    runs = run_hostile(setup, seconds=seconds, rounds=rounds, trouble=trouble, ordering=ordering)
    figures = hostile_figures(runs, kind, trouble, ordering)
    report(figures, [f"{hostile_line(figures)}; {kind} broker, medians of {rounds} rounds"], json)


def _measure_deferred(setup: Setup, events: int, json: Path | None) -> None:
    run, kind = run_deferred(setup, events=events), setup.broker.kind
    report({"broker": kind, **asdict(run)}, [f"{deferred_line(run)}; {kind} broker"], json)


def _measure_publishing(setup: Setup, seconds: float, rounds: int, json: Path | None) -> None:
    kind = setup.broker.kind
    figures = publish_figures(run_publish(setup, seconds=seconds, rounds=rounds), kind)
    ui.print_line(
        f"One API process, {CONNECTIONS} connections of {figures['client']}, events of 1 KB, "
        f"{kind} broker; the best of {rounds} runs of {seconds:.0f} s each"
    )
    ui.table(*SECTIONS["publish"].table(figures))
    report(figures, [], json)


@app.command()
def simulate(
    *,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help="Webhooks published a second.",
            show_default="all are there from the start; 1,000 to 1,000,000 with --plan",
        ),
    ] = None,
    latency_ms: Annotated[
        float, typer.Option(min=0, help="Milliseconds from a request to the end of its response.")
    ] = 50.0,
    ordering: Annotated[
        _Ordering | None,
        typer.Option(help="Ordering mode.", show_default="HOOKSEAL_ORDERING; each with --plan"),
    ] = None,
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Partitions.", show_default="HOOKSEAL_PARTITIONS")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes, one CPU each.")] = 1,
    customers: Annotated[
        int, typer.Option(min=1, help="Customers, with equally many events each.")
    ] = 1000,
    cpu_us: Annotated[
        float, typer.Option(min=0, help="Microseconds of CPU of one webhook.")
    ] = CPU_S / _US,
    events: Annotated[int, typer.Option(min=100, help="Events to simulate.")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same events.")] = 0,
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Simulate nothing; print what --rate needs.")
    ] = False,
    utilisation: Annotated[
        float, typer.Option(min=0.01, max=1, help="Share of the maximum to plan with, for --plan.")
    ] = UTILISATION,
    event_bytes: Annotated[int, typer.Option(min=1, help="Bytes of an event, for --plan.")] = 1024,
    json: Annotated[Path | None, typer.Option(help="File to write all figures to.")] = None,
) -> None:
    """Simulate workers on the real scheduler under a simulated clock, next to the formula.

    Limits are those of the settings in the shell (HOOKSEAL_MAX_IN_FLIGHT and others). Kafka and
    failed attempts are not simulated; docs/capacity.md has the formula.
    """
    settings = load()
    of = Load(ordering or settings.ordering, latency_ms * _MS, cpu_us * _US, bounds_of(settings))
    if plan_only:
        rates = (1e3, 1e4, 1e5, 1e6) if rate is None else (rate,)
        modes: tuple[_Ordering, ...] = ("partition", "customer", "unordered")
        plans = [
            {"per_s": per_s, "ordering": mode, **asdict(found)}
            for per_s in rates
            for mode in (modes if ordering is None else (ordering,))
            for found in (
                plan(
                    replace(of, ordering=mode),
                    per_s,
                    utilisation=utilisation,
                    event_bytes=event_bytes,
                    commit_interval_s=settings.commit_interval_s,
                ),
            )
        ]
        cells = [
            [f"{value:,.0f}" if isinstance(value, float) else value for value in one.values()]
            for one in plans
        ]
        ui.table(list(plans[0]), cells)
        write_figures(json, {"plans": plans})
        return
    count = partitions or settings.partitions
    with ui.working("Simulating"):
        found = run_simulation(
            of,
            partitions=count,
            workers=workers,
            customers=customers,
            per_s=rate,
            events=events,
            seed=seed,
        )
    most = deployment_per_s(of, partitions=count, workers=workers, customers=customers)
    rows: list[tuple[object, ...]] = [
        ("webhooks per s", f"{found.per_s:,.0f}", f"at most {most:,.0f}")
    ]
    if rate is not None:
        rows += [
            ("p50 ms", f"{found.p50_s / _MS:,.1f}", f"at least {of.held_s / _MS:,.1f}"),
            ("p99 ms", f"{found.p99_s / _MS:,.1f}", ""),
            ("not delivered at the end", found.left, "grows" if rate >= most else ""),
        ]
    ui.table(("", "simulated", "formula"), rows)
    write_figures(json, {"per_s": rate, "simulated": asdict(found), "formula": {"per_s": most}})


def _preferred() -> _Broker | None:
    """Return real Kafka where it can run, unless the environment names a broker."""
    if os.environ.get("HOOKSEAL_TEST_BROKER") or not (shutil.which("java") and shutil.which("mvn")):
        return None
    return "apache"


def main() -> None:
    """Run the command; print an expected error as one line."""
    # The clients log every reconnect; errors are reported in one line.
    for name in ("aiokafka", "asyncio"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    try:
        app(prog_name="python -m benchmarks")
    except HooksealError as error:
        ui.print_error(error)
        sys.exit(ui.exit_code_of(error))


if __name__ == "__main__":
    main()
