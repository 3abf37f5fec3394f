"""The ports that a runtime implements for the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.domain.attempt import AttemptRecord
    from hookseal.domain.command import Command
    from hookseal.domain.letter import (
        Attempted,
        AttemptsListed,
        LettersListed,
        LogCursor,
        ReplayPlan,
    )
    from hookseal.domain.letter_filter import LetterFilter, Order
    from hookseal.domain.new_event import NewEvent, Notice
    from hookseal.domain.record import Position, Record
    from hookseal.domain.tenant import Tenant
    from hookseal.errors import HooksealError


class Readiness(Protocol):
    """A part that can be not ready."""

    def why_not_ready(self) -> HooksealError | None:
        """Return why it is not ready; None = it is ready."""
        ...


class TenantsModel(Readiness, Protocol):
    """A read model of all tenants, a moment old.

    Ready after the first full read, while it is known to be up to date.
    """

    def get(self, customer_id: str) -> Tenant | None:
        """Return the tenant, or None."""
        ...

    def customer_of(self, key_id: str) -> str | None:
        """Return the customer id of the API key, or None."""
        ...

    def page(self, after: str | None, limit: int) -> Sequence[Tenant]:
        """Return up to `limit` tenants after `after`, ordered by customer id."""
        ...

    async def settle(self, timeout_s: float) -> bool:
        """Wait until the model has whatever was written before the call.

        Returns:
            Whether it has; False after `timeout_s` seconds, or without a broker.
        """
        ...


class Changes(Protocol):
    """Changes tenants."""

    async def submit(self, command: Command) -> Tenant | None:
        """Have the command applied; return the tenant after it, None if it is gone.

        A command id is applied once; a repeat returns the first result.

        Raises:
            ConflictError: `unknown_tenant`; `idempotency_key_reused`, the id was used for
                something else; or the code with which the command was refused.
            BrokerError: `publish_failed`, `no_worker_answered`. The change may still come.
        """
        ...


class Events(Readiness, Protocol):
    """Publishes events."""

    async def publish_many(self, drafts: Sequence[NewEvent]) -> Sequence[tuple[Position, ...]]:
        """Publish events, in this order for each customer.

        An event id that was published a moment ago is not published again.

        Returns:
            The position of each record; for a broadcast those of all copies.

        Raises:
            EventIdReusedError: An id belongs to another event; nothing was written.
            InvalidInputError: `batch_too_large`: nothing was written; `record_too_large`: one of
                them is over the limit of the topic, the others may have been written.
            BrokerError: `broker_unreachable`, `topic_missing`, `overloaded`: nothing was
                written; `publish_failed`: each may have been written, or may yet be;
                `record_refused`: one of them cannot be written, the others may have been.
        """
        ...


class Notices(Protocol):
    """Publishes hookseal's own events."""

    async def publish_once(self, notice: Notice) -> None:
        """Write the notice, or say that it could not be written.

        Raises:
            BrokerError: `publish_failed`.
        """
        ...


class LetterPages(Protocol):
    """The dead letters, as a list."""

    async def catch_up(self, *, timeout_s: float | None = None) -> None:
        """Wait until the list has all dead letters that were written before the call.

        Raises:
            BrokerError: `broker_unreachable`; `index_behind` after `timeout_s` seconds.
            ConfigurationError: `index_unusable`.
        """
        ...

    async def page(
        self,
        wanted: LetterFilter,
        *,
        order: Order = "newest",
        limit: int,
        cursor: LogCursor | None = None,
    ) -> LettersListed:
        """Return up to `limit` letters after the cursor."""
        ...

    async def cursor_at(self, partition: int, offset: int) -> LogCursor:
        """Return the cursor behind one letter.

        Raises:
            InvalidInputError: `unknown_dead_letter`.
        """
        ...

    async def stats(self, wanted: LetterFilter) -> Sequence[dict[str, Any]]:
        """Return counts by customer, endpoint and reason, the largest first."""
        ...


class LetterRecords(Protocol):
    """The records of dead letters, as they stand on their topic."""

    async def get(self, partition: int, offset: int) -> Record | None:
        """Return the dead letter at this offset, or None.

        Raises:
            BrokerError: `broker_unreachable`.
        """
        ...

    async def attempts(self, letter: Record) -> Sequence[AttemptRecord]:
        """Return the attempts before a letter, oldest first, as far as they are logged.

        Raises:
            BrokerError: `broker_unreachable`.
        """
        ...


class AttemptPages(Protocol):
    """The delivery log, as a list."""

    async def catch_up(self, *, timeout_s: float | None = None) -> None:
        """Wait until the list has what was logged before the call.

        Raises:
            BrokerError: `broker_unreachable`; `index_behind` after `timeout_s` seconds.
            ConfigurationError: `index_unusable`.
        """
        ...

    async def page(
        self,
        customer_id: str,
        *,
        event_id: str | None = None,
        endpoint_id: str | None = None,
        limit: int,
        cursor: LogCursor | None = None,
    ) -> AttemptsListed:
        """Return up to `limit` attempts of a tenant after the cursor, newest first."""
        ...

    async def latest(self, since_ms: int, each: int) -> Sequence[Attempted]:
        """Return the attempts of all tenants since a moment, in their order within a partition.

        Args:
            since_ms: Milliseconds since the Unix epoch.
            each: At most so many per partition, the latest ones.
        """
        ...


class Replays(Protocol):
    """Replays dead letters."""

    async def plan(self, wanted: LetterFilter) -> ReplayPlan:
        """Return what `replay` would do."""
        ...

    async def replay(
        self, wanted: LetterFilter, *, limit: int | None = None, wait_s: float | None = None
    ) -> int:
        """Publish the letters' events again, each once; return how many were published.

        Raises:
            BrokerError: `broker_unreachable`, `publish_failed`.
            ConflictError: `replay_refused`; `replay_busy`, after `wait_s` seconds.
        """
        ...
