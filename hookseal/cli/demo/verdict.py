"""Does what the demo claims hold? Decided from the books alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hookseal.cli.demo.books import Book

__all__ = ["Claim", "judge"]


@dataclass(frozen=True, slots=True)
class Claim:
    """Something the demo says of itself.

    Attributes:
        code: Stable.
        text: What is claimed.
        faults: What speaks against it; it holds when there is nothing.
    """

    code: str
    text: str
    faults: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.faults


def judge(books: Iterable[Book]) -> list[Claim]:
    """Return every claim with what speaks against it."""
    accounts = list(books)
    return [
        Claim(code, text, tuple(fault for book in accounts for fault in faults_in(book)))
        for code, text, faults_in in _CLAIMS
    ]


def _unaccounted(book: Book) -> Iterator[str]:
    accepted, dead = book.accepted, book.dead
    for event_id in book.published:
        if event_id not in accepted and event_id not in dead:
            yield f"{book.customer_id}: {event_id} was neither accepted nor dead-lettered"
        elif event_id in accepted and event_id in dead:
            yield f"{book.customer_id}: {event_id} was both accepted and dead-lettered"
    for event_id in sorted(accepted | dead):
        if event_id not in book.published:
            yield f"{book.customer_id}: {event_id} was never published"
    if len(book.letters) != len(dead):
        yield f"{book.customer_id}: {len(book.letters)} dead letters of {len(dead)} events"
    if book.acknowledged != len(book.published):
        yield (
            f"{book.customer_id}: {book.acknowledged} of {len(book.published)} events "
            "were acknowledged by the broker"
        )


def _out_of_order(book: Book) -> Iterator[str]:
    order = list(book.published)
    position = {event_id: number for number, event_id in enumerate(order)}
    # When a letter was written is not in the books; its own order is checked below.
    decided = book.dead
    latest, first_waiting = -1, 0
    for arrival in book.arrivals:
        at = position.get(arrival.event_id)
        if at is None:
            continue
        while first_waiting < len(order) and order[first_waiting] in decided:
            first_waiting += 1
        if at > latest and first_waiting < at:
            waiting = order[first_waiting]
            yield f"{book.customer_id}: {arrival.event_id} arrived before {waiting} was decided"
        elif at < latest and arrival.event_id not in decided:
            yield f"{book.customer_id}: {arrival.event_id} arrived late"
        latest = max(latest, at)
        if arrival.is_accepted:
            decided.add(arrival.event_id)
    buried = [position[letter.event_id] for letter in book.letters if letter.event_id in position]
    if buried != sorted(buried):
        yield f"{book.customer_id}: dead letters are not in the order of publication"


def _unopened(book: Book) -> Iterator[str]:
    for code in book.refused:
        yield f"{book.customer_id}: a request was refused with {code}"


def _altered(book: Book) -> Iterator[str]:
    for letter in book.letters:
        if letter.value != book.published.get(letter.event_id):
            yield f"{book.customer_id}: the dead letter at {letter.place} has other bytes"


def _needlessly_dead(book: Book) -> Iterator[str]:
    if not book.may_fail:
        for letter in book.letters:
            yield f"{book.customer_id}: {letter.event_id} was dead-lettered: {letter.reason}"
    elif book.published and not book.letters:
        yield f"{book.customer_id}: its receiver is down, and there is no dead letter"


_CLAIMS: tuple[tuple[str, str, Callable[[Book], Iterator[str]]], ...] = (
    ("accounted", "published = accepted + dead-lettered, for every tenant", _unaccounted),
    ("ordered", "each endpoint got its events in the order of publication", _out_of_order),
    ("opened", "every request was verified and opened by unmodified libraries", _unopened),
    ("untouched", "every dead letter holds the bytes that were published", _altered),
    ("isolated", "nobody but the tenant whose receiver is down has dead letters", _needlessly_dead),
)
