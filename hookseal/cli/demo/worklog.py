"""What a worker's log tells: its partitions, its attempts, what waits in backoff."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

__all__ = ["WorkLog"]


class WorkLog:
    """Reads a worker's structured log.

    It is for looking on. What the demo claims it checks against the receivers and the
    dead letters, never against what the workers say of themselves.

    Attributes:
        partitions: Those that it was assigned last; None before it was assigned any.
        attempts: Requests that it made so far.
    """

    def __init__(self) -> None:
        self.partitions: tuple[int, ...] | None = None
        self.attempts = 0
        self._waiting: set[tuple[str, str]] = set()
        self._unread = b""

    @property
    def in_backoff(self) -> Counter[str]:
        """Deliveries whose latest attempt failed and that will be tried again, by customer."""
        return Counter(customer_id for customer_id, _ in self._waiting)

    def read(self, text: bytes) -> None:
        """Take what was written since; a line that is not complete waits for its rest."""
        *lines, self._unread = (self._unread + text).split(b"\n")
        for line in lines:
            # Faust's banner and tracebacks stand between the structured lines.
            if line.startswith(b"{"):
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                self._take(entry)

    def _take(self, entry: dict[str, Any]) -> None:
        match entry.get("event"):
            case "worker.partitions_assigned":
                self.partitions = tuple(entry["partitions"])
            case "delivery.attempted":
                self.attempts += 1
                delivery = (entry["customer_id"], entry["event_id"])
                self._waiting.discard(delivery)
                if entry["code"] != "accepted" and entry["attempt"] < entry["attempt_max"]:
                    self._waiting.add(delivery)
