"""The demo's workers: `faust -A streams.app worker` processes, and what their logs say."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hookseal.errors import HooksealError
from hookseal.kafka.broker.process import Child

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_STOP_S = 10.0
_LINES_SHOWN = 5
# Lines of Faust's banner begin so.
_BANNER = ("|", "+")


class Worker:
    """One worker process; an asynchronous context manager, which stops the process."""

    def __init__(self, name: str, env: Mapping[str, str], folder: Path) -> None:
        """Create `folder` for the log and the data; `env` is the whole environment."""
        self.name = name
        self.log = WorkLog()
        folder.mkdir()
        # The child does not outlive this process, and Ctrl-C does not reach it: the demo stops
        # the workers while the broker still takes their commits.
        self._child = Child(
            [str(Path(sys.executable).with_name("faust")), "-A", "streams.app", "worker"],
            log=folder / "worker.log",
            env={**env, "HOOKSEAL_DATA_DIR": str(folder)},
        )

    async def __aenter__(self) -> Self:
        self._child.start()
        self._file = self._child.log.open("rb")
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.stop()
        finally:
            # A second Ctrl-C ends up here as well, and leaves no worker behind.
            if self._child.alive:
                self._child.kill()
            self._file.close()

    async def stop(self) -> None:
        """Send SIGTERM, and SIGKILL after ten seconds."""
        # Signal before the thread starts: it may have to wait for another worker's thread.
        self._child.ask_to_stop()
        await asyncio.to_thread(self._child.stop, grace_s=_STOP_S)
        self.log.read(self._file.read())

    def poll(self) -> None:
        """Read new log lines.

        Raises:
            HooksealError: `worker_ended`, with the last lines of the log.
        """
        self.log.read(self._file.read())
        if self._child.alive:
            return
        lines = self._child.log.read_text(errors="replace").splitlines()
        last = [line for line in lines if not line.startswith(_BANNER)][-_LINES_SHOWN:]
        raise HooksealError(
            "worker_ended",
            f"The worker ended with {self._child.status}. Its log ends with: {' | '.join(last)}",
            field=self.name,
        )


class WorkLog:
    """Reads a worker's structured log, to show progress. No claim of the demo depends on it.

    Attributes:
        partitions: The latest assignment; None before the first one.
        attempts: Number of requests so far.
    """

    def __init__(self) -> None:
        self.partitions: tuple[int, ...] | None = None
        self.attempts = 0
        self._waiting: set[tuple[str, str]] = set()
        self._unread = b""

    @property
    def in_backoff(self) -> Counter[str]:
        """Deliveries whose latest attempt failed and that will be retried, by customer id."""
        return Counter(customer_id for customer_id, _ in self._waiting)

    def read(self, text: bytes) -> None:
        """Read what was appended; an incomplete line waits for its rest."""
        *lines, self._unread = (self._unread + text).split(b"\n")
        for line in lines:
            # Faust's banner and tracebacks stand between the structured lines.
            if line.startswith(b"{"):
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                self._add(entry)

    def _add(self, entry: dict[str, Any]) -> None:
        match entry.get("event"):
            case "worker.partitions_assigned":
                self.partitions = tuple(entry["partitions"])
            case "delivery.attempted":
                self.attempts += 1
                delivery = (entry["customer_id"], entry["event_id"])
                self._waiting.discard(delivery)
                if entry["code"] != "accepted" and entry["attempt"] < entry["attempt_max"]:
                    self._waiting.add(delivery)


def share_all(held: Sequence[tuple[int, ...] | None], partitions: int) -> bool:
    """Return whether each worker holds some partitions and together they hold each one once."""
    return all(held) and sorted(sum((one or () for one in held), ())) == list(range(partitions))
