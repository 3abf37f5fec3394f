"""The suspended endpoints of the partitions at hand."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from hookseal.delivery.lane import LaneStoppedError
from hookseal.delivery.suspension.drain import Drain
from hookseal.domain.command import SuspendEndpoint
from hookseal.errors import BrokerError, RecordRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    from hookseal.delivery.deliverer import Deliverer
    from hookseal.delivery.lane import Lane
    from hookseal.delivery.ports import (
        Clock,
        Commands,
        DeadLetters,
        Observer,
        SetAsideLetters,
        Tenants,
    )
    from hookseal.delivery.suspension.rules import SuspensionRules
    from hookseal.delivery.trouble import Place, Trouble
    from hookseal.domain.attempt import Outcome
    from hookseal.domain.dead_letter import DeadLetter
    from hookseal.domain.endpoint import Endpoint
    from hookseal.domain.suspension import Why

__all__ = ["Suspensions"]

_BROKER_PAUSE_S = 1.0
_CRASH_PAUSE_S = 5.0
# One failed attempt is nothing: with a full window somebody is always in backoff.
_IN_TROUBLE = 2
# A line that is full moves on at the pace of its receiver, and its partition with it.
_SLOW_S = 2.0


class _Held:
    """One partition.

    Attributes:
        owner: A name that is new each time the partition comes to us: what was in hand
            under another name was taken over from somebody else, or is not ours any more.
        lane: For what was set aside.
        drains: By customer id and endpoint id.
        tasks: All that runs.
        count: Of drains.
    """

    def __init__(self, lane: Lane) -> None:
        self.owner = uuid4().hex
        self.lane = lane
        self.drains: dict[str, dict[str, Drain]] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.count = 0

    def drain(self, place: Place) -> Drain | None:
        return self.drains.get(place[0], {}).get(place[1])


class Suspensions:
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
        letters: SetAsideLetters,
        dead_letters: DeadLetters,
        deliverer: Deliverer,
        trouble: Trouble,
        observer: Observer,
        clock: Clock,
        rules: SuspensionRules,
    ) -> None:
        self.tenants = tenants
        self.commands = commands
        self.letters = letters
        self.dead_letters = dead_letters
        self.deliverer = deliverer
        self.observer = observer
        self.clock = clock
        self.rules = rules
        self._trouble = trouble
        self._held: dict[int, _Held] = {}
        self._in_hand: dict[Place, float] = {}
        self._given_up: Counter[Place] = Counter()
        self._suspending: set[Place] = set()
        self._pulse: asyncio.Future[None] | None = None

    # -- partitions come and go ----------------------------------------------

    def start(self, lane: Lane) -> None:
        """Take over the suspended endpoints of the lane's partition."""
        self._held[lane.partition] = _Held(lane)
        for tenant in self.tenants.suspended_of(lane.partition):
            self.changed(tenant.customer_id, lane.partition)
        self.pulse()

    async def stop(self, partition: int, *, grace_s: float) -> None:
        """Let go of a partition; an attempt that runs may end within the grace time."""
        held = self._held.pop(partition, None)
        if held is None:
            return
        held.lane.stop()
        if held.tasks:
            _, late = await asyncio.wait(held.tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        self.observer.suspensions(partition, 0)

    def changed(self, customer_id: str, partition: int) -> None:
        """Look at a tenant that was changed."""
        held = self._held.get(partition)
        if held is None:
            return
        tenant = self.tenants.get(customer_id)
        drains = held.drains.get(customer_id, {})
        for endpoint in () if tenant is None else tenant.endpoints:
            if endpoint.suspension is None:
                continue
            place = (customer_id, endpoint.id)
            if endpoint.id not in drains:
                drains = held.drains.setdefault(customer_id, {})
                drains[endpoint.id] = Drain(place, held.owner, held.lane, self)
                self._count(held, 1)
                self._spawn(held, self._run(held, place))
            self._trouble.look_again(place)
        for drain in drains.values():
            drain.look_again()
        self.pulse()

    async def _run(self, held: _Held, place: Place) -> None:
        customer_id, endpoint_id = place
        drains = held.drains[customer_id]
        try:
            while not await self._ran(drains[endpoint_id]):
                # Without one the endpoint's events would wait for ever.
                drains[endpoint_id] = Drain(place, held.owner, held.lane, self)
        finally:
            del drains[endpoint_id]
            if not drains:
                held.drains.pop(customer_id, None)
            self._count(held, -1)
            self.pulse()
        # It may have been suspended anew while the last one ended.
        self.changed(customer_id, held.lane.partition)

    async def _ran(self, drain: Drain) -> bool:
        try:
            await drain.run()
        except LaneStoppedError:
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end it for good
            self.observer.crashed("", error)
            await drain.lane.pause(_CRASH_PAUSE_S)
            return False
        return True

    def _count(self, held: _Held, change: int) -> None:
        held.count += change
        self.observer.suspensions(held.lane.partition, held.count)

    def _spawn(self, held: _Held, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        held.tasks.add(task)
        task.add_done_callback(lambda done: self._ended(held, done))

    def _ended(self, held: _Held, task: asyncio.Task[None]) -> None:
        held.tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, Exception) and not isinstance(error, LaneStoppedError):
            self.observer.crashed("", error)

    # -- deliveries ------------------------------------------------------------

    def begin(self, place: Place) -> None:
        """Note that an event is in hand for this endpoint."""
        self._in_hand[place] = self.clock.now()

    def end(self, place: Place) -> None:
        """Note that it is not any more."""
        self._in_hand.pop(place, None)

    def is_due(self, place: Place, outcome: Outcome) -> bool:
        """Count an event that was accepted or given up; return whether to suspend now."""
        if outcome.accepted:
            if self._given_up:
                del self._given_up[place]
            return False
        if outcome.code != "attempts_exhausted" or self.rules.after == 0:
            return False
        self._given_up[place] += 1
        return self._given_up[place] >= self.rules.after

    async def suspend(self, place: Place, why: Why, lane: Lane) -> None:
        """Suspend the endpoint; return once its events are set aside.

        Raises:
            LaneStoppedError: The lane stopped before that.
        """
        if place in self._suspending:
            return
        self._suspending.add(place)
        try:
            await self._suspend(place, why, lane)
        finally:
            self._suspending.discard(place)
            self._given_up.pop(place, None)

    async def _suspend(self, place: Place, why: Why, lane: Lane) -> None:
        while (held := self._held.get(lane.partition)) is None:
            await self._next_pulse(lane)
        letters_from = await self._end_of_letters(lane)
        await lane.owned()
        endpoint = self._endpoint(place)
        if endpoint is None or endpoint.suspension is not None:
            return
        command = SuspendEndpoint(
            customer_id=place[0],
            id=f"cmd_{uuid4().hex}",
            at=self.clock.now(),
            endpoint_id=place[1],
            why=why,
            owner=held.owner,
            letters_from=letters_from,
        )
        try:
            await self.commands.submit(command)
        except RecordRefusedError:
            # The endpoint stays as it is. The next event that it exhausts suspends it again.
            return
        while (tenant := self.tenants.get(place[0])) is not None:
            if tenant.result_of(command.id) is not None:
                self.observer.suspended(*place, why)
                return
            await self._next_pulse(lane)

    async def set_aside(self, letter: DeadLetter, place: Place, lane: Lane) -> bool:
        """Bury a letter that is to be delivered later.

        Returns whether it was: if not, the endpoint is not suspended any more.

        Raises:
            LaneStoppedError: The lane stopped before that.
        """
        while True:
            endpoint = self._endpoint(place)
            if endpoint is None or endpoint.suspension is None:
                return False
            held = self._held.get(lane.partition)
            drain = None if held is None else held.drain(place)
            if (
                held is not None
                and drain is not None
                and not drain.closing
                and endpoint.suspension.owner == held.owner
            ):
                break
            await self._next_pulse(lane)
        # Not a moment between the look and this: from here on the drain waits for it.
        drain.pending += 1
        try:
            await lane.owned()
            await self.dead_letters.bury(letter)
        finally:
            drain.pending -= 1
            drain.look_again()
        return True

    # -- lanes that are full -----------------------------------------------------

    def line_full(self, line: Hashable, lane: Lane) -> None:
        """Suspend what the customer's line waits for, if that does not accept, or is slow.

        Slow by its own wish, too: whoever limits its rate gets what is set aside at that rate.

        A line is full, too, where a customer has much at once; that is soon over.
        """
        customer_id = line.decode("utf-8", "replace") if isinstance(line, bytes) else ""
        tenant = self.tenants.get(customer_id)
        now = self.clock.now()
        for endpoint in () if tenant is None else tenant.endpoints:
            place = (customer_id, endpoint.id)
            if self._trouble.waits(place) or now - self._in_hand.get(place, now) >= _SLOW_S:
                self._relieve(place, lane)

    def window_full(self, length: Callable[[Hashable], int], lane: Lane) -> None:
        """Suspend the endpoint in trouble that the longest line waits for."""
        in_trouble = self._trouble.places(failed=_IN_TROUBLE)
        if in_trouble:
            self._relieve(max(in_trouble, key=lambda place: length(place[0].encode())), lane)

    def _relieve(self, place: Place, lane: Lane) -> None:
        endpoint = self._endpoint(place)
        held = self._held.get(lane.partition)
        if (
            self.rules.after
            and held is not None
            and endpoint is not None
            and endpoint.suspension is None
            and place not in self._suspending
        ):
            self._spawn(held, self.suspend(place, "behind", lane))

    # -- what drains ask -----------------------------------------------------------

    def is_suspended(self, place: Place) -> bool:
        """Return whether the table says so."""
        endpoint = self._endpoint(place)
        return endpoint is not None and endpoint.suspension is not None

    def pulse(self) -> None:
        """Have everybody who waits look again."""
        if self._pulse is not None:
            self._pulse.set_result(None)
            self._pulse = None

    async def _next_pulse(self, lane: Lane) -> None:
        if self._pulse is None:
            self._pulse = asyncio.get_running_loop().create_future()
        await lane.pause(None, or_until=self._pulse)

    def _endpoint(self, place: Place) -> Endpoint | None:
        tenant = self.tenants.get(place[0])
        return None if tenant is None else tenant.endpoint(place[1])

    async def _end_of_letters(self, lane: Lane) -> int:
        while True:
            try:
                return await self.letters.end(lane.partition)
            except BrokerError:
                await lane.pause(_BROKER_PAUSE_S)
