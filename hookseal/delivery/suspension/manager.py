"""Suspends endpoints, defers their events, and runs a backlog delivery for each of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from hookseal.delivery.attempt import endpoint_command
from hookseal.delivery.ordering.partition import (
    PartitionContext,
    PartitionStoppedError,
    wait_idle,
)
from hookseal.delivery.suspension.backlog import BacklogDelivery, until_answered
from hookseal.domain.command import SuspendEndpoint
from hookseal.errors import RecordRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    from hookseal.delivery.delivery import Deliverer
    from hookseal.delivery.limits.backoff_waits import BackoffWaits, EndpointRef
    from hookseal.delivery.ports import Ports
    from hookseal.delivery.suspension.rules import SuspensionRules
    from hookseal.domain.attempt import Outcome
    from hookseal.domain.dead_letter import DeadLetter
    from hookseal.domain.endpoint import Endpoint, Why

_CRASH_PAUSE_S = 5.0
_REFUSED_PAUSE_S = 10.0
# A single failed attempt is normal: with a full window some delivery is always in backoff.
_FAILED_ATTEMPTS_MIN = 2
# A full queue moves at the pace of its receiver, and its partition with it.
_SLOW_S = 2.0


class _PartitionState:
    """One assigned partition.

    Attributes:
        owner: A new id for each assignment. A suspension with another owner belongs to another
            worker, or to an earlier assignment.
        context: Of the deferred events.
        backlogs: By customer id and endpoint id.
        count: Number of backlogs.
    """

    def __init__(self, context: PartitionContext) -> None:
        self.owner = uuid4().hex
        self.context = context
        self.backlogs: dict[str, dict[str, BacklogDelivery]] = {}
        self.tasks: set[asyncio.Task[object]] = set()
        self.count = 0


class SuspensionManager:
    """Suspends endpoints, and delivers their deferred events when they accept again.

    Also the `Pressure` of the schedulers whose queues are customers.

    An event is deferred only while this worker owns the suspension: a worker that lost the
    partition cannot end it then, whatever it still sends.
    """

    def __init__(
        self,
        ports: Ports,
        deliverer: Deliverer,
        backoff: BackoffWaits,
        rules: SuspensionRules,
        *,
        at_a_time: int | None = None,
        each: int | None = None,
        grace_s: float = 0.0,
    ) -> None:
        """Limit concurrent attempts per partition (`at_a_time`), and per customer (`each`)."""
        self._ports = ports
        self._tenants = ports.tenants
        self._clock = ports.clock
        self._deliverer = deliverer
        self._backoff = backoff
        self._rules = rules
        self._at_a_time = at_a_time
        self._each = each
        self._grace_s = grace_s
        self._contexts: dict[int, PartitionContext] = {}
        self._starting: set[asyncio.Task[None]] = set()
        self._partitions: dict[int, _PartitionState] = {}
        self._in_progress: dict[EndpointRef, float] = {}
        self._given_up: Counter[EndpointRef] = Counter()
        self._suspending: set[EndpointRef] = set()
        self._pausing: set[EndpointRef] = set()
        self._change: asyncio.Future[None] | None = None

    # -- assignment of partitions ------------------------------------------------

    async def assign(self, partitions: set[int]) -> None:
        """Start new partitions, and stop those that were revoked."""
        await self.stop(set(self._contexts) - partitions)
        for partition in sorted(partitions - set(self._contexts)):
            # A context of its own: the backlog is delivered whether new events arrive or not, and
            # does not block them.
            self._contexts[partition] = context = PartitionContext(
                partition,
                clock=self._clock,
                observer=self._ports.observer,
                gate=self._ports.gate(partition),
                at_a_time=self._at_a_time,
                each=self._each,
            )
            task = asyncio.create_task(self._catch_up_and_start(context))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _catch_up_and_start(self, context: PartitionContext) -> None:
        # The tenants table may lag behind the commands that suspend and resume endpoints.
        with suppress(PartitionStoppedError):
            await context.cancel_on_stop(self._tenants.catch_up(context.partition))
            if not context.stopped:
                self.start(context)

    def start(self, context: PartitionContext) -> None:
        """Run the suspended endpoints of a partition."""
        self._contexts[context.partition] = context
        self._partitions[context.partition] = _PartitionState(context)
        for tenant in self._tenants.suspended_of(context.partition):
            self.changed(tenant.customer_id, context.partition)
        self._wake_waiters()

    async def stop(self, partitions: set[int] | None = None) -> None:
        """Stop these partitions, or all; running attempts may end within the grace time."""
        going = set(self._contexts) if partitions is None else partitions & set(self._contexts)
        for partition in going:
            self._contexts.pop(partition).stop()
        await asyncio.gather(*(self._stopped(partition) for partition in going))

    async def wait_idle(self, timeout_s: float) -> None:
        """Wait until no attempt runs, at most `timeout_s` seconds."""
        await wait_idle(self._contexts.values(), timeout_s)

    async def _stopped(self, partition: int) -> None:
        state = self._partitions.pop(partition, None)
        if state is None:
            return
        if state.tasks:
            _, late = await asyncio.wait(state.tasks, timeout=self._grace_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        self._ports.observer.suspensions(partition, 0)

    def changed(self, customer_id: str, partition: int) -> None:
        """Start backlogs of newly suspended endpoints, and wake those that run."""
        state = self._partitions.get(partition)
        if state is None:
            return
        tenant = self._tenants.get(customer_id)
        backlogs = state.backlogs.get(customer_id, {})
        for endpoint in () if tenant is None else tenant.endpoints:
            endpoint_ref = (customer_id, endpoint.id)
            if endpoint.suspension is None:
                if endpoint.paused_at is None:
                    continue
                if endpoint_ref not in self._pausing:
                    self._pausing.add(endpoint_ref)
                    self._spawn(state, self._suspend_paused(endpoint_ref, state.context))
            elif endpoint.id not in backlogs:
                backlogs = state.backlogs.setdefault(customer_id, {})
                backlogs[endpoint.id] = self._new_backlog(state, endpoint_ref)
                self._count(state, 1)
                self._spawn(state, self._run(state, endpoint_ref))
            self._backoff.wake(endpoint_ref)
        for backlog in backlogs.values():
            backlog.wake()
        self._wake_waiters()

    def _new_backlog(self, state: _PartitionState, endpoint_ref: EndpointRef) -> BacklogDelivery:
        return BacklogDelivery(
            endpoint_ref,
            state.owner,
            state.context,
            ports=self._ports,
            deliverer=self._deliverer,
            rules=self._rules,
            on_change=self._wake_waiters,
        )

    async def _run(self, state: _PartitionState, endpoint_ref: EndpointRef) -> None:
        customer_id, endpoint_id = endpoint_ref
        backlogs = state.backlogs[customer_id]
        try:
            while True:
                try:
                    await backlogs[endpoint_id].run()
                    break
                except PartitionStoppedError:
                    raise
                except Exception as error:  # noqa: BLE001
                    # A bug of ours must not end it: the endpoint's events would wait for ever.
                    self._ports.observer.crashed("", error)
                    await state.context.wait(_CRASH_PAUSE_S)
                backlogs[endpoint_id] = self._new_backlog(state, endpoint_ref)
        finally:
            del backlogs[endpoint_id]
            if not backlogs:
                state.backlogs.pop(customer_id, None)
            self._count(state, -1)
            self._wake_waiters()
        # The endpoint may have been suspended again while this backlog ended.
        self.changed(customer_id, state.context.partition)

    def _count(self, state: _PartitionState, change: int) -> None:
        state.count += change
        self._ports.observer.suspensions(state.context.partition, state.count)

    def _spawn(self, state: _PartitionState, work: Coroutine[Any, Any, object]) -> None:
        def ended(task: asyncio.Task[object]) -> None:
            state.tasks.discard(task)
            error = None if task.cancelled() else task.exception()
            if isinstance(error, Exception) and not isinstance(error, PartitionStoppedError):
                self._ports.observer.crashed("", error)

        task = asyncio.create_task(work)
        state.tasks.add(task)
        task.add_done_callback(ended)

    # -- deliveries --------------------------------------------------------------

    def begin(self, endpoint_ref: EndpointRef) -> None:
        """Record that a delivery to this endpoint is in progress."""
        self._in_progress[endpoint_ref] = self._clock.now()

    def end(self, endpoint_ref: EndpointRef) -> None:
        """Record that it ended."""
        self._in_progress.pop(endpoint_ref, None)

    def is_due(self, endpoint_ref: EndpointRef, outcome: Outcome) -> bool:
        """Count exhausted events in a row; return whether to suspend the endpoint now.

        An event that the endpoint refuses for its content does not count.
        """
        if outcome.accepted:
            if self._given_up:
                del self._given_up[endpoint_ref]
            return False
        if not outcome.suspends or self._rules.after == 0:
            return False
        self._given_up[endpoint_ref] += 1
        return self._given_up[endpoint_ref] >= self._rules.after

    async def suspend(self, endpoint_ref: EndpointRef, why: Why, context: PartitionContext) -> bool:
        """Suspend the endpoint; return once its new events are deferred.

        Return False if Kafka refused the command, or the endpoint was removed.
        """
        while endpoint_ref in self._suspending:
            await self._wait_for_change(context)
        self._suspending.add(endpoint_ref)
        try:
            await self._suspend(endpoint_ref, why, context)
        finally:
            self._suspending.discard(endpoint_ref)
            self._given_up.pop(endpoint_ref, None)
            self._wake_waiters()
        endpoint = self._endpoint(endpoint_ref)
        return endpoint is not None and endpoint.suspension is not None

    async def _suspend_paused(self, endpoint_ref: EndpointRef, context: PartitionContext) -> None:
        try:
            while not await self.suspend(endpoint_ref, "paused", context):
                endpoint = self._endpoint(endpoint_ref)
                if endpoint is None or endpoint.paused_at is None:
                    return
                # An operator has to act before Kafka accepts the command. Events wait until then.
                await context.wait(_REFUSED_PAUSE_S)
        finally:
            self._pausing.discard(endpoint_ref)

    async def _suspend(
        self, endpoint_ref: EndpointRef, why: Why, context: PartitionContext
    ) -> None:
        while (state := self._partitions.get(context.partition)) is None:
            await self._wait_for_change(context)
        letters_from = await until_answered(
            lambda: self._ports.letters.end(context.partition), context
        )
        await context.wait_for_ownership()
        endpoint = self._endpoint(endpoint_ref)
        if endpoint is None or endpoint.suspension is not None:
            return
        command = endpoint_command(
            SuspendEndpoint,
            endpoint_ref,
            self._clock,
            why=why,
            owner=state.owner,
            letters_from=letters_from,
        )
        try:
            await self._ports.commands.submit(command)
        except RecordRefusedError:
            # The endpoint stays as it is. Its next exhausted event suspends it.
            return
        while (tenant := self._tenants.get(endpoint_ref[0])) is not None:
            if (result := tenant.result_of(command.id)) is not None:
                if result == "ok":
                    self._ports.observer.suspended(*endpoint_ref, why)
                return
            await self._wait_for_change(context)

    async def defer(
        self, letter: DeadLetter, endpoint_ref: EndpointRef, context: PartitionContext
    ) -> bool:
        """Write the dead letter of a deferred event.

        Return False, with nothing written, if the endpoint is not suspended any more.
        """
        while True:
            endpoint = self._endpoint(endpoint_ref)
            suspension = None if endpoint is None else endpoint.suspension
            if endpoint is None or (suspension is None and endpoint.paused_at is None):
                return False
            state = self._partitions.get(context.partition)
            backlog = None
            if state is not None and suspension is not None and suspension.owner == state.owner:
                backlog = state.backlogs.get(endpoint_ref[0], {}).get(endpoint_ref[1])
            if backlog is not None and not backlog.closing:
                break
            await self._wait_for_change(context)
        # In the same step as the check: from here on the backlog waits for this event.
        backlog.pending += 1
        try:
            await context.wait_for_ownership()
            await self._ports.dead_letters.bury(letter)
        finally:
            backlog.pending -= 1
            backlog.wake()
        return True

    # -- full queues -------------------------------------------------------------

    def queue_full(self, queue: Hashable, context: PartitionContext) -> None:
        """Suspend the customer's endpoints that block its queue: in backoff, or slow.

        An endpoint with a rate limit is slow on purpose; it gets its deferred events at that rate.
        A queue is also full after a burst; that is over soon.
        """
        customer_id = queue.decode("utf-8", "replace") if isinstance(queue, bytes) else ""
        tenant = self._tenants.get(customer_id)
        now = self._clock.now()
        for endpoint in () if tenant is None else tenant.endpoints:
            endpoint_ref = (customer_id, endpoint.id)
            if (
                self._backoff.is_waiting(endpoint_ref)
                or now - self._in_progress.get(endpoint_ref, now) >= _SLOW_S
            ):
                self._relieve(endpoint_ref, context)

    def window_full(self, length: Callable[[Hashable], int], context: PartitionContext) -> None:
        """Suspend the endpoint in backoff that blocks the longest queue."""
        in_backoff = self._backoff.waiting_endpoints(failed=_FAILED_ATTEMPTS_MIN)
        if in_backoff:
            longest = max(in_backoff, key=lambda endpoint_ref: length(endpoint_ref[0].encode()))
            self._relieve(longest, context)

    def _relieve(self, endpoint_ref: EndpointRef, context: PartitionContext) -> None:
        endpoint = self._endpoint(endpoint_ref)
        state = self._partitions.get(context.partition)
        if (
            self._rules.after
            and state is not None
            and endpoint is not None
            and endpoint.suspension is None
            and endpoint_ref not in self._suspending
        ):
            self._spawn(state, self.suspend(endpoint_ref, "behind", context))

    def _wake_waiters(self) -> None:
        if self._change is not None:
            self._change.set_result(None)
            self._change = None

    async def _wait_for_change(self, context: PartitionContext) -> None:
        if self._change is None:
            self._change = asyncio.get_running_loop().create_future()
        await context.wait(None, or_until=self._change)

    def _endpoint(self, endpoint_ref: EndpointRef) -> Endpoint | None:
        tenant = self._tenants.get(endpoint_ref[0])
        return None if tenant is None else tenant.endpoint(endpoint_ref[1])
