"""Suspends endpoints, defers their events, and runs a backlog delivery for each of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from itertools import islice
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
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from hookseal.delivery.delivery import Deliverer
    from hookseal.delivery.limits.backoff_waits import BackoffWaits, EndpointRef
    from hookseal.delivery.ordering.scheduler import OrderingKey
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
        # When each delivery of an endpoint began, by its task.
        self._in_progress: dict[EndpointRef, dict[asyncio.Task[Any], float]] = {}
        self._cut_off: set[asyncio.Task[Any]] = set()
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
        """Record that this task delivers to the endpoint."""
        running = self._in_progress.setdefault(endpoint_ref, {})
        running[_this_task()] = self._clock.now()

    def end(self, endpoint_ref: EndpointRef) -> None:
        """Record that it ended."""
        running = self._in_progress[endpoint_ref]
        del running[_this_task()]
        if not running:
            del self._in_progress[endpoint_ref]

    def was_cut_off(self) -> bool:
        """Return whether `cut_off` cancelled this task's attempt; the task goes on then."""
        task = _this_task()
        if task not in self._cut_off:
            return False
        self._cut_off.discard(task)
        return task.uncancel() == 0

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
        while (backlog := self._open_backlog(endpoint_ref, context)) is None:
            endpoint = self._endpoint(endpoint_ref)
            suspension = None if endpoint is None else endpoint.suspension
            if endpoint is None or (suspension is None and endpoint.paused_at is None):
                return False
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

    async def defer_all(
        self,
        letters: Sequence[DeadLetter],
        endpoint_refs: Iterable[EndpointRef],
        context: PartitionContext,
    ) -> bool:
        """Write the dead letters of deferred events together, in their order.

        Return False, with nothing written, if one of the endpoints defers no events now.
        """
        backlogs = []
        for endpoint_ref in endpoint_refs:
            backlog = self._open_backlog(endpoint_ref, context)
            if backlog is None:
                return False
            backlogs.append(backlog)
        for backlog in backlogs:
            backlog.pending += 1
        try:
            await context.wait_for_ownership()
            await self._ports.dead_letters.bury_all(letters)
        finally:
            for backlog in backlogs:
                backlog.pending -= 1
                backlog.wake()
        return True

    def _open_backlog(
        self, endpoint_ref: EndpointRef, context: PartitionContext
    ) -> BacklogDelivery | None:
        """Return the backlog if events may be added to it now."""
        endpoint = self._endpoint(endpoint_ref)
        state = self._partitions.get(context.partition)
        if endpoint is None or endpoint.suspension is None or state is None:
            return None
        if endpoint.suspension.owner != state.owner:
            return None
        backlog = state.backlogs.get(endpoint_ref[0], {}).get(endpoint_ref[1])
        return None if backlog is None or backlog.closing else backlog

    # -- full queues -------------------------------------------------------------

    def queue_full(
        self, ordering_key: OrderingKey, context: PartitionContext, *, at_once: bool
    ) -> None:
        """Suspend the endpoints that block the queue: in backoff, or slow.

        An endpoint with a rate limit is slow on purpose; it gets its deferred events at that rate.
        A queue is also full after a burst, or after a time without workers; a healthy endpoint
        works it off. `at_once`: its customer uses too much memory for that, so the endpoints that
        work on its events are suspended.
        """
        endpoint_refs = self._endpoint_refs(ordering_key)
        blocking = [
            one for one in endpoint_refs if self._backoff.is_waiting(one) or self._is_slow(one)
        ]
        if at_once and not blocking:
            blocking = [one for one in endpoint_refs if one in self._in_progress] or endpoint_refs
        for endpoint_ref in blocking:
            self._relieve(endpoint_ref, context)

    def held(self, customer: bytes, context: PartitionContext) -> None:
        """Suspend the endpoints of a customer that holds its partition, if others are there."""
        customer_id = customer.decode("utf-8", "replace")
        if (tenant := self._tenants.get(customer_id)) is None:
            return
        going = [one for one in tenant.endpoints if one.enabled and one.ordering is None]
        if going and self._tenants.is_shared(context.partition):
            for endpoint in going:
                self._relieve((customer_id, endpoint.id), context)

    def cut_off(self, context: PartitionContext) -> None:
        """Cancel the attempts to suspended endpoints: the events behind them are deferred then.

        The receiver may have accepted them: it gets these events once more.
        """
        for endpoint_ref, running in self._in_progress.items():
            if self._open_backlog(endpoint_ref, context) is not None:
                for task in running:
                    if task not in self._cut_off:
                        self._cut_off.add(task)
                        task.cancel()

    def window_full(self, length: Callable[[str], int], context: PartitionContext) -> None:
        """Suspend the endpoint that blocks most events: in backoff, or slow."""
        blocking = self._backoff.waiting_endpoints(failed=_FAILED_ATTEMPTS_MIN)
        blocking += filter(self._is_slow, self._in_progress)
        if blocking:
            longest = max(blocking, key=lambda endpoint_ref: length(endpoint_ref[0]))
            self._relieve(longest, context)

    def _endpoint_refs(self, ordering_key: OrderingKey) -> list[EndpointRef]:
        customer_id = (ordering_key.customer or b"").decode("utf-8", "replace")
        if ordering_key.part is not None and ordering_key.part.endpoint_ids:
            return [(customer_id, one) for one in ordering_key.part.endpoint_ids]
        tenant = self._tenants.get(customer_id)
        refs = [] if tenant is None else [(customer_id, one.id) for one in tenant.endpoints]
        beside = () if ordering_key.part is None else ordering_key.part.beside
        return [one for one in refs if one not in beside]

    def _is_slow(self, endpoint_ref: EndpointRef) -> bool:
        running = self._in_progress.get(endpoint_ref, {})
        # The first one is the oldest.
        return any(self._clock.now() - since >= _SLOW_S for since in islice(running.values(), 1))

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


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("no task runs")
    return task
