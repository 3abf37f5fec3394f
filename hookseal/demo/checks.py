"""Checks the claims of the demo against the ledgers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from hookseal.demo.ledger import Ledger


class Claim(NamedTuple):
    """A claim of the demo; it holds if there are no faults."""

    code: str
    text: str
    faults: list[str]


def check_claims(ledgers: Collection[Ledger]) -> list[Claim]:
    """Return every claim with the faults that contradict it."""
    return [
        Claim(
            code, text, [f"{one.customer_id}: {fault}" for one in ledgers for fault in check(one)]
        )
        for code, text, check in _CLAIMS
    ]


def _not_accounted(ledger: Ledger) -> Iterator[str]:
    accepted, dead = ledger.accepted, ledger.dead
    for event_id in ledger.published:
        if event_id not in accepted and event_id not in dead:
            yield f"{event_id} was neither accepted nor dead-lettered"
        elif event_id in accepted and event_id in dead:
            yield f"{event_id} was both accepted and dead-lettered"
    for event_id in sorted(accepted | dead):
        if event_id not in ledger.published:
            yield f"{event_id} was never published"
    if len(ledger.letters) != len(dead):
        yield f"{len(ledger.letters)} dead letters of {len(dead)} events"
    if ledger.acknowledged != len(ledger.published):
        yield (f"the broker acknowledged {ledger.acknowledged} of {len(ledger.published)} events")


def _out_of_order(ledger: Ledger) -> Iterator[str]:
    order = list(ledger.published)
    position = {event_id: number for number, event_id in enumerate(order)}
    # The ledger does not say when a letter was written. The order of letters is checked below.
    decided = ledger.dead
    latest, first_waiting = -1, 0
    for arrival in ledger.arrivals:
        at = position.get(arrival.event_id)
        if at is None:
            continue
        while first_waiting < len(order) and order[first_waiting] in decided:
            first_waiting += 1
        if at > latest and first_waiting < at:
            yield f"{arrival.event_id} arrived before {order[first_waiting]} was decided"
        elif at < latest and arrival.event_id not in decided:
            yield f"{arrival.event_id} arrived late"
        latest = max(latest, at)
        if arrival.is_accepted:
            decided.add(arrival.event_id)
    letters = [position[one.event_id] for one in ledger.letters if one.event_id in position]
    if letters != sorted(letters):
        yield "dead letters are not in the order of publication"


def _not_decrypted(ledger: Ledger) -> Iterator[str]:
    for code in ledger.refused:
        yield f"a request was refused with {code}"


def _altered(ledger: Ledger) -> Iterator[str]:
    for letter in ledger.letters:
        if letter.value != ledger.published.get(letter.event_id):
            yield f"the dead letter {letter.id} has other bytes"


def _not_isolated(ledger: Ledger) -> Iterator[str]:
    if not ledger.may_fail:
        for letter in ledger.letters:
            yield f"{letter.event_id} was dead-lettered: {letter.reason}"
    elif ledger.published and not ledger.letters:
        yield "the receiver is down, but there is no dead letter"


_CLAIMS: tuple[tuple[str, str, Callable[[Ledger], Iterator[str]]], ...] = (
    ("accounted", "published = accepted + dead-lettered, for every tenant", _not_accounted),
    ("ordered", "each endpoint got its events in the order of publication", _out_of_order),
    ("opened", "unmodified libraries verified and decrypted every request", _not_decrypted),
    ("untouched", "every dead letter holds the bytes that were published", _altered),
    ("isolated", "only the tenant whose receiver is down has dead letters", _not_isolated),
)
