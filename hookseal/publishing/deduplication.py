"""Recently published event ids and their positions, bounded by number and age."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import NamedTuple

_MARK_BYTES = 16
_FINGERPRINT_BYTES = 8


class Published(NamedTuple):
    """A record that was published under a chosen id.

    Attributes:
        fingerprint: Of its value.
        partition: Counted from 0.
        offset: Counted from 0.
        at: Unix seconds.
    """

    fingerprint: bytes
    partition: int
    offset: int
    at: float


def mark_of(customer_id: bytes, event_id: bytes, copy: int | None = None) -> bytes:
    """Return the key of a customer's event id.

    Args:
        customer_id: Empty for a broadcast.
        event_id: Unique within the customer.
        copy: The partition of a broadcast's copy: each is remembered for itself, so that
            a repeat writes those that are missing.
    """
    # A digest, so that what is remembered takes the same memory whatever the ids are.
    place = b"" if copy is None else b"%d" % copy
    # No id has a line break in it.
    return blake2b(b"%b\n%b\n%b" % (customer_id, event_id, place), digest_size=_MARK_BYTES).digest()


def fingerprint_of(value: bytes) -> bytes:
    """Return a fingerprint that differs for another value under the same id."""
    return blake2b(value, digest_size=_FINGERPRINT_BYTES).digest()


class RecentIds:
    """Remembers the latest ids, each for a window of time."""

    def __init__(self, *, ids_max: int, window_s: float) -> None:
        """Remember at most `ids_max` ids, the latest, each for `window_s` seconds."""
        self._ids_max = ids_max
        self._window_s = window_s
        self._found: OrderedDict[bytes, Published] = OrderedDict()

    def __len__(self) -> int:
        return len(self._found)

    def get(self, mark: bytes, *, now: float) -> Published | None:
        """Return the record that was published under the id within the window, or None."""
        found = self._found.get(mark)
        return None if found is None or now - found.at > self._window_s else found

    def remember(self, mark: bytes, published: Published) -> None:
        """Remember a record; within the window, the first record of an id counts."""
        if self.get(mark, now=published.at) is not None:
            return
        # To the end of the line, also where an older one is forgotten for it.
        self._found.pop(mark, None)
        self._found[mark] = published
        while len(self._found) > self._ids_max or self._oldest_is_over(published.at):
            self._found.popitem(last=False)

    def _oldest_is_over(self, now: float) -> bool:
        return now - next(iter(self._found.values())).at > self._window_s
