"""What one sees while the demo runs: a table that moves, or a line now and then."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Self

from rich import box
from rich.live import Live
from rich.table import Table

from hookseal.cli import ui
from hookseal.cli.demo.plan import PARTITIONS
from hookseal.kafka.partitioner import partition_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.cli.demo.receivers import TenantSide
    from hookseal.cli.demo.workers import Worker

__all__ = ["Watch", "stage"]

_LINE_EVERY_S = 2.0


class Watch:
    """Shows how far things are, on stderr; a context manager."""

    def __init__(
        self, tenants: Sequence[TenantSide], workers: Sequence[Worker], *, began_s: float
    ) -> None:
        """Watch these; times are counted from `began_s`, monotonic seconds."""
        self._tenants = tenants
        self._workers = workers
        self._began_s = began_s
        self._said_s = 0.0
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if ui.err.is_terminal:
            self._live = Live(self._table(), console=ui.err, transient=True, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self) -> None:
        """Show how far things are now."""
        if self._live is not None:
            self._live.update(self._table(), refresh=True)
        elif time.monotonic() - self._said_s > _LINE_EVERY_S:
            self._said_s = time.monotonic()
            ledgers = [tenant.ledger for tenant in self._tenants]
            stage(
                self._began_s,
                f"published {sum(ledger.acknowledged for ledger in ledgers)}, "
                f"accepted {sum(len(ledger.accepted) for ledger in ledgers)}, "
                f"retried {sum(ledger.retries for ledger in ledgers)}, "
                f"dead-lettered {sum(len(ledger.letters) for ledger in ledgers)}, "
                f"in backoff {sum(self._in_backoff().values())}",
            )

    def _table(self) -> Table:
        # Narrow enough for 80 columns.
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        for column in ("p", "worker", "tenant", "receiver"):
            table.add_column(column)
        for column in ("published", "accepted", "retried", "dead", "backoff"):
            table.add_column(column, justify="right")
        table.title = f"{time.monotonic() - self._began_s:.0f} s"
        waiting = self._in_backoff()
        for tenant in self._tenants:
            ledger, role = tenant.ledger, tenant.role
            partition = partition_of(role.customer_id, PARTITIONS)
            table.add_row(
                str(partition),
                self._worker_of(partition),
                role.customer_id,
                role.behaviour.value,
                str(ledger.acknowledged),
                str(len(ledger.accepted)),
                str(ledger.retries),
                str(len(ledger.letters)),
                str(waiting[role.customer_id]),
            )
        return table

    def _worker_of(self, partition: int) -> str:
        holders = (one.name for one in self._workers if partition in (one.log.partitions or ()))
        return next(holders, "").removeprefix("worker ")

    def _in_backoff(self) -> Counter[str]:
        return sum((worker.log.in_backoff for worker in self._workers), Counter())


def stage(began_s: float, text: str) -> None:
    """Say on stderr what happens now."""
    ui.err.print(f"{time.monotonic() - began_s:5.1f} s  {text}", markup=False, soft_wrap=True)
