"""Rate limit for the warnings and errors of libraries."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_INTERVAL_S = 60.0
_MAX_KEYS = 1000


class RepeatedLines(logging.Filter):
    """Passes a library's warning or error once a minute, per logger and message template.

    While no broker answers, aiokafka and Faust write about 80 of them per second. Lines of hookseal
    and lines below WARNING always pass.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        # Several threads write lines.
        self._lock = threading.Lock()
        # When the last line of a key passed, and how many were dropped since.
        self._passed: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write the line; add the number of lines that were dropped before."""
        if record.levelno < logging.WARNING or record.name.partition(".")[0] == "hookseal":
            return True
        with self._lock:
            dropped = self._dropped_before(record.name, str(record.msg))
        if dropped:
            record.msg = f"{record.msg} ({dropped} more since the last such line)"
        return dropped is not None

    def _dropped_before(self, name: str, template: str) -> int | None:
        now = self._clock()
        key = (name, template)
        if key not in self._passed and len(self._passed) >= _MAX_KEYS:
            self._passed = {
                known: state
                for known, state in self._passed.items()
                if now - state[0] < _INTERVAL_S
            }
            if len(self._passed) >= _MAX_KEYS:
                key = (name, "")
        passed_at, dropped = self._passed.get(key, (now - _INTERVAL_S, 0))
        if now - passed_at < _INTERVAL_S:
            self._passed[key] = (passed_at, dropped + 1)
            return None
        self._passed[key] = (now, 0)
        return dropped
