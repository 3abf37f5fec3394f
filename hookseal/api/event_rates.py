"""Rate limit of the events that each tenant publishes through one API process."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from http import HTTPStatus
from typing import TYPE_CHECKING

from hookseal.api.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hookseal.delivery.ports import Clock

# Tenants in memory. Beyond it, the one that published longest ago gets a full bucket.
_TENANTS_MAX = 10_000


class EventRates:
    """Token buckets of tenants, for the events of a request as a whole.

    Not thread-safe.

    Args:
        rate_per_s: Events per second of each tenant; None = no limit.
        batch_max: Events of the largest batch. A full bucket always holds as many.
    """

    def __init__(self, rate_per_s: float | None, *, batch_max: int, clock: Clock) -> None:
        self._rate_per_s = rate_per_s
        self._burst = max(batch_max, rate_per_s or 0.0)
        self._clock = clock
        # By customer id: tokens, and the Unix time at which they were counted.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admit(self, customer_ids: Iterable[str]) -> None:
        """Count one event for each customer id, or none of them.

        Raises:
            Problem: 429 `rate_limited`, if a tenant has too few tokens for its events.
        """
        if self._rate_per_s is None:
            return
        now = self._clock.now()
        after = {}
        missing = 0.0
        for customer_id, count in Counter(customer_ids).items():
            tokens, at = self._buckets.get(customer_id, (self._burst, now))
            # A clock that was set back adds no tokens.
            tokens = min(self._burst, tokens + max(0.0, now - at) * self._rate_per_s)
            after[customer_id] = (tokens - count, now)
            missing = max(missing, count - tokens)
        if missing > 0:
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "rate_limited",
                f"The tenant publishes more than {self._rate_per_s:g} events/s "
                "(HOOKSEAL_TENANT_MAX_EVENTS_PER_S). Nothing was published. Retry after "
                "Retry-After seconds.",
                headers={"Retry-After": str(math.ceil(missing / self._rate_per_s))},
            )
        for customer_id, bucket in after.items():
            self._buckets[customer_id] = bucket
            self._buckets.move_to_end(customer_id)
        while len(self._buckets) > _TENANTS_MAX:
            self._buckets.popitem(last=False)
