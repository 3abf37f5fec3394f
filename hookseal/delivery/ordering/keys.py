"""Ordering modes: which records must not overtake each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, get_args

from hookseal.delivery.ordering.scheduler import IN_SEQUENCE, OrderingKey

if TYPE_CHECKING:
    from collections.abc import Container, Hashable, Iterable, Sequence

    from hookseal.delivery.ordering.scheduler import Part
    from hookseal.domain.endpoint import Endpoint
    from hookseal.domain.record import Record

Ordering = Literal["partition", "customer", "endpoint", "key", "unordered"]
_FROM_STRICT_TO_LOOSE: tuple[Ordering, ...] = get_args(Ordering)


def ordering_of(
    endpoint: Endpoint, customer_id: str, operators: Ordering, queued: Container[Hashable]
) -> Ordering:
    """Return the looser one of the endpoint's and the operator's ordering mode.

    In the mode `partition`, events of a suspended endpoint are deferred in a queue of their own,
    and those that are read before the queue is empty follow.
    """
    if endpoint.ordering is not None:
        return max(endpoint.ordering, operators, key=_FROM_STRICT_TO_LOOSE.index)
    if operators == "partition" and (
        endpoint.suspension is not None or (customer_id.encode(), (endpoint.id,)) in queued
    ):
        return "endpoint"
    return operators


class Divider(Protocol):
    """Divides records into parts."""

    def is_divided(
        self, record: Record, ordering: Ordering, queued: Container[Hashable]
    ) -> bool | None:
        """Return whether endpoints of the tenant have a looser mode; None = no known tenant.

        A broadcast is divided. `queued`: the names of the queues in use.
        """
        ...

    def split(
        self, record: Record, ordering: Ordering, queued: Container[Hashable]
    ) -> Sequence[Part] | None:
        """Return the parts; None = handle the record as a whole."""
        ...


class OrderingKeyFinder:
    """Finds the ordering keys of each record.

    - `partition`: one queue for all records.
    - `customer`: one queue per customer. A broadcast has a part for each of its tenants, so that no
      tenant waits for another.
    - `endpoint`: one queue per endpoint.
    - `key`: one queue per endpoint and ordering key of the events.
    - `unordered`: a queue per record.

    An endpoint with a looser mode of its own has a part of its own, in a queue of that mode.
    """

    def __init__(self, ordering: Ordering, divider: Divider) -> None:
        self._ordering = ordering
        self._divider = divider

    def __call__(self, record: Record, queued: Container[Hashable]) -> Iterable[OrderingKey]:
        """Return none if there is nothing to do; `queued`: the names of the queues in use."""
        ordering = self._ordering
        if ordering == "unordered":
            return (OrderingKey(record.offset, record.key),)
        if (record.key,) in queued:
            # An earlier record of the customer waits for its tenant.
            return (OrderingKey((record.key,), record.key),)
        is_divided: bool | None = True
        if ordering in ("partition", "customer"):
            is_divided = self._divider.is_divided(record, ordering, queued)
        parts = self._divider.split(record, ordering, queued) if is_divided else None
        if parts is None:
            return (self._whole(record, is_known=is_divided is not None),)
        return [
            OrderingKey(self._queue_of(part, queued), part.customer_id.encode(), part)
            for part in parts
        ]

    def _whole(self, record: Record, *, is_known: bool) -> OrderingKey:
        if self._ordering == "partition":
            return OrderingKey(IN_SEQUENCE)
        if record.key is None:
            return OrderingKey(record.offset)
        if self._ordering == "customer" and is_known:
            return OrderingKey(record.key, record.key)
        # No endpoint can be found yet: behind others of its customer.
        return OrderingKey((record.key,), record.key)

    def _queue_of(self, part: Part, queued: Container[Hashable]) -> Hashable:
        customer = part.customer_id.encode()
        if part.ordering == "partition":
            return IN_SEQUENCE
        # Then an earlier record of the customer waits for its tenant.
        if (customer,) not in queued:
            match part.ordering:
                case "customer":
                    return customer
                case "endpoint" if part.endpoint_ids:
                    return customer, part.endpoint_ids
                case "key" if part.endpoint_ids:
                    return customer, part.endpoint_ids, part.event.ordering_key or part.customer_id
                case "unordered":
                    return part.event.record.offset, customer, part.endpoint_ids
        return (customer,)
