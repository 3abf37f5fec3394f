"""Read model of the tenants: follows the changelog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from hookseal.errors import BrokerError
from hookseal.tenants.changelog import TenantChangelogConsumer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hookseal.domain.tenant import CommandResult, Tenant
    from hookseal.errors import ConfigurationError
    from hookseal.kafka.cluster import Cluster
    from hookseal.tenants.codec import TenantCodec


class TenantsModel:
    """Reads the tenants table's changelog from its start and follows it.

    For a long-lived process: `start`, which returns at once and needs no broker, and `close`. For a
    short look: an asynchronous context manager, which enters once the changelog is read, or raises.

    The tenants are those of the changelog some milliseconds ago. That they are not much older is
    measured; see `ready`.
    """

    def __init__(
        self,
        cluster: Cluster,
        codec: TenantCodec,
        *,
        on_forged: Callable[[], None] = lambda: None,
        partitions: Iterable[int] | None = None,
        max_staleness_s: float = 10.0,
    ) -> None:
        """Follow these partitions; None = all.

        `on_forged` is called for each record of somebody else, which is skipped. What could not be
        compared with the broker's log for `max_staleness_s` seconds is stale.
        """
        self._feed = TenantChangelogConsumer(
            cluster,
            codec,
            None if partitions is None else tuple(partitions),
            on_forged=on_forged,
        )
        self._stale_s = max_staleness_s

    async def __aenter__(self) -> Self:
        """Return once everything that the changelog has now is read.

        Raises:
            BrokerError: `broker_unreachable`, `topic_missing`, `topic_unreadable`.
        """
        self.start()
        try:
            await self.first()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def start(self) -> None:
        """Start to read; return at once. Broker errors are retried."""
        self._feed.start()

    async def first(self) -> None:
        """Return once everything that the changelog had at the start is read.

        Raises:
            BrokerError: `broker_unreachable`, `topic_missing`, `topic_unreadable`: what is in
                the way; it is tried again all the same.
            ConfigurationError: `master_key_wrong`.
        """
        await self._feed.first()

    async def key_known(self) -> ConfigurationError | None:
        """Return once it is known whether the master key fits: `master_key_wrong`, or None."""
        return await self._feed.key_known()

    async def close(self) -> None:
        """Disconnect."""
        await self._feed.close()

    @property
    def fresh(self) -> bool:
        """Whether the model was certainly up to date within the last `max_staleness_s` seconds."""
        age_s = self._feed.age_s
        return age_s is not None and age_s <= self._stale_s

    @property
    def ready(self) -> bool:
        """Whether answers can be trusted: everything is read, and the model is fresh.

        A revoked key is usually refused within milliseconds. A caller that checks `ready` refuses
        it after `max_staleness_s` seconds at most.
        """
        return self._feed.recovered and self.fresh

    def why_not_ready(self) -> BrokerError | ConfigurationError | None:
        """Return why the model is not ready, or None.

        Returns:
            `master_key_wrong`, `broker_unreachable`, `topic_missing`, `topic_unreadable`,
            `topic_replaced`, `tenants_failed`, `tenants_recovering` (its text tells how far
            it is), `tenants_stale`.
        """
        if self.ready:
            return None
        if self._feed.wrong_key is not None:
            return self._feed.wrong_key
        if self._feed.error is not None:
            return self._feed.error
        if self._feed.recovered:
            return BrokerError(
                "tenants_stale",
                f"For more than {self._stale_s:.0f} s it could not be made sure that all "
                "changes to tenants are known here.",
            )
        read, total = self._feed.progress()
        return BrokerError(
            "tenants_recovering",
            f"The tenants are being read: {read} of {total} records."
            if total
            else "The tenants are about to be read.",
        )

    def get(self, customer_id: str) -> Tenant | None:
        """Return the tenant as it was read last, or None."""
        return self._feed.index.get(customer_id)

    def customer_of(self, key_id: str) -> str | None:
        """Return the customer id of the tenant that has an API key of this id, or None."""
        return self._feed.index.customer_of(key_id)

    def page(self, after: str | None = None, limit: int | None = None) -> list[Tenant]:
        """Return tenants in the order of their customer ids.

        Args:
            after: Only those behind this customer id, which need not be a tenant's.
            limit: At most so many; None = all.
        """
        return self._feed.index.page(after, self.count if limit is None else limit)

    @property
    def outdated(self) -> frozenset[str]:
        """Customer ids of the tenants whose record is not of the current master key."""
        return frozenset(self._feed.outdated)

    @property
    def count(self) -> int:
        """How many tenants there are."""
        return len(self._feed.index)

    async def changed(
        self, customer_id: str, predicate: Callable[[Tenant | None], bool], *, timeout_s: float
    ) -> Tenant | None:
        """Wait until a predicate holds for a tenant; return the state for which it held.

        The predicate sees the present state, then each state that the changelog brings, so none is
        missed. It is not called while the changelog is read for the first time.

        Args:
            customer_id: Whose tenant.
            predicate: Given the tenant, or None where there is none.
            timeout_s: Seconds to wait.

        Raises:
            BrokerError: `no_worker_answered`, after `timeout_s` seconds.
        """
        if self._feed.recovered:
            tenant = self._feed.index.get(customer_id)
            if predicate(tenant):
                return tenant
        try:
            return await self._feed.waiters.wait(customer_id, predicate, timeout_s=timeout_s)
        except TimeoutError:
            raise BrokerError(
                "no_worker_answered",
                f"No worker applied the change within {timeout_s:.0f} s. It stands on "
                "`tenant-commands` and takes effect once a worker runs.",
            ) from None

    async def result_of(
        self, customer_id: str, command_id: str, *, existed: bool, timeout_s: float
    ) -> CommandResult | None:
        """Wait until a command is applied; return its result.

        Args:
            customer_id: Whose tenant.
            command_id: Of a command that was submitted.
            existed: Whether there was a tenant before. If there is none after, it was
                deleted; otherwise it is yet to be made.
            timeout_s: Seconds to wait.

        Returns:
            None if the tenant is gone, by this command or by another.

        Raises:
            BrokerError: `no_worker_answered`, after `timeout_s` seconds.
        """

        def answered(tenant: Tenant | None) -> bool:
            if tenant is None:
                return existed
            return tenant.recent_of(command_id) is not None

        tenant = await self.changed(customer_id, answered, timeout_s=timeout_s)
        return None if tenant is None else tenant.recent_of(command_id)

    async def settle(self, timeout_s: float) -> bool:
        """Wait until everything that the changelog has now is read; return whether it is.

        Afterwards a tenant or key that is not here does not exist, even if another process created
        it just before. Many callers share one question to the broker.

        Args:
            timeout_s: Seconds to wait at most.
        """
        return await self._feed.settle(timeout_s)
