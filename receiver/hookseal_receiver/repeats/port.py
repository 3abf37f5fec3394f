"""The interface of a store of seen deliveries."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from hookseal_receiver.errors import SetupError

__all__ = ["DEFAULT_BOUNDS", "Bounds", "Claim", "Standing", "Store"]


class Standing(Enum):
    """State of a delivery when it is claimed."""

    NEW = "new"  # the claim is yours: run the handler
    RUNNING = "running"  # another request is handling it: ask the sender to retry
    SEEN = "seen"  # its handler succeeded before: accept it, and do nothing


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim.

    Attributes:
        delivery: What was claimed.
        standing: Whether it is yours.
        token: Differs for each claim of the same delivery.
        free_in_s: Seconds until the other's claim ends at the latest, if it is running.
    """

    delivery: str
    standing: Standing
    token: str = ""
    free_in_s: float = 0.0


class Store(Protocol):
    """Remembers deliveries, in a bounded window. Threads may share it.

    Implement it over a database of your own to note an event in the same transaction as
    the work it causes.
    """

    def claim(self, delivery: str) -> Claim:
        """Claim a delivery, or return its standing.

        A claim that is neither finished nor released ends by itself after a lease: its
        process may have died.

        Raises:
            StoreError: `store_unavailable`.
        """
        ...

    def finish(self, claim: Claim) -> None:
        """Record the delivery as seen, even after the lease ended: it was handled.

        Raises:
            StoreError: `store_unavailable`.
        """
        ...

    def release(self, claim: Claim) -> None:
        """Release the claim; no effect after the lease ended and another request claimed it.

        Raises:
            StoreError: `store_unavailable`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a store keeps, and how long.

    Attributes:
        max_entries: Deliveries that are remembered; beyond that the oldest are forgotten.
        max_age_s: Seconds for which a delivery is remembered once it was seen.
        lease_s: Seconds for which a claim holds. Longer than the slowest handler takes, or
            it may run twice at once; and at most 60, which is as long as the sender waits
            when it is asked to: beyond it attempts are spent on the claim of a process
            that died.

    Raises:
        SetupError: `bounds_invalid`, with the field.
    """

    max_entries: int = 100_000
    max_age_s: float = 7 * 86_400.0
    lease_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ("max_entries", "max_age_s", "lease_s"):
            number = getattr(self, name)
            if not (number > 0 and math.isfinite(number)):
                raise SetupError(
                    "bounds_invalid", "Give a number above zero, and a finite one.", field=name
                )


DEFAULT_BOUNDS = Bounds()
