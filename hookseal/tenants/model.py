"""Read model of the tenants: queries over the changelog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from hookseal.errors import BrokerError
from hookseal.tenants.changelog import TenantChangelogConsumer

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookseal.domain.tenant import Tenant
    from hookseal.errors import ConfigurationError
    from hookseal.kafka.cluster import Cluster
    from hookseal.tenants.codec import TenantCodec


class TenantsModel(TenantChangelogConsumer):
    """The tenants as of some milliseconds ago; staleness is measured, see `ready`.

    `start` needs no broker. The asynchronous context manager waits until the changelog is read.
    """

    def __init__(
        self, cluster: Cluster, codec: TenantCodec, *, max_staleness_s: float = 10.0, **more: Any
    ) -> None:
        """Be stale if the end of the log was not reached for `max_staleness_s` seconds."""
        super().__init__(cluster, codec, **more)
        self._max_staleness_s = max_staleness_s

    async def __aenter__(self) -> Self:
        """Start; return as `first` does."""
        self.start()
        try:
            await self.first()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def ready(self) -> bool:
        """Whether the changelog is read, and the model was up to date recently enough.

        A caller that checks it refuses a revoked key after `max_staleness_s` seconds at most.
        """
        return self.recovered and self.age_s is not None and self.age_s <= self._max_staleness_s

    def why_not_ready(self) -> BrokerError | ConfigurationError | None:
        """Return an error of `first`, `tenants_recovering` or `tenants_stale`; None if ready."""
        if self.ready:
            return None
        if error := self.wrong_key or self.error:
            return error
        if self.recovered:
            return BrokerError(
                "tenants_stale",
                "The tenants may be out of date: the end of the changelog was not reached for "
                f"{self._max_staleness_s:.0f} s. Retry later.",
            )
        read, total = self.progress()
        return BrokerError(
            "tenants_recovering",
            f"The tenants are being read: {read} of {total} records. Retry later."
            if total
            else "The tenants are not read yet. Retry later.",
        )

    def get(self, customer_id: str) -> Tenant | None:
        """Return the tenant as it was last read, or None."""
        return self.index.get(customer_id)

    def customer_of(self, key_id: str) -> str | None:
        """Return the customer id of the owner of this API key, or None."""
        return self.index.customer_of(key_id)

    def page(self, after: str | None = None, limit: int | None = None) -> list[Tenant]:
        """Return up to `limit` tenants (None = all) behind a customer id, ordered by id."""
        return self.index.page(after, self.count if limit is None else limit)

    def stopped(self) -> list[Tenant]:
        """Return the tenants with a suspended or paused endpoint, by id."""
        return self.index.stopped()

    @property
    def count(self) -> int:
        """Number of tenants."""
        return len(self.index)

    async def changed(
        self, customer_id: str, predicate: Callable[[Tenant | None], bool], *, timeout_s: float
    ) -> Tenant | None:
        """Wait until a predicate holds for a state of a tenant; return that state; None = deleted.

        The predicate is not called while the changelog is read for the first time.

        Raises:
            BrokerError: `no_worker_answered`, after `timeout_s` seconds.
        """
        if self.recovered and predicate(tenant := self.get(customer_id)):
            return tenant
        try:
            return await self.waiters.wait(customer_id, predicate, timeout_s=timeout_s)
        except TimeoutError:
            raise BrokerError(
                "no_worker_answered",
                f"No worker applied the change within {timeout_s:.0f} s. It is on "
                "`tenant-commands` and takes effect once a worker runs.",
            ) from None
