"""All that is measured, section after section, in one run and one document.

The module of a section that stands by itself, `benchmarks.<name>_run`, has
`run_<name>`, `<name>_figures`, `<NAME>_COLUMNS` and `<name>_rows`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias

from benchmarks.load import make_customers
from benchmarks.publish_run import PublishRun, publish_figures, publish_rows, run_publish
from benchmarks.report import PACE_COLUMNS, document, pace_lines, pace_rows
from benchmarks.rounds import Bench
from benchmarks.scenario import POINTS, Scenario
from benchmarks.sizes_run import run_sizes, sizes_figures
from benchmarks.worker_run import run_memory
from hookseal.errors import HooksealError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from benchmarks.scenario import Amounts, Setup

Figures: TypeAlias = "dict[str, Any]"
Rows: TypeAlias = "list[tuple[object, ...]]"

_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Section:
    """One thing that is measured."""

    name: str  # Of its figures in the document
    title: str  # For people
    # Measures it; is given what the sections before it found.
    measure: Callable[[Setup, Amounts, Mapping[str, Figures]], Figures]
    table: Callable[[Figures], tuple[Sequence[str], Rows]]  # Columns and rows of its figures
    labels: Sequence[str]  # The columns that say what a row is
    bars: Sequence[str]  # The columns that the picture draws
    lines: Callable[[Figures], Sequence[str]] = lambda _: ()  # What else is said of them
    is_compared: bool = False  # Whether only rows of hookseal are ours


def run_suite(
    setup: Setup, amounts: Amounts, sections: Iterable[Section]
) -> Iterator[tuple[Section, Figures]]:
    """Measure section after section; yield each with its figures.

    One that cannot be measured has `error` for its only figure, and the next one begins: a
    run takes too long to lose all of it.
    """
    found: dict[str, Figures] = {}
    for section in sections:
        try:
            found[section.name] = section.measure(setup, amounts, found)
        except HooksealError as error:
            found[section.name] = {"error": str(error)}
        yield section, found[section.name]


def is_exact(figures: Figures) -> bool:
    """Return whether a section was measured, and its books balance."""
    worker = figures.get("worker")
    exact = worker["exact"] if isinstance(worker, dict) else figures.get("exact", True)
    return exact is True and "error" not in figures


def _by_itself(
    name: str, title: str, labels: Sequence[str], bars: Sequence[str], amount: Mapping[str, str]
) -> Section:
    """Return the section of a module that has all of it."""

    def of(what: str) -> Any:
        return getattr(import_module(f"benchmarks.{name}_run"), what)

    def measure(setup: Setup, amounts: Amounts, found: Mapping[str, Figures]) -> Figures:
        keywords = {
            keyword: _drained_per_s(setup, amounts, found)
            if keyword == "per_s"
            else getattr(amounts, attribute)
            for keyword, attribute in amount.items()
        }
        runs = of(f"run_{name}")(setup, **keywords)
        figures: Figures = of(f"{name}_figures")(runs, setup.broker.kind)
        return figures

    def table(figures: Figures) -> tuple[Sequence[str], Rows]:
        return of(f"{name.upper()}_COLUMNS"), of(f"{name}_rows")(figures)

    return Section(name, title, measure, table, labels, bars)


def _rounds(setup: Setup, amounts: Amounts, _: Mapping[str, Figures]) -> Figures:
    scenario = Scenario(events=amounts.events, rounds=amounts.rounds, seals=amounts.seals)
    results = Bench(setup, scenario).run()
    return document(results, scenario, setup.broker.kind)


def _memory(setup: Setup, amounts: Amounts, _: Mapping[str, Figures]) -> Figures:
    setup.watcher.stage("Filling every queue")
    with TemporaryDirectory(prefix="hookseal-bench-") as name:
        run = run_memory(setup, make_customers(), Path(name), waiting=amounts.waiting)
    return {"broker": setup.broker.kind, **asdict(run)}


def _memory_table(figures: Figures) -> tuple[Sequence[str], Rows]:
    rows: Rows = [
        ("without an event", round(figures["ready_rss_bytes"] / _MB)),
        (f"{figures['waiting']} events waiting", round(figures["full_rss_bytes"] / _MB)),
        ("the most meanwhile", round(figures["peak_rss_bytes"] / _MB)),
    ]
    return ("worker", "MB"), rows


def _publish(setup: Setup, amounts: Amounts, _: Mapping[str, Figures]) -> Figures:
    seconds = min(5.0, amounts.seconds)
    runs = run_publish(setup, seconds=seconds, rounds=amounts.turns)
    return publish_figures(runs, setup.broker.kind)


def _publish_table(figures: Figures) -> tuple[Sequence[str], Rows]:
    columns = ("requests", "per s", "events per s", "p50 ms", "p99 ms", "CPU us each")
    runs = [PublishRun(**run) for run in figures["runs"]]
    return (*columns, "requests per s of all runs", "MB"), publish_rows(runs)


def _drained_per_s(setup: Setup, amounts: Amounts, found: Mapping[str, Figures]) -> float:
    """Return what a worker drains on this machine, as was just measured or is now."""
    worker = found.get("rounds", {}).get("worker")
    if worker is None:
        runs = run_sizes(setup, events=amounts.events, rounds=1, points=POINTS[:1])
        worker = sizes_figures(runs, setup.broker.kind)["points"][0]
    return float(worker["per_s"])


_DRAINED = {"events": "events", "rounds": "turns"}
_CLOCKED = {"per_s": "", "seconds": "seconds", "rounds": "turns", "shares": "shares"}
_ALL = (
    Section(
        "rounds",
        "One worker, beside what it is compared with",
        _rounds,
        lambda figures: (PACE_COLUMNS, pace_rows(figures)),
        PACE_COLUMNS[:1],
        ("per s",),
        pace_lines,
        is_compared=True,
    ),
    _by_itself(
        "sizes",
        "Kinds of keys and sizes of events",
        ("keys", "KB each"),
        ("per s",),
        {**_DRAINED, "points": "points"},
    ),
    _by_itself(
        "distance",
        "Receivers far away",
        ("receivers answer after", "order"),
        ("per s",),
        {**_DRAINED, "latencies_s": "latencies_s"},
    ),
    _by_itself(
        "latency",
        "From publishing to the receiver",
        ("load", "due per s"),
        ("p50 ms", "p99 ms"),
        _CLOCKED,
    ),
    _by_itself("scale", "Worker processes", ("processes",), ("per s",), _DRAINED),
    Section(
        "memory",
        "Memory of a worker all of whose partitions are in backoff",
        _memory,
        _memory_table,
        ("worker",),
        ("MB",),
    ),
    _by_itself(
        "recovery",
        "Start of a worker, until it is ready",
        ("store", "start", "tenants"),
        ("ready s",),
        {"tenants": "tenants"},
    ),
    Section(
        "publish",
        "Publishing over the API",
        _publish,
        _publish_table,
        ("requests",),
        ("events per s",),
    ),
)
# In the order in which they are measured.
SECTIONS = {section.name: section for section in _ALL}
