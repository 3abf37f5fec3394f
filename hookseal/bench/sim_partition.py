"""One partition of the simulation: whose turn it is, and room on the wire.

The same rules as `hookseal.delivery.lanes` and `hookseal.delivery.room`, without tasks: what
may go on is told at once.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookseal.bench.sim_model import Bounds, Journey
    from hookseal.delivery.lanes.turns import Ordering

__all__ = ["Room", "Turns"]


class Turns:
    """Takes events in the order of the log, and begins each when its line is free."""

    def __init__(
        self, ordering: Ordering, bounds: Bounds, begin: Callable[[Journey], None]
    ) -> None:
        """Begin empty.

        Args:
            ordering: Who waits for whom.
            bounds: The window, and how many may wait behind one line.
            begin: Told of each event whose turn has come.
        """
        self._ordering = ordering
        self._window = 1 if ordering == "partition" else bounds.window
        # The first of a line is in hand and does not wait.
        self._longest = bounds.waiting + 1
        self._begin = begin
        self._log: deque[Journey] = deque()
        self._lines: dict[int, deque[Journey]] = {}
        self._taken = 0

    def arrive(self, journey: Journey) -> None:
        """Put an event at the end of the log."""
        self._log.append(journey)
        self._take()

    def finish(self, journey: Journey) -> None:
        """Let on whoever waited for this event."""
        name = self._line_of(journey)
        line = self._lines[name]
        line.popleft()
        self._taken -= 1
        if line:
            self._begin(line[0])
        else:
            del self._lines[name]
        self._take()

    def _take(self) -> None:
        # In the order of the log: whoever finds no room holds all behind it.
        while self._log and self._taken < self._window:
            journey = self._log[0]
            line = self._lines.setdefault(self._line_of(journey), deque())
            if len(line) >= self._longest:
                return
            self._log.popleft()
            self._taken += 1
            line.append(journey)
            if len(line) == 1:
                self._begin(journey)

    def _line_of(self, journey: Journey) -> int:
        if self._ordering == "customer":
            return journey.customer
        return journey.number if self._ordering == "unordered" else 0


class Room:
    """Lets attempts in; customers that wait get their turns one after the other."""

    def __init__(
        self, ordering: Ordering, bounds: Bounds, begin: Callable[[Journey], None]
    ) -> None:
        """Begin empty.

        Args:
            ordering: The order `partition` needs no bound.
            bounds: Attempts at a time, in all and of each customer.
            begin: Told of each event that is let in.
        """
        self._is_open = ordering == "partition"
        self._in_all = bounds.at_a_time
        self._each = bounds.each
        self._begin = begin
        self._count = 0
        self._inside: Counter[int] = Counter()
        self._waiting: OrderedDict[int, deque[Journey]] = OrderedDict()

    def enter(self, journey: Journey) -> None:
        """Begin an attempt, now or as soon as there is room."""
        if self._fits(journey.customer):
            self._admit(journey)
        else:
            self._waiting.setdefault(journey.customer, deque()).append(journey)

    def leave(self, journey: Journey) -> None:
        """Make room for the next."""
        self._count -= 1
        self._inside[journey.customer] -= 1
        # One leaves, one enters: before, nobody who waits could.
        name = next((name for name in self._waiting if self._fits(name)), None)
        if name is None:
            return
        line = self._waiting.pop(name)
        following = line.popleft()
        if line:
            # Behind the others.
            self._waiting[name] = line
        self._admit(following)

    def _fits(self, customer: int) -> bool:
        return self._is_open or (self._count < self._in_all and self._inside[customer] < self._each)

    def _admit(self, journey: Journey) -> None:
        self._count += 1
        self._inside[journey.customer] += 1
        self._begin(journey)
