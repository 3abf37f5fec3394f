"""What the API needs from a runtime: over Kafka, or `hookseal local`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from hookseal.api.problems import unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.dead_letters.replay import EventsWanted
    from hookseal.domain import letter
    from hookseal.domain.attempt import AttemptRecord
    from hookseal.domain.command import Command
    from hookseal.domain.event_trace import Search
    from hookseal.domain.letter_filter import AttemptFilter, LetterFilter, Order
    from hookseal.domain.new_event import NewEvent, Notice
    from hookseal.domain.progress import Progress
    from hookseal.domain.record import Position, Record
    from hookseal.domain.tenant import Tenant
    from hookseal.errors import HooksealError

CURRENT_WITHIN_S = 1.0


class Readiness(Protocol):
    """A part of the process that can be not ready."""

    def why_not_ready(self) -> HooksealError | None: ...


class TenantsModel(Readiness, Protocol):
    """All tenants. Ready after the first full read, while its staleness is within the limit."""

    def get(self, customer_id: str) -> Tenant | None: ...

    def customer_of(self, key_id: str) -> str | None:
        """Return the customer id that has the API key, or None."""
        ...

    def page(self, after: str | None, limit: int) -> Sequence[Tenant]:
        """Return up to `limit` tenants after a customer id, ordered by customer id."""
        ...

    def stopped(self) -> Sequence[Tenant]:
        """Return the tenants with a suspended or paused endpoint, ordered by customer id."""
        ...

    async def settle(self, timeout_s: float) -> bool:
        """Wait until the model has everything written before the call; return False otherwise."""
        ...


async def wait_until_current(model: TenantsModel) -> None:
    """Wait until the model has what other processes wrote, for instance a tenant just created.

    Raises:
        HooksealError: The reason for which the model is not ready.
        Problem: 503 `not_ready`, after a second.
    """
    if not await model.settle(CURRENT_WITHIN_S):
        raise model.why_not_ready() or unavailable(
            "not_ready",
            f"The tenants could not be brought up to date within {CURRENT_WITHIN_S:g} s. Retry.",
        )


class Changes(Protocol):
    """Submits tenant commands."""

    async def submit(self, command: Command) -> Tenant | None:
        """Wait until the command is applied; return the tenant after it, None if it was deleted.

        A command id is applied once. A repeat returns the first result.

        Raises:
            ConflictError: `unknown_tenant`, `idempotency_key_reused`, or the command's own code.
            BrokerError: `publish_failed`, `no_worker_answered`. The command may still be applied.
        """
        ...


class Events(Readiness, Protocol):
    """Publishes events."""

    async def publish_many(self, drafts: Sequence[NewEvent]) -> Sequence[tuple[Position, ...]]:
        """Publish events, in this order for each customer; skip duplicates of recent event ids.

        Return the position of each record; for a broadcast those of all copies.

        Raises:
            EventIdReusedError: An id belongs to another event. Nothing was written.
            InvalidInputError: `batch_too_large`: nothing was written. `record_too_large`: a record
                exceeds the limit of the topic, the others may have been written.
            BrokerError: `broker_unreachable`, `topic_missing`, `overloaded`: nothing was written.
                `publish_failed`: each record may have been written, or may still be.
                `record_refused`: a record cannot be written, the others may have been.
        """
        ...

    async def publish_once(self, notice: Notice) -> None:
        """Publish an event of hookseal's own without retries; raise `publish_failed`."""
        ...


class _Index(Protocol):
    async def catch_up(self, *, timeout_s: float | None = None) -> None:
        """Wait until the index has everything that was written before the call.

        Raises:
            BrokerError: `broker_unreachable`; `index_behind` after `timeout_s` seconds.
            ConfigurationError: `index_unusable`.
        """
        ...


class LetterPages(_Index, Protocol):
    """The index of dead letters."""

    async def page(
        self,
        wanted: LetterFilter,
        *,
        order: Order = "newest",
        limit: int,
        cursor: letter.LogCursor | None = None,
    ) -> letter.LettersListed: ...

    async def cursor_at(self, partition: int, offset: int) -> letter.LogCursor:
        """Return the cursor that follows a dead letter; raise `unknown_dead_letter`."""
        ...

    async def stats(self, wanted: LetterFilter) -> Sequence[dict[str, Any]]:
        """Return the 1,000 largest counts by customer, endpoint and reason, the largest first."""
        ...

    async def reasons(self, wanted: LetterFilter) -> dict[str, int]:
        """Return the number of letters of each reason."""
        ...

    async def customers_of(self, event_id: str) -> Sequence[str]:
        """Return the customers who have a dead letter of an event of this id."""
        ...


class LetterRecords(Protocol):
    """The records of dead letters, with headers and payload; raises `broker_unreachable`."""

    async def get(self, partition: int, offset: int) -> Record | None: ...

    async def attempts(self, letter: Record) -> Sequence[AttemptRecord]:
        """Return the logged attempts before a dead letter, oldest first."""
        ...


class AttemptPages(_Index, Protocol):
    """The index of the delivery log."""

    async def page(
        self,
        wanted: AttemptFilter,
        *,
        limit: int,
        cursor: letter.LogCursor | None = None,
    ) -> letter.AttemptsListed:
        """Return attempts, newest first."""
        ...

    async def customers_of(self, event_id: str) -> Sequence[str]:
        """Return the customers to whose endpoints an event of this id was sent."""
        ...

    async def latest(self, since_ms: int, each: int) -> Sequence[letter.Attempted]:
        """Return the latest attempts of all tenants, in order, at most `each` per partition.

        Args:
            since_ms: Milliseconds since the Unix epoch.
        """
        ...


class Replays(Protocol):
    """Replays dead letters."""

    async def plan(self, wanted: LetterFilter) -> letter.ReplayPlan: ...

    async def replay(
        self, wanted: LetterFilter, *, limit: int | None = None, wait_s: float | None = None
    ) -> int:
        """Publish the events of dead letters again, each once; return how many.

        Raises:
            BrokerError: `broker_unreachable`, `publish_failed`.
            ConflictError: `replay_refused`; `replay_busy`, after `wait_s` seconds.
        """
        ...

    async def replay_events(
        self, wanted: EventsWanted, *, start: int = 0, limit: int, wait_s: float | None = None
    ) -> tuple[int, int | None]:
        """Publish at most `limit` events again, from offset `start` on.

        Return how many were published, and the offset to go on from; None = all are published.

        Raises:
            BrokerError: `broker_unreachable`, `publish_failed`.
            ConflictError: As `replay`; `replay_unsupported`, without a log of events.
        """
        ...


class ProgressSource(Protocol):
    """Workers, offsets and oldest events."""

    async def progress(self) -> Progress:
        """Return the present state.

        Raises:
            BrokerError: `broker_unreachable`, `topic_missing`, `group_forbidden`;
                `redis_unreachable`.
        """
        ...


class EventSearch(Protocol):
    """Finds an event on `events`."""

    async def find(self, event_id: str, customer_id: str | None, *, since_ms: int) -> Search:
        """Search a limited number of records, of one customer or of all.

        Args:
            since_ms: Written at this time or later; milliseconds since the Unix epoch.

        Raises:
            BrokerError: `broker_unreachable`, `topic_missing`; `redis_unreachable`.
        """
        ...
