"""Ordering modes: which records must not overtake each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hookseal.delivery.ordering.scheduler import IN_SEQUENCE, OrderingKey, Part
from hookseal.domain.event import is_broadcast

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from hookseal.delivery.ordering.scheduler import Queues
    from hookseal.domain.endpoint import Ordering
    from hookseal.domain.record import Record


class Split(Protocol):
    """Divides records into parts."""

    def __call__(self, record: Record, ordering: Ordering) -> Sequence[Part] | None:
        """Return the parts of a record in the operator's mode; None = handle it as a whole."""
        ...


class OrderingKeyFinder:
    """Finds the ordering keys of each record.

    - `partition`: one queue for all records.
    - `customer`: one queue per customer. A broadcast has a part for each of its tenants, so that no
      tenant waits for another. Records without a key share a queue; they are dead-lettered at once.
    - `endpoint`: one queue per endpoint.
    - `key`: one queue per endpoint and ordering key of the events.
    - `unordered`: a queue per record.

    An endpoint with a looser mode of its own has its own queues. In `partition` and `customer` the
    rest of the record, for the other endpoints, waits where all of it would.
    """

    def __init__(self, ordering: Ordering, split: Split) -> None:
        self._ordering = ordering
        self._split = split
        self._by_endpoint = ordering in ("endpoint", "key")

    def __call__(self, record: Record, queued: Queues) -> Iterable[OrderingKey]:
        """Return none if there is nothing to do; `queued`: the queues in use, by name."""
        if self._ordering == "unordered" or (
            record.key is not None and self._waits_whole(record.key, queued)
        ):
            return (self._whole(record),)
        parts = self._split(record, self._ordering)
        if parts is None:
            return (self._whole(record),)
        queues = [(self._queue_of(part, record.offset, queued), part) for part in parts]
        if self._by_endpoint:
            return [OrderingKey(queue, part.customer_id.encode(), part) for queue, part in queues]
        return self._with_rest(record, queues)

    def _waits_whole(self, key: bytes, queued: Queues) -> bool:
        """Whether an earlier record of the customer waits as a whole, for example for its tenant.

        Nothing of a later record may overtake it then.
        """
        if self._ordering == "customer":
            return (queue := queued.get(key)) is not None and queue[-1][1].part is None
        return self._by_endpoint and (key,) in queued

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

    def _queue_of(self, part: Part, offset: int, queued: Queues) -> Hashable:
        """Return the name of the part's queue.

        After a change of the endpoint's mode, its earlier events may still wait in a queue of the
        mode before. Their order counts until that queue is empty.
        """
        customer = part.customer_id.encode()
        if not part.endpoint_ids or self._waits_in_common(part, part.endpoint_ids[0], queued):
            return self._common_queue(customer)
        own = (customer, part.endpoint_ids)
        if part.ordering == "unordered":
            return (*own, offset)
        keyed = (*own, part.event.ordering_key or part.customer_id)
        if part.ordering != "key" and keyed in queued:
            return keyed
        if part.ordering != "endpoint" and own in queued:
            return own
        if part.ordering == "key":
            return keyed
        return own if part.ordering == "endpoint" else self._common_queue(customer)

    def _waits_in_common(self, part: Part, endpoint_id: str, queued: Queues) -> bool:
        """Whether earlier events for the endpoint wait in the common queue.

        In the mode `customer` they were read before the endpoint got a mode of its own. The last
        one in the queue tells: while there was one for the endpoint, the later ones joined it.
        """
        customer = part.customer_id.encode()
        if self._waits_whole(customer, queued):
            return True
        queue = queued.get(customer) if self._ordering == "customer" else None
        last = None if queue is None else queue[-1][1].part
        return last is not None and (part.customer_id, endpoint_id) not in last.beside

    def _common_queue(self, customer: bytes) -> Hashable:
        """Return the name of the queue for what does not wait for one endpoint only."""
        match self._ordering:
            case "partition":
                return IN_SEQUENCE
            case "customer":
                return customer
        return (customer,)

    def _with_rest(
        self, record: Record, queues: Sequence[tuple[Hashable, Part]]
    ) -> list[OrderingKey]:
        """Join the parts that wait in a common queue: what is left without the others."""
        beside = [
            OrderingKey(queue, part.customer_id.encode(), part)
            for queue, part in queues
            if queue != self._common_queue(part.customer_id.encode())
        ]
        refs = {ref for _, part in queues for ref in part.beside}
        for queue, part in queues:
            in_common = queue == self._common_queue(part.customer_id.encode())
            own = {(part.customer_id, endpoint_id) for endpoint_id in part.endpoint_ids or ()}
            refs = refs - own if in_common else refs | own
        broadcast = is_broadcast(record)
        rest: dict[Hashable, OrderingKey] = {}
        for queue, part in queues:
            key = part.customer_id.encode()
            if queue == self._common_queue(key):
                # As a whole, a broadcast is for the tenants of the partition.
                customer_id = part.customer_id if broadcast and self._ordering == "customer" else ""
                rest[queue] = OrderingKey(
                    queue,
                    key if customer_id else record.key,
                    Part(part.event, customer_id, None, beside=frozenset(refs)),
                )
        return [*rest.values(), *beside]
