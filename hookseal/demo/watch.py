"""Shows the progress of the demo on stderr: a live table on a terminal, a line elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from hookseal.demo.plan import PARTITIONS
from hookseal.kafka.partitioner import partition_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.demo.tenants import DemoTenant
    from hookseal.demo.workers import Worker

_LINE_EVERY_S = 2.0


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
            self._live = Live(
                self._table(), console=self._console, transient=True, auto_refresh=False
            )
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
            ledgers = [tenant.ledger for tenant in self._tenants]
            self.print(
                f"published {sum(ledger.acknowledged for ledger in ledgers)}, "
                f"accepted {sum(len(ledger.accepted) for ledger in ledgers)}, "
                f"retried {sum(ledger.retries for ledger in ledgers)}, "
                f"dead-lettered {sum(len(ledger.letters) for ledger in ledgers)}, "
                f"in backoff {sum(one.log.in_backoff.total() for one in self._workers)}"
            )

    def _table(self) -> Table:
        # Fits 80 columns.
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        for column in ("p", "worker", "tenant", "receiver"):
            table.add_column(column)
        for column in ("published", "accepted", "retried", "dead", "backoff"):
            table.add_column(column, justify="right")
        table.title = f"{time.monotonic() - self._began_s:.0f} s"
        for tenant in self._tenants:
            ledger = tenant.ledger
            partition = partition_of(tenant.customer_id, PARTITIONS)
            counts = (
                ledger.acknowledged,
                len(ledger.accepted),
                ledger.retries,
                len(ledger.letters),
                sum(one.log.in_backoff[tenant.customer_id] for one in self._workers),
            )
            table.add_row(
                str(partition),
                self._worker_of(partition),
                tenant.customer_id,
                tenant.behaviour.receiver.value,
                *map(str, counts),
            )
        return table

    def _worker_of(self, partition: int) -> str:
        holders = (one.name for one in self._workers if partition in (one.log.partitions or ()))
        return next(holders, "").removeprefix("worker ")
