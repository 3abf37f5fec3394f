"""Does what the demo claims hold? Decided from the books alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hookseal.cli.demo.ledger import Ledger

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


def judge(ledgers: Iterable[Ledger]) -> list[Claim]:
    """Return every claim with what speaks against it."""
    accounts = list(ledgers)
    return [
        Claim(code, text, tuple(fault for ledger in accounts for fault in faults_in(ledger)))
        for code, text, faults_in in _CLAIMS
    ]


def _unaccounted(ledger: Ledger) -> Iterator[str]:
    accepted, dead = ledger.accepted, ledger.dead
    for event_id in ledger.published:
        if event_id not in accepted and event_id not in dead:
            yield f"{ledger.customer_id}: {event_id} was neither accepted nor dead-lettered"
        elif event_id in accepted and event_id in dead:
            yield f"{ledger.customer_id}: {event_id} was both accepted and dead-lettered"
    for event_id in sorted(accepted | dead):
        if event_id not in ledger.published:
            yield f"{ledger.customer_id}: {event_id} was never published"
    if len(ledger.letters) != len(dead):
        yield f"{ledger.customer_id}: {len(ledger.letters)} dead letters of {len(dead)} events"
    if ledger.acknowledged != len(ledger.published):
        yield (
            f"{ledger.customer_id}: {ledger.acknowledged} of {len(ledger.published)} events "
            "were acknowledged by the broker"
        )


def _out_of_order(ledger: Ledger) -> Iterator[str]:
    order = list(ledger.published)
    position = {event_id: number for number, event_id in enumerate(order)}
    # When a letter was written is not in the books; its own order is checked below.
    decided = ledger.dead
    latest, first_waiting = -1, 0
    for arrival in ledger.arrivals:
        at = position.get(arrival.event_id)
        if at is None:
            continue
        while first_waiting < len(order) and order[first_waiting] in decided:
            first_waiting += 1
        if at > latest and first_waiting < at:
            waiting = order[first_waiting]
            yield f"{ledger.customer_id}: {arrival.event_id} arrived before {waiting} was decided"
        elif at < latest and arrival.event_id not in decided:
            yield f"{ledger.customer_id}: {arrival.event_id} arrived late"
        latest = max(latest, at)
        if arrival.is_accepted:
            decided.add(arrival.event_id)
    buried = [position[letter.event_id] for letter in ledger.letters if letter.event_id in position]
    if buried != sorted(buried):
        yield f"{ledger.customer_id}: dead letters are not in the order of publication"


def _unopened(ledger: Ledger) -> Iterator[str]:
    for code in ledger.refused:
        yield f"{ledger.customer_id}: a request was refused with {code}"


def _altered(ledger: Ledger) -> Iterator[str]:
    for letter in ledger.letters:
        if letter.value != ledger.published.get(letter.event_id):
            yield f"{ledger.customer_id}: the dead letter at {letter.place} has other bytes"


def _needlessly_dead(ledger: Ledger) -> Iterator[str]:
    if not ledger.may_fail:
        for letter in ledger.letters:
            yield f"{ledger.customer_id}: {letter.event_id} was dead-lettered: {letter.reason}"
    elif ledger.published and not ledger.letters:
        yield f"{ledger.customer_id}: its receiver is down, and there is no dead letter"


_CLAIMS: tuple[tuple[str, str, Callable[[Ledger], Iterator[str]]], ...] = (
    ("accounted", "published = accepted + dead-lettered, for every tenant", _unaccounted),
    ("ordered", "each endpoint got its events in the order of publication", _out_of_order),
    ("opened", "every request was verified and opened by unmodified libraries", _unopened),
    ("untouched", "every dead letter holds the bytes that were published", _altered),
    ("isolated", "nobody but the tenant whose receiver is down has dead letters", _needlessly_dead),
)
