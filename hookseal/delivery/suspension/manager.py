"""The suspended endpoints of the partitions at hand."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from hookseal.delivery.ordering.partition import PartitionStoppedError
from hookseal.delivery.suspension.backlog import BacklogDelivery, BacklogDeps
from hookseal.domain.command import SuspendEndpoint
from hookseal.errors import BrokerError, RecordRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    from hookseal.delivery.delivery import Deliverer
    from hookseal.delivery.limits.backoff_waits import BackoffWaits, EndpointRef
    from hookseal.delivery.ordering.partition import PartitionContext
    from hookseal.delivery.ports import (
        Clock,
        Commands,
        DeadLetters,
        DeferredEventStore,
        Observer,
        Tenants,
    )
    from hookseal.delivery.suspension.rules import SuspensionRules
    from hookseal.domain.attempt import Outcome
    from hookseal.domain.dead_letter import DeadLetter
    from hookseal.domain.endpoint import Endpoint, Why

_BROKER_PAUSE_S = 1.0
_CRASH_PAUSE_S = 5.0
# One failed attempt is nothing: with a full window somebody is always in backoff.
_IN_BACKOFF = 2
# A line that is full moves on at the pace of its receiver, and its partition with it.
_SLOW_S = 2.0


class _PartitionState:
    """One partition.

    Attributes:
        owner: A name that is new each time the partition comes to us: what was in hand
            under another name was taken over from somebody else, or is not ours any more.
        context: For what was set aside.
        backlogs: By customer id and endpoint id.
        tasks: All that runs.
        count: Of drains.
    """

    def __init__(self, context: PartitionContext) -> None:
        self.owner = uuid4().hex
        self.context = context
        self.backlogs: dict[str, dict[str, BacklogDelivery]] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.count = 0

    def backlog(self, endpoint_ref: EndpointRef) -> BacklogDelivery | None:
        return self.backlogs.get(endpoint_ref[0], {}).get(endpoint_ref[1])


class SuspensionManager:
    """Suspends endpoints, sets their events aside, and drains them when they are back.

    Also the lanes' `Pressure`, where a line is a customer's.

    An event is set aside only while the suspension is in this worker's hand: a worker that
    lost the partition cannot end it then, whatever it still sends.
    """

    def __init__(
        self,
        *,
        tenants: Tenants,
        commands: Commands,
        letters: DeferredEventStore,
        dead_letters: DeadLetters,
        deliverer: Deliverer,
        backoff: BackoffWaits,
        observer: Observer,
        clock: Clock,
        rules: SuspensionRules,
    ) -> None:
        self._tenants = tenants
        self._commands = commands
        self._letters = letters
        self._dead_letters = dead_letters
        self._observer = observer
        self._clock = clock
        self._rules = rules
        self._backoff = backoff
        self._held: dict[int, _PartitionState] = {}
        self._in_progress: dict[EndpointRef, float] = {}
        self._given_up: Counter[EndpointRef] = Counter()
        self._suspending: set[EndpointRef] = set()
        self._pulse: asyncio.Future[None] | None = None
        self._deps = BacklogDeps(
            tenants=tenants,
            commands=commands,
            letters=letters,
            dead_letters=dead_letters,
            deliverer=deliverer,
            observer=observer,
            clock=clock,
            rules=rules,
            on_change=self._wake_waiters,
        )

    # -- partitions come and go ----------------------------------------------

    def start(self, context: PartitionContext) -> None:
        """Take over the suspended endpoints of the lane's partition."""
        self._held[context.partition] = _PartitionState(context)
        for tenant in self._tenants.suspended_of(context.partition):
            self.changed(tenant.customer_id, context.partition)
        self._wake_waiters()

    async def stop(self, partition: int, *, grace_s: float) -> None:
        """Let go of a partition; an attempt that runs may end within the grace time."""
        held = self._held.pop(partition, None)
        if held is None:
            return
        held.context.stop()
        if held.tasks:
            _, late = await asyncio.wait(held.tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        self._observer.suspensions(partition, 0)

    def changed(self, customer_id: str, partition: int) -> None:
        """Look at a tenant that was changed."""
        held = self._held.get(partition)
        if held is None:
            return
        tenant = self._tenants.get(customer_id)
        backlogs = held.backlogs.get(customer_id, {})
        for endpoint in () if tenant is None else tenant.endpoints:
            if endpoint.suspension is None:
                continue
            endpoint_ref = (customer_id, endpoint.id)
            if endpoint.id not in backlogs:
                backlogs = held.backlogs.setdefault(customer_id, {})
                backlogs[endpoint.id] = BacklogDelivery(
                    endpoint_ref, held.owner, held.context, self._deps
                )
                self._count(held, 1)
                self._spawn(held, self._run(held, endpoint_ref))
            self._backoff.wake(endpoint_ref)
        for backlog in backlogs.values():
            backlog.wake()
        self._wake_waiters()

    async def _run(self, held: _PartitionState, endpoint_ref: EndpointRef) -> None:
        customer_id, endpoint_id = endpoint_ref
        backlogs = held.backlogs[customer_id]
        try:
            while not await self._ran(backlogs[endpoint_id]):
                # Without one the endpoint's events would wait for ever.
                backlogs[endpoint_id] = BacklogDelivery(
                    endpoint_ref, held.owner, held.context, self._deps
                )
        finally:
            del backlogs[endpoint_id]
            if not backlogs:
                held.backlogs.pop(customer_id, None)
            self._count(held, -1)
            self._wake_waiters()
        # It may have been suspended anew while the last one ended.
        self.changed(customer_id, held.context.partition)

    async def _ran(self, backlog: BacklogDelivery) -> bool:
        try:
            await backlog.run()
        except PartitionStoppedError:
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end it for good
            self._observer.crashed("", error)
            await backlog.context.wait(_CRASH_PAUSE_S)
            return False
        return True

    def _count(self, held: _PartitionState, change: int) -> None:
        held.count += change
        self._observer.suspensions(held.context.partition, held.count)

    def _spawn(self, held: _PartitionState, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        held.tasks.add(task)
        task.add_done_callback(lambda done: self._ended(held, done))

    def _ended(self, held: _PartitionState, task: asyncio.Task[None]) -> None:
        held.tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, Exception) and not isinstance(error, PartitionStoppedError):
            self._observer.crashed("", error)

    # -- deliveries ------------------------------------------------------------

    def begin(self, endpoint_ref: EndpointRef) -> None:
        """Note that an event is in hand for this endpoint."""
        self._in_progress[endpoint_ref] = self._clock.now()

    def end(self, endpoint_ref: EndpointRef) -> None:
        """Note that it is not any more."""
        self._in_progress.pop(endpoint_ref, None)

    def is_due(self, endpoint_ref: EndpointRef, outcome: Outcome) -> bool:
        """Count an event that was accepted or given up; return whether to suspend now."""
        if outcome.accepted:
            if self._given_up:
                del self._given_up[endpoint_ref]
            return False
        if outcome.code != "attempts_exhausted" or self._rules.after == 0:
            return False
        self._given_up[endpoint_ref] += 1
        return self._given_up[endpoint_ref] >= self._rules.after

    async def suspend(self, endpoint_ref: EndpointRef, why: Why, context: PartitionContext) -> None:
        """Suspend the endpoint; return once its events are set aside.

        Raises:
            PartitionStoppedError: The partition stopped before that.
        """
        if endpoint_ref in self._suspending:
            return
        self._suspending.add(endpoint_ref)
        try:
            await self._suspend(endpoint_ref, why, context)
        finally:
            self._suspending.discard(endpoint_ref)
            self._given_up.pop(endpoint_ref, None)

    async def _suspend(
        self, endpoint_ref: EndpointRef, why: Why, context: PartitionContext
    ) -> None:
        while (held := self._held.get(context.partition)) is None:
            await self._next_pulse(context)
        letters_from = await self._end_of_letters(context)
        await context.wait_for_ownership()
        endpoint = self._endpoint(endpoint_ref)
        if endpoint is None or endpoint.suspension is not None:
            return
        command = SuspendEndpoint(
            customer_id=endpoint_ref[0],
            id=f"cmd_{uuid4().hex}",
            at=self._clock.now(),
            endpoint_id=endpoint_ref[1],
            why=why,
            owner=held.owner,
            letters_from=letters_from,
        )
        try:
            await self._commands.submit(command)
        except RecordRefusedError:
            # The endpoint stays as it is. The next event that it exhausts suspends it again.
            return
        while (tenant := self._tenants.get(endpoint_ref[0])) is not None:
            if tenant.result_of(command.id) is not None:
                self._observer.suspended(*endpoint_ref, why)
                return
            await self._next_pulse(context)

    async def defer(
        self, letter: DeadLetter, endpoint_ref: EndpointRef, context: PartitionContext
    ) -> bool:
        """Bury a letter that is to be delivered later.

        Returns whether it was: if not, the endpoint is not suspended any more.

        Raises:
            PartitionStoppedError: The partition stopped before that.
        """
        while True:
            endpoint = self._endpoint(endpoint_ref)
            if endpoint is None or endpoint.suspension is None:
                return False
            held = self._held.get(context.partition)
            backlog = None if held is None else held.backlog(endpoint_ref)
            if (
                held is not None
                and backlog is not None
                and not backlog.closing
                and endpoint.suspension.owner == held.owner
            ):
                break
            await self._next_pulse(context)
        # Not a moment between the look and this: from here on the drain waits for it.
        backlog.pending += 1
        try:
            await context.wait_for_ownership()
            await self._dead_letters.bury(letter)
        finally:
            backlog.pending -= 1
            backlog.wake()
        return True

    # -- lanes that are full -----------------------------------------------------

    def queue_full(self, queue: Hashable, context: PartitionContext) -> None:
        """Suspend what the customer's line waits for, if that does not accept, or is slow.

        Slow by its own wish, too: whoever limits its rate gets what is set aside at that rate.

        A line is full, too, where a customer has much at once; that is soon over.
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
        """Suspend the endpoint in trouble that the longest line waits for."""
        in_backoff = self._backoff.waiting_endpoints(failed=_IN_BACKOFF)
        if in_backoff:
            self._relieve(
                max(in_backoff, key=lambda endpoint_ref: length(endpoint_ref[0].encode())), context
            )

    def _relieve(self, endpoint_ref: EndpointRef, context: PartitionContext) -> None:
        endpoint = self._endpoint(endpoint_ref)
        held = self._held.get(context.partition)
        if (
            self._rules.after
            and held is not None
            and endpoint is not None
            and endpoint.suspension is None
            and endpoint_ref not in self._suspending
        ):
            self._spawn(held, self.suspend(endpoint_ref, "behind", context))

    def _wake_waiters(self) -> None:
        if self._pulse is not None:
            self._pulse.set_result(None)
            self._pulse = None

    async def _next_pulse(self, context: PartitionContext) -> None:
        if self._pulse is None:
            self._pulse = asyncio.get_running_loop().create_future()
        await context.wait(None, or_until=self._pulse)

    def _endpoint(self, endpoint_ref: EndpointRef) -> Endpoint | None:
        tenant = self._tenants.get(endpoint_ref[0])
        return None if tenant is None else tenant.endpoint(endpoint_ref[1])

    async def _end_of_letters(self, context: PartitionContext) -> int:
        while True:
            try:
                return await self._letters.end(context.partition)
            except BrokerError:
                await context.wait(_BROKER_PAUSE_S)
