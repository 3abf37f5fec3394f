"""Ordering modes: which records must not overtake each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from hookseal.delivery.ordering.scheduler import OrderingKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hookseal.domain.record import Record

Ordering = Literal["partition", "customer", "unordered"]


def ordering_keys_for(
    ordering: Ordering, customers_of: Callable[[Record], Sequence[str] | None]
) -> Callable[[Record], Iterable[OrderingKey]]:
    """Return the function that finds the ordering keys of a record.

    `customers_of` returns the customers of a broadcast; None for a record of one customer.

    - `partition`: one queue for all records.
    - `customer`: one queue per customer. A broadcast has an ordering key for each of its tenants,
      so that no tenant waits for another. Records without a key share a queue; they are
      dead-lettered at once.
    - `unordered`: a queue per record.
    """

    def by_customer(record: Record) -> Iterable[OrderingKey]:
        customers = customers_of(record)
        if customers is None:
            return (OrderingKey(record.key),)
        return [OrderingKey(customer_id.encode(), customer_id) for customer_id in customers]

    if ordering == "customer":
        return by_customer
    if ordering == "unordered":
        return lambda record: (OrderingKey(record.offset),)
    return lambda _: (OrderingKey(None),)
