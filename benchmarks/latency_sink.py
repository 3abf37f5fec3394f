"""Receivers of ours: they answer after a while, on many hosts, and note what came when."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from zlib import crc32

from benchmarks.sink import Sink
from hookseal.kafka.broker.ports import HOST

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

# Besides the first; a customer of a hundred shares its host with nine others.
_HOSTS = 100


def hosts_here() -> list[str]:
    """Return the loopback addresses that need no set-up: a hundred on Linux, one elsewhere."""
    if sys.platform != "linux":
        return [HOST]
    return [f"127.0.1.{number}" for number in range(1, _HOSTS + 1)]


class TimedSink(Sink):
    """`latency_receiver` in a process of its own; a context manager, as `Sink` is."""

    _name = "receiver"

    def __init__(
        self, folder: Path, *, delay_s: float = 0.0, hosts: Sequence[str] = (), notes: bool = False
    ) -> None:
        """Prepare.

        Args:
            folder: For its log and its notes.
            delay_s: Seconds from a request to its answer.
            hosts: Other loopback addresses that it listens on; customers are spread over them.
            notes: Whether it notes what comes, for `arrivals`.
        """
        self._delay_s = delay_s
        self._hosts = [*hosts] or [HOST]
        self._notes = folder / "arrivals" if notes else None
        super().__init__(folder)

    def url(self, customer_id: str) -> str:
        """Return the endpoint of a customer, always on the same host."""
        host = self._hosts[crc32(customer_id.encode()) % len(self._hosts)]
        return f"http://{host}:{self.port}/{customer_id}"

    def arrivals(self) -> list[tuple[float, str]]:
        """Return moment (`time.monotonic`) and event id of each request, once it has ended."""
        return [] if self._notes is None else arrivals_of(self._notes.read_text().splitlines())

    def _command(self, folder: Path) -> Sequence[str]:
        del folder
        hosts = ",".join([HOST, *(host for host in self._hosts if host != HOST)])
        notes = [] if self._notes is None else [str(self._notes)]
        numbers = map(str, (self.port, self._status_port, self._delay_s))
        return [sys.executable, "-m", "benchmarks.latency_receiver", hosts, *numbers, *notes]

    def _count_on(self, page: str) -> int:
        return int(page)


def arrivals_of(lines: Iterable[str]) -> list[tuple[float, str]]:
    """Read the notes of a receiver."""
    found = (line.split(" ", 1) for line in lines)
    return [(float(at), event_id) for at, event_id in found]
