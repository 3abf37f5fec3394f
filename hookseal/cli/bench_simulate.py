"""`hookseal bench simulate`: how fast, how long, how many, without a machine to measure on."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hookseal.cli import ui

if TYPE_CHECKING:
    from hookseal.bench.capacity import Demand
    from hookseal.bench.capacity_bytes import Assumptions
    from hookseal.bench.capacity_cost import Prices
    from hookseal.bench.sim_model import Model

__all__ = ["simulate"]

_Ordering = Literal["partition", "customer", "unordered"]
_LATENCY_MS = 50.0
_US, _MS = 1e-6, 1e-3


def simulate(
    *,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help="Webhooks that are published each second.",
            show_default="all are there from the beginning",
        ),
    ] = None,
    latency_ms: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Mean milliseconds from a request to the end of its answer.",
            show_default="50; both 50 and 200 with --plan",
        ),
    ] = None,
    ordering: Annotated[
        _Ordering | None,
        typer.Option(
            help="Who waits for whom.", show_default="HOOKSEAL_ORDERING; each with --plan"
        ),
    ] = None,
    partitions: Annotated[
        int | None,
        typer.Option(min=1, help="Partitions.", show_default="HOOKSEAL_PARTITIONS"),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes, one CPU each.")] = 1,
    customers: Annotated[
        int, typer.Option(min=1, help="Customers, each with as many events as the next.")
    ] = 1000,
    cpu_us: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Microseconds of CPU of a webhook.",
            show_default="as docs/capacity.md counts",
        ),
    ] = None,
    events: Annotated[int, typer.Option(min=100, help="Events to simulate.")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="The same one makes the same events.")] = 0,
    failing: Annotated[
        float, typer.Option(min=0, max=0.99, help="Share of attempts that fail.")
    ] = 0.0,
    spread: Annotated[
        bool,
        typer.Option(
            "--spread", help="Answers take longer or shorter (exponential), not all the same."
        ),
    ] = False,
    even: Annotated[
        bool,
        typer.Option(
            "--even", help="Put customers on partitions in turns, not by the hash of their ids."
        ),
    ] = False,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Simulate nothing: what --rate needs, or 1,000 to 1,000,000."),
    ] = False,
    utilisation: Annotated[
        float, typer.Option(min=0.01, max=1, help="Share of what can be carried, for --plan.")
    ] = 0.6,
    event_bytes: Annotated[int, typer.Option(min=1, help="Bytes of an event, for --plan.")] = 1024,
    vcpu_hour: Annotated[
        float, typer.Option(min=0, help="Price of one vCPU for an hour, for --plan.")
    ] = 0.04,
    egress_gb: Annotated[
        float, typer.Option(min=0, help="Price of 10^9 bytes sent out, for --plan.")
    ] = 0.08,
    broker_vcpus: Annotated[
        int,
        typer.Option(min=0, help="vCPUs of a broker; 0 = Kafka is paid for elsewhere."),
    ] = 0,
    markdown: Annotated[
        Path | None,
        typer.Option(
            help="Page to renew between its marks, `docs/capacity.md`, with the defaults of all."
        ),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="File to write all figures to.")] = None,
) -> None:
    """Simulate workers and receivers in no time, beside what the formulas say and what binds.

    Bounds and backoff are those of the shell's settings (HOOKSEAL_MAX_IN_FLIGHT and others).
    Kafka is not simulated: docs/capacity.md says what else is not.
    """
    from hookseal.bench.capacity import Work
    from hookseal.bench.capacity_bytes import Assumptions
    from hookseal.bench.capacity_cost import Prices
    from hookseal.bench.capacity_table import LATENCIES_S, ORDERINGS, RATES_PER_S, demands
    from hookseal.bench.sim_model import CPU_S, Model, bounds_of
    from hookseal.bench.simulation import exponential
    from hookseal.config import load

    if markdown is not None:
        _renew(markdown)
        return
    settings = load()
    work = Work(
        latency_s=(_LATENCY_MS if latency_ms is None else latency_ms) * _MS,
        cpu_s=CPU_S if cpu_us is None else cpu_us * _US,
    )
    if plan:
        asked = demands(
            cpu_s=work.cpu_s,
            utilisation=utilisation,
            bounds=bounds_of(settings),
            rates_per_s=RATES_PER_S if rate is None else (rate,),
            latencies_s=LATENCIES_S if latency_ms is None else (work.latency_s,),
            orderings=ORDERINGS if ordering is None else (ordering,),
        )
        prices = Prices(vcpu_hour, egress_gb, broker_vcpus)
        assumed = Assumptions(event_bytes, commit_interval_s=settings.commit_interval_s)
        _plan(asked, prices, assumed, json)
        return
    model = Model(
        partitions=partitions or settings.partitions,
        workers=workers,
        customers=customers,
        ordering=ordering or settings.ordering,
        latency_s=work.latency_s,
        cpu_s=work.cpu_s,
        bounds=bounds_of(settings),
        spread=exponential if spread else None,
        failing=failing,
        backoff=settings.backoff,
        placing="even" if even else "hashed",
    )
    _simulate(model, rate, events, seed, json)


def _simulate(
    model: "Model", per_s: float | None, events: int, seed: int, json: Path | None
) -> None:
    from hookseal.bench.sim_report import SIMULATION_COLUMNS, simulation_figures, simulation_rows
    from hookseal.cli.bench_output import write_figures

    with ui.working("Simulating"):
        figures = simulation_figures(model, per_s=per_s, events=events, seed=seed)
    ui.table(SIMULATION_COLUMNS, simulation_rows(figures))
    if json is not None:
        write_figures(json, figures)


def _plan(
    asked: "list[Demand]", prices: "Prices", assumed: "Assumptions", json: Path | None
) -> None:
    from dataclasses import asdict

    from hookseal.bench.capacity_table import COLUMNS, plan_figures, table_rows
    from hookseal.cli.bench_output import write_figures

    ui.table(COLUMNS, table_rows(asked, prices, assumed))
    if json is not None:
        plans = plan_figures(asked, prices, assumed)
        write_figures(
            json, {"prices": asdict(prices), "assumptions": asdict(assumed), "plans": plans}
        )


def _renew(path: Path) -> None:
    from hookseal.bench.capacity_page import renewed
    from hookseal.cli.bench_output import write
    from hookseal.errors import ConfigurationError

    try:
        page = path.read_text()
    except OSError as error:
        raise ConfigurationError(
            "file_not_read", f"The file cannot be read: {error.strerror}.", field=str(path)
        ) from None
    with ui.working("Simulating"):
        page = renewed(page)
    write(path, page.encode())
