"""One suspended endpoint: probe it, and deliver what was set aside once it accepts."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import msgspec

from hookseal.delivery.delivery import exhausted
from hookseal.delivery.ordering.partition import PartitionStoppedError
from hookseal.domain.attempt import Outcome
from hookseal.domain.command import ClaimSuspension, EndSuspension, NoteDrained
from hookseal.domain.dead_letter import DeadLetter
from hookseal.domain.event import event_id_if_any
from hookseal.domain.replay import event_of, is_deferred, original_of
from hookseal.domain.verdict import Blame, Verdict, blame
from hookseal.errors import BrokerError, InvalidEventError, RecordRefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hookseal.delivery.attempt import AttemptResult
    from hookseal.delivery.delivery import Deliverer
    from hookseal.delivery.limits.backoff_waits import EndpointRef
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
    from hookseal.domain.endpoint import Endpoint, Suspension
    from hookseal.domain.event import Event
    from hookseal.domain.record import Record
    from hookseal.domain.tenant import Tenant

_BROKER_PAUSE_S = 1.0
# An operator has to act before Kafka takes a command that it refused.
_REFUSED_PAUSE_S = 10.0
# Letters of one event: what a crash made its successor set aside again.
_REMEMBERED = 10_000
# With less than this still to be delivered newer events may as well wait for it.
_NEARLY_DONE_LETTERS = 1
_NEARLY_DONE_S = 1.0


_Answer = TypeVar("_Answer")


class _OverError(Exception):
    """There is no suspension any more, or no endpoint."""


@dataclass(frozen=True, slots=True)
class BacklogDeps:
    """Everything that the backlogs of a process share.

    Attributes:
        on_change: Called when new events of the endpoint may be deferred, or no more.
    """

    tenants: Tenants
    commands: Commands
    letters: DeferredEventStore
    dead_letters: DeadLetters
    deliverer: Deliverer
    observer: Observer
    clock: Clock
    rules: SuspensionRules
    on_change: Callable[[], None]


class BacklogDelivery:
    """Runs from when the endpoint is suspended, or its partition taken over, to the end of it.

    Letters are delivered one after the other, in the order in which they were set aside,
    which is the order of their events. Each is attempted until it is accepted; only an
    event that the receiver refuses for what it is uses up its attempts and is given up.
    """

    def __init__(
        self,
        endpoint_ref: EndpointRef,
        owner: str,
        context: PartitionContext,
        deps: BacklogDeps,
    ) -> None:
        self.endpoint_ref = endpoint_ref
        self.closing = False
        self.pending = 0
        self._owner = owner
        self.context = context
        self._deps = deps
        self._position = 0
        self._noted = 0
        self._noted_at = deps.clock.now()
        self._delivered: list[Record] = []
        self._seen: OrderedDict[tuple[int, int], None] = OrderedDict()
        self._tries = 0
        self._is_back = False
        self._first_attempt_at: float | None = None
        self._failures = 0
        self._wait_s = 0.0
        self._nudge: asyncio.Future[None] | None = None
        self._looked_like: object = None

    async def run(self) -> None:
        """Return once the endpoint's events are delivered again, or it is gone.

        Raises:
            PartitionStoppedError: The partition stopped before that; what is done is noted.
        """
        try:
            is_fresh = self._suspension().owner == self._owner
            suspension = await self._claimed()
            self._position = self._noted = suspension.letters_from
            if is_fresh and suspension.why == "exhausted":
                self._wait_s = self._probe_delay_s(1)
            while True:
                await self._round()
        except _OverError:
            await self._note(now=True)
        except PartitionStoppedError:
            await self._note(now=True)
            raise

    def wake(self) -> None:
        """Tell that the tenant changed."""
        if self._nudge is not None and not self._nudge.done():
            self._nudge.set_result(None)

    # -- the state of affairs ------------------------------------------------

    def _tenant(self) -> Tenant:
        tenant = self._deps.tenants.get(self.endpoint_ref[0])
        if tenant is None:
            raise _OverError
        return tenant

    def _endpoint(self) -> Endpoint:
        endpoint = self._tenant().endpoint(self.endpoint_ref[1])
        if endpoint is None or endpoint.suspension is None:
            raise _OverError
        return endpoint

    def _suspension(self) -> Suspension:
        suspension = self._endpoint().suspension
        assert suspension is not None  # noqa: S101 - looked at above
        return suspension

    def _is_suspended(self) -> bool:
        with suppress(_OverError):
            self._endpoint()
            return True
        return False

    def _looks(self) -> object:
        """Return all that a change of which is a reason to probe at once."""
        tenant, endpoint = self._tenant(), self._endpoint()
        asked = self._suspension().resume_asked_at
        return (
            tenant.enabled,
            tenant.active_key,
            endpoint.enabled,
            endpoint.url,
            endpoint.headers,
            asked,
        )

    async def _claimed(self) -> Suspension:
        """Make the suspension ours, so that nobody before us can end it."""
        while (suspension := self._suspension()).owner != self._owner:
            await self.context.wait_for_ownership()
            try:
                await self._submit(ClaimSuspension, owner=self._owner)
            except RecordRefusedError:
                await self.context.wait(_REFUSED_PAUSE_S)
                continue
            while self._suspension().owner == suspension.owner:
                await self._changed()
        self._looked_like = self._looks()
        self._deps.on_change()
        return suspension

    async def _changed(self) -> None:
        self._nudge = asyncio.get_running_loop().create_future()
        await self.context.wait(None, or_until=self._nudge)

    # -- one round -----------------------------------------------------------

    async def _round(self) -> None:
        """Deliver what there is up to the end of the topic, and end it all if that was it."""
        await self._wait()
        began, delivered = self._deps.clock.now(), 0
        end = await self._end()
        while self._position < end:
            delivered += await self._deliver_some(end)
            if self._wait_s > 0:
                return
        if not self._is_back and not self._resume_is_asked():
            # Nobody can tell whether it accepts until there is something for it.
            await self._something_to_deliver()
        elif delivered <= _NEARLY_DONE_LETTERS or self._deps.clock.now() - began <= _NEARLY_DONE_S:
            await self._close()

    async def _close(self) -> None:
        """Hold newer events back, deliver what is left, and end the suspension."""
        self.closing = True
        try:
            while self.pending:
                await self._changed()
            end = await self._end()
            while self._position < end:
                await self._deliver_some(end)
                if self._wait_s > 0:
                    return
            await self._note(now=True)
            await self.context.wait_for_ownership()
            try:
                await self._submit(EndSuspension, owner=self._owner)
            except RecordRefusedError:
                # Newer events must not wait for it: they are deferred again until then.
                self._wait_s = _REFUSED_PAUSE_S
                return
            while self._suspension().owner == self._owner:
                await self._changed()
            await self._claimed()
        except _OverError:
            self._deps.observer.recovered(*self.endpoint_ref)
            raise
        finally:
            self.closing = False
            self._deps.on_change()

    async def _wait(self) -> None:
        """Wait for the next probe, or for a change that makes it worth a try at once."""
        until = self._deps.clock.now() + self._wait_s
        while self._wait_s > 0:
            nudge = self._nudge = asyncio.get_running_loop().create_future()
            if self._looks() == self._looked_like:
                seconds = None if self._wait_s == math.inf else self._wait_s
                await self.context.wait(seconds, or_until=nudge)
            if self._suspension().owner != self._owner:
                await self._claimed()
            if self._looks() != self._looked_like:
                self._looked_like = self._looks()
                self._failures = 0
                break
            if not nudge.done():
                break
            self._wait_s = until - self._deps.clock.now()
        self._wait_s = 0.0

    async def _something_to_deliver(self) -> None:
        end = self._position
        while await self._end() <= end and not self._resume_is_asked():
            await self._changed()

    def _resume_is_asked(self) -> bool:
        return self._suspension().resume_asked_at is not None

    # -- letters -------------------------------------------------------------

    async def _deliver_some(self, end: int) -> int:
        """Deliver a stretch of letters; return how many were."""
        partition = self.context.partition
        page = await self._asking(
            lambda: self._deps.letters.read(
                partition,
                self._position,
                end,
                lambda letter: is_deferred(letter, *self.endpoint_ref),
            )
        )
        for number, letter in enumerate(page.letters, start=1):
            if not await self._decide(letter):
                return number - 1
            self._position = letter.offset + 1
            self._delivered.append(letter)
            await self._note()
            if self._wait_s > 0:
                return number
        self._position = max(self._position, page.next)
        await self._note()
        return len(page.letters)

    async def _decide(self, letter: Record) -> bool:
        """Return whether nothing is left to do for the letter; otherwise there is a wait set."""
        original = original_of(letter)
        source = (original.partition, original.offset)
        if source in self._seen:
            return True
        try:
            event = event_of(letter, max_bytes=self._deps.rules.event_max_bytes)
        except InvalidEventError as error:
            refused = Outcome(accepted=False, code=error.code, error=error.message)
            await self._bury(original, refused)
        else:
            outcome = await self._attempt(event)
            if outcome is None:
                return False
            if not outcome.accepted:
                await self._bury(original, outcome)
            self._deps.observer.drained(event, *self.endpoint_ref, outcome)
        self._tries, self._first_attempt_at = 0, None
        self._seen[source] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return True

    async def _attempt(self, event: Event) -> Outcome | None:
        """Make one attempt; return the outcome if the delivery is decided by it."""
        result = await self._deps.deliverer.attempt_deferred(
            event, *self.endpoint_ref, self.context, self._tries + 1
        )
        self._looked_like = self._looks()
        if result.judgement.verdict is Verdict.SKIPPED:
            # Disabled, or without a key: no attempt until somebody changes that.
            self._wait_s = math.inf
            return None
        self._first_attempt_at = self._first_attempt_at or result.started
        so_far = Outcome(
            accepted=False,
            code="",
            attempts=self._tries + 1,
            status=result.status,
            first_attempt_at=self._first_attempt_at,
        )
        if result.judgement.verdict is Verdict.ACCEPTED:
            self._is_back, self._failures = True, 0
            return msgspec.structs.replace(so_far, accepted=True, code="accepted")
        if self._is_used_up(result):
            return exhausted(so_far, result.judgement)
        return None

    def _is_used_up(self, result: AttemptResult) -> bool:
        """Judge a failed attempt: set the wait, and return whether the event is given up."""
        judgement = result.judgement
        is_retry = judgement.verdict is Verdict.RETRY
        fault = blame(result.status) if is_retry else Blame.RECEIVER
        self._is_back = False
        if fault is not Blame.RECEIVER:
            self._tries += 1
        used_up = fault is not Blame.RECEIVER and self._tries >= result.schedule.attempts
        if fault is Blame.EVENT:
            # It answers, and speaks of the event: no reason to leave it alone for long.
            draw = self._deps.clock.draw()
            self._wait_s = 0.0
            if not used_up:
                self._wait_s = result.schedule.delay_after(
                    self._tries, draw=draw, at_least_s=judgement.wait_s
                )
        else:
            self._failures += 1
            self._wait_s = max(judgement.wait_s, self._probe_delay_s(self._failures))
        self._deps.observer.probed(*self.endpoint_ref, judgement.code, self._wait_s)
        return used_up

    def _probe_delay_s(self, failures: int) -> float:
        return self._deps.rules.probe.delay_after(failures, draw=self._deps.clock.draw())

    async def _bury(self, original: Record, outcome: Outcome) -> None:
        await self.context.wait_for_ownership()
        await self._deps.dead_letters.bury(
            DeadLetter(
                record=original,
                reason=outcome.code,
                error=outcome.error,
                event_id=event_id_if_any(original),
                failed_at=self._deps.clock.now(),
                key=original.key,
                endpoint_id=self.endpoint_ref[1],
                attempts=outcome.attempts,
                status=outcome.status,
                first_attempt_at=outcome.first_attempt_at,
            )
        )

    # -- what is noted -------------------------------------------------------

    async def _note(self, *, now: bool = False) -> None:
        """Note how far it is done, for whoever takes over, and for who reads dead letters."""
        since = self._deps.clock.now() - self._noted_at
        if not now and since < self._deps.rules.note_every_s:
            return
        self._noted_at = self._deps.clock.now()
        if not self._delivered and self._position == self._noted:
            return
        if self.context.stopped and not self.context.is_ours():
            return
        delivered, self._delivered = self._delivered, []
        if delivered:
            await self._deps.letters.settle(self.context.partition, delivered)
        if self._is_suspended():
            position = self._position
            # Without it a successor delivers these events once more, no worse.
            with suppress(RecordRefusedError):
                await self._submit(NoteDrained, owner=self._owner, letters_from=position)
                self._noted = position

    async def _end(self) -> int:
        return await self._asking(lambda: self._deps.letters.end(self.context.partition))

    async def _asking(self, question: Callable[[], Awaitable[_Answer]]) -> _Answer:
        while True:
            try:
                return await question()
            except BrokerError:
                await self.context.wait(_BROKER_PAUSE_S)

    async def _submit(self, kind: Any, **fields: Any) -> None:
        await self._deps.commands.submit(
            kind(
                customer_id=self.endpoint_ref[0],
                id=f"cmd_{uuid4().hex}",
                at=self._deps.clock.now(),
                endpoint_id=self.endpoint_ref[1],
                **fields,
            )
        )
