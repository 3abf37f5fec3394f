"""Who goes behind whom, for each of the orders there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from hookseal.delivery.ordering.scheduler import OrderingKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hookseal.domain.record import Record

__all__ = ["Ordering", "ordering_keys_for"]

Ordering = Literal["partition", "customer", "unordered"]


class Audience(Protocol):
    """Knows for whom a record is."""

    def customers(self, record: Record) -> Sequence[str] | None:
        """Return the customers of a broadcast; None for a record of one customer."""
        ...


def ordering_keys_for(
    ordering: Ordering, audience: Audience
) -> Callable[[Record], Iterable[OrderingKey]]:
    """Return what finds a record's places.

    - `partition`: one line for all.
    - `customer`: one line for each key. A broadcast takes its turn in the line of each
      tenant it is for, so that none of them waits for another's. Records without a key
      share a line; they are given up at once.
    - `unordered`: a line of its own for each record.
    """

    def by_customer(record: Record) -> Iterable[OrderingKey]:
        customers = audience.customers(record)
        if customers is None:
            return (OrderingKey(record.key),)
        return [OrderingKey(customer_id.encode(), customer_id) for customer_id in customers]

    if ordering == "customer":
        return by_customer
    if ordering == "unordered":
        return lambda record: (OrderingKey(record.offset),)
    return lambda _: (OrderingKey(None),)
