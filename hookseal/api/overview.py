"""What the console begins with: who asks, and how deliveries go just now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from hookseal.api.letter_schemas import DeliveryOut
from hookseal.api.operations import Access, Operation, Reply
from hookseal.domain.letter import overview_of
from hookseal.domain.utc_time import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.api.operations import Call
    from hookseal.api.ports import AttemptPages
    from hookseal.delivery.ports import Clock

_TAG = "Overview"
_WINDOW_S = 60
_CAUGHT_UP_WITHIN_S = 2.0
# Of a partition: what a window holds beyond that is left out, and the oldest of it.
_ATTEMPTS_MAX = 3_000


class Asker(Struct, frozen=True, kw_only=True):
    """Whose key it is.

    Attributes:
        customer_id: The tenant's; null for the operator.
        scopes: What the key may do; the operator's may do everything.
    """

    customer_id: str | None
    scopes: list[str]


class Second(Struct, frozen=True, kw_only=True):
    """Attempts that ended within one second.

    Attributes:
        at: RFC 3339, its begin.
    """

    at: str
    accepted: int
    failed: int


class Held(DeliveryOut, frozen=True, kw_only=True):
    """A delivery in backoff: its latest attempt, and whose it is."""

    customer_id: str


class PartitionShown(Struct, frozen=True, kw_only=True):
    """A partition with attempts within the window.

    Attributes:
        held: Deliveries in backoff, five at most, those that wait longest first.
    """

    partition: int
    attempts: int
    accepted: int
    held: list[Held]


class OverviewShown(Struct, frozen=True, kw_only=True):
    """The last minute, as the delivery log has it.

    Attributes:
        window_s: Seconds looked at.
        seconds: One for each second of the window, oldest first.
        attempt_p50_s: Seconds of an accepted attempt, the median; null without one.
        attempt_p99_s: The same, of one in a hundred.
        partitions: By number; those without an attempt are left out.
    """

    window_s: int
    seconds: list[Second]
    attempt_p50_s: float | None
    attempt_p99_s: float | None
    partitions: list[PartitionShown]


class OverviewOperations:
    """`/v1/whoami`, `/v1/overview`."""

    def __init__(self, *, attempts: AttemptPages, clock: Clock) -> None:
        self._attempts = attempts
        self._clock = clock

    def operations(self) -> Sequence[Operation]:
        return (
            Operation(
                "GET",
                "/v1/whoami",
                "whoAmI",
                "Say whose key this is.",
                _TAG,
                self._who,
                access=Access.ANY,
                returns=Asker,
            ),
            Operation(
                "GET",
                "/v1/overview",
                "showOverview",
                "Show how deliveries went in the last minute, and what holds which partition.",
                _TAG,
                self._overview,
                access=Access.ADMIN,
                returns=OverviewShown,
            ),
        )

    async def _who(self, call: Call) -> Reply:
        principal = call.principal
        return Reply(Asker(customer_id=principal.customer_id, scopes=list(principal.scopes)))

    async def _overview(self, _: Call) -> Reply:
        await self._attempts.catch_up(timeout_s=_CAUGHT_UP_WITHIN_S)
        now = int(self._clock.now())
        since = now - _WINDOW_S + 1
        found = overview_of(await self._attempts.latest(since * 1000, _ATTEMPTS_MAX))
        return Reply(
            OverviewShown(
                window_s=_WINDOW_S,
                seconds=[
                    Second(at=rfc3339(at), accepted=accepted, failed=failed)
                    for at in range(since, now + 1)
                    for accepted, failed in [found.seconds.get(at, (0, 0))]
                ],
                attempt_p50_s=_seconds(found.p50_us),
                attempt_p99_s=_seconds(found.p99_us),
                partitions=[
                    PartitionShown(
                        partition=one.partition,
                        attempts=one.attempts,
                        accepted=one.accepted,
                        held=[
                            Held(customer_id=held.customer_id, **held.document())
                            for held in one.held
                        ],
                    )
                    for one in found.partitions
                ],
            )
        )


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1_000_000
