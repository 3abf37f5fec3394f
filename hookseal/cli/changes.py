"""Changes to tenants: asked for here, applied by a worker, read back from the changelog."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import uuid4

from hookseal.cli import ui
from hookseal.config import load
from hookseal.domain.command import CreateTenant
from hookseal.errors import ConflictError
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.ports import KafkaCommands
from hookseal.kafka.producer import Producer
from hookseal.kafka.tenants import TenantsModel
from hookseal.kafka.topics import TopicNames, partition_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hookseal.domain.command import Command
    from hookseal.domain.tenant import Tenant
    from hookseal.kafka.cluster import Cluster

__all__ = ["TenantChanges", "a_command", "change", "unknown_endpoint", "unknown_tenant"]

_Command = TypeVar("_Command")

_REFUSALS = {
    "tenant_exists": "There is a tenant of this customer id already.",
    "revision_conflict": "The tenant was changed meanwhile; look at it and try again.",
    "key_exists": "The tenant has this public key already.",
    "unknown_key": "The tenant has no public key of this id; `tenants show` lists them.",
    "too_many_keys": "The tenant has as many public keys as it may have; remove one.",
    "unknown_endpoint": "The tenant has no endpoint of this id; `tenants show` lists them.",
    "endpoint_exists": "The tenant has an endpoint of this id already.",
    "too_many_endpoints": "The tenant has as many endpoints as it may have; remove one.",
}


def a_command(kind: Callable[..., _Command], customer_id: str, **fields: Any) -> _Command:
    """Return a command of this kind, with an id of its own, asked for now."""
    return kind(customer_id=customer_id, id=f"cmd_{uuid4().hex}", at=time.time(), **fields)


def unknown_tenant(customer_id: str) -> ConflictError:
    """Return the error for a customer id without a tenant."""
    return ConflictError(
        "unknown_tenant",
        "There is no such tenant; make it with `hookseal tenants create`.",
        field=customer_id,
    )


def unknown_endpoint(endpoint_id: str) -> ConflictError:
    """Return the error for an endpoint that is not, or no longer, there."""
    return ConflictError("unknown_endpoint", _REFUSALS["unknown_endpoint"], field=endpoint_id)


def change(command: Command, *, timeout_s: float) -> Tenant | None:
    """Submit one command; return the tenant after it, None if there is none any more.

    Raises:
        BrokerError: `broker_unreachable`, and as `TenantChanges.submit`.
        ConfigurationError: `settings_invalid`, `topic_missing`, `partitions_differ`.
        ConflictError: As `TenantChanges.submit`.
    """

    async def submit() -> Tenant | None:
        changes = TenantChanges(load().cluster, [command.customer_id], timeout_s=timeout_s)
        async with changes:
            return await changes.submit(command)

    with ui.working("Waiting for a worker"):
        return ui.run(submit())


class TenantChanges:
    """Submits commands and waits until a worker has applied them.

    Use as an asynchronous context manager.
    """

    def __init__(
        self, cluster: Cluster, customer_ids: Iterable[str], *, timeout_s: float = 10.0
    ) -> None:
        """Prepare for changes to these tenants; only their partitions are followed."""
        self._cluster = cluster
        self._customer_ids = tuple(customer_ids)
        self._timeout_s = timeout_s
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        partitions = await partition_count(self._cluster)
        followed = {partition_of(customer_id, partitions) for customer_id in self._customer_ids}
        async with AsyncExitStack() as stack:
            self._tenants = await stack.enter_async_context(
                TenantsModel(self._cluster, partitions=followed)
            )
            producer = await stack.enter_async_context(Producer(self._cluster))
            self._commands = KafkaCommands(producer, TopicNames(self._cluster.topic_prefix))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def tenant(self, customer_id: str) -> Tenant:
        """Return the tenant.

        Raises:
            ConflictError: `unknown_tenant`.
        """
        found = self._tenants.get(customer_id)
        if found is None:
            raise unknown_tenant(customer_id)
        return found

    async def submit(self, command: Command) -> Tenant | None:
        """Submit a command and wait until it is applied; return the tenant after it.

        Raises:
            BrokerError: `publish_failed`, `no_worker_answered`.
            ConflictError: `unknown_tenant`, or the code with which a worker refused it.
        """
        customer_id = command.customer_id
        existed = self._tenants.get(customer_id) is not None
        if isinstance(command, CreateTenant):
            if existed:
                raise _refusal("tenant_exists", customer_id)
        else:
            self.tenant(customer_id)
        await self._commands.submit_once(command)
        result = await self._tenants.result_of(
            customer_id, command.id, existed=existed, timeout_s=self._timeout_s
        )
        if result is not None and result.code != "ok":
            raise _refusal(result.code, customer_id)
        return self._tenants.get(customer_id)


def _refusal(code: str, customer_id: str) -> ConflictError:
    return ConflictError(code, _REFUSALS.get(code, "A worker refused it."), field=customer_id)
