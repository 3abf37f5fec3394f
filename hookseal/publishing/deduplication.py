"""Recently published event ids and their positions, bounded by number and age."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hookseal.domain.new_event import NewEvent

_MARK_BYTES = 16
_FINGERPRINT_BYTES = 8


class Published(NamedTuple):
    """A record with a chosen id: the fingerprint of its value, and its Unix time of publication."""

    fingerprint: bytes
    partition: int
    offset: int
    at: float


def mark_of(customer_id: bytes, event_id: bytes, copy: int | None = None) -> bytes:
    """Return the key of an event id, of the same size for all ids. Broadcasts have no customer id.

    Each copy of a broadcast is remembered by its partition, so that a repeat writes missing ones.
    """
    partition = b"" if copy is None else b"%d" % copy
    # No id contains a line break.
    content = b"%b\n%b\n%b" % (customer_id, event_id, partition)
    return blake2b(content, digest_size=_MARK_BYTES).digest()


def fingerprint_of(value: bytes) -> bytes:
    """Return a fingerprint that differs for another value under the same id."""
    return blake2b(value, digest_size=_FINGERPRINT_BYTES).digest()


def identity_of(event: NewEvent, partition: int) -> tuple[bytes | None, bytes]:
    """Return mark and fingerprint of an event's record; None and empty if no id was chosen."""
    if not event.has_chosen_id:
        return None, b""
    copy = partition if event.is_broadcast else None
    mark = mark_of(event.customer_id.encode(), (event.event_id or "").encode(), copy)
    return mark, fingerprint_of(event.value)


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
        # Remove an expired entry first, so that the new one goes to the end of the order.
        self._found.pop(mark, None)
        self._found[mark] = published
        oldest_at = published.at - self._window_s
        while len(self._found) > self._ids_max or next(iter(self._found.values())).at < oldest_at:
            self._found.popitem(last=False)
