"""Shows the progress of the demo on stderr: a live table on a terminal, a line elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.demo.tenants import DemoTenant
    from hookseal.demo.workers import Worker

_LINE_EVERY_S = 2.0
_COUNTS = ("published", "accepted", "retried", "dead_lettered")


class Watch:
    """Shows progress, in seconds since `began_s` (monotonic); a context manager."""

    def __init__(
        self, tenants: Sequence[DemoTenant], workers: Sequence[Worker], *, began_s: float
    ) -> None:
        self._tenants = tenants
        self._workers = workers
        self._began_s = began_s
        self._printed_s = 0.0
        self._console = Console(stderr=True, highlight=False)
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            table = self._table()
            self._live = Live(table, console=self._console, transient=True, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def print(self, text: str) -> None:
        """Print a line with the time."""
        elapsed_s = time.monotonic() - self._began_s
        self._console.print(f"{elapsed_s:5.1f} s  {text}", markup=False, soft_wrap=True)

    def show(self) -> None:
        """Show the present counts; without a terminal at most every two seconds."""
        if self._live is not None:
            self._live.update(self._table(), refresh=True)
        elif time.monotonic() - self._printed_s > _LINE_EVERY_S:
            self._printed_s = time.monotonic()
            rows = [tenant.figures() for tenant in self._tenants]
            counts = (f"{name} {sum(row[name] for row in rows)}" for name in _COUNTS)
            backoff = sum(worker.log.in_backoff.total() for worker in self._workers)
            self.print(f"{', '.join(counts).replace('_', '-')}, in backoff {backoff}")

    def _table(self) -> Table:
        # Fits 80 columns.
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        for column in ("p", "worker", "tenant", "receiver"):
            table.add_column(column)
        for column in ("published", "accepted", "retried", "dead", "backoff"):
            table.add_column(column, justify="right")
        table.title = f"{time.monotonic() - self._began_s:.0f} s"
        for row in (tenant.figures() for tenant in self._tenants):
            partition, customer_id = row["partition"], row["customer_id"]
            holders = (one.name for one in self._workers if partition in (one.log.partitions or ()))
            worker = next(holders, "").removeprefix("worker ")
            backoff = sum(one.log.in_backoff[customer_id] for one in self._workers)
            counts = (*(row[name] for name in _COUNTS), backoff)
            table.add_row(str(partition), worker, customer_id, row["receiver"], *map(str, counts))
        return table
