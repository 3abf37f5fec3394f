"""Ordering modes: which records must not overtake each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from hookseal.delivery.ordering.scheduler import IN_SEQUENCE, OrderingKey

if TYPE_CHECKING:
    from collections.abc import Container, Hashable, Iterable, Sequence

    from hookseal.delivery.ordering.scheduler import Part
    from hookseal.domain.record import Record

Ordering = Literal["partition", "customer", "endpoint", "key", "unordered"]


class Split(Protocol):
    """Divides records into parts."""

    def __call__(self, record: Record, *, by_endpoint: bool) -> Sequence[Part] | None:
        """Return one part per endpoint, or per customer; None = handle the record as a whole."""
        ...


class OrderingKeyFinder:
    """Finds the ordering keys of each record.

    - `partition`: one queue for all records.
    - `customer`: one queue per customer. A broadcast has a part for each of its tenants, so that no
      tenant waits for another. Records without a key share a queue; they are dead-lettered at once.
    - `endpoint`: one queue per endpoint.
    - `key`: one queue per endpoint and ordering key of the events.
    - `unordered`: a queue per record.
    """

    def __init__(self, ordering: Ordering, split: Split) -> None:
        self._ordering = ordering
        self._split = split
        self._by_endpoint = ordering in ("endpoint", "key")

    def __call__(self, record: Record, queued: Container[Hashable]) -> Iterable[OrderingKey]:
        """Return none if there is nothing to do; `queued`: the names of the queues in use."""
        if self._ordering in ("partition", "unordered"):
            return (self._whole(record),)
        if self._by_endpoint and (record.key,) in queued:
            # An earlier record of the customer waits for its tenant.
            return (self._whole(record),)
        parts = self._split(record, by_endpoint=self._by_endpoint)
        if parts is None:
            return (self._whole(record),)
        return [
            OrderingKey(self._queue_of(part, queued), part.customer_id.encode(), part)
            for part in parts
        ]

    def _whole(self, record: Record) -> OrderingKey:
        match self._ordering:
            case "partition":
                return OrderingKey(IN_SEQUENCE)
            case "customer":
                return OrderingKey(record.key, record.key)
            case "unordered":
                return OrderingKey(record.offset, record.key)
        # No endpoint can be found yet: behind others of its customer.
        return OrderingKey(record.offset if record.key is None else (record.key,), record.key)

    def _queue_of(self, part: Part, queued: Container[Hashable]) -> Hashable:
        customer = part.customer_id.encode()
        if self._ordering == "customer":
            return customer
        if not part.endpoint_ids or (customer,) in queued:
            return (customer,)
        if self._ordering == "key":
            return customer, part.endpoint_ids, part.event.ordering_key or part.customer_id
        return customer, part.endpoint_ids
