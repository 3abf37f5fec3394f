"""The backlog of one suspended endpoint: probe the endpoint, then deliver its deferred events."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from hookseal.delivery.attempt import endpoint_command
from hookseal.delivery.delivery import exhausted, letter_of
from hookseal.delivery.ordering.partition import PartitionStoppedError
from hookseal.domain.attempt import Outcome
from hookseal.domain.backoff import Backoff
from hookseal.domain.command import ClaimSuspension, EndSuspension, NoteDrained
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
    from hookseal.delivery.ports import Ports
    from hookseal.domain.endpoint import Endpoint, Suspension
    from hookseal.domain.event import Event
    from hookseal.domain.record import Record
    from hookseal.domain.tenant import Tenant

_BROKER_PAUSE_S = 1.0
# An operator has to act before Kafka accepts a command that it refused.
_REFUSED_PAUSE_S = 10.0
# Events in memory, to drop the duplicates that a crash caused its successor to defer.
_REMEMBERED = 10_000
# With less than this left, newer events wait for the end of the backlog.
_NEARLY_DONE_LETTERS = 1
_NEARLY_DONE_S = 1.0

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class SuspensionRules:
    """The operator's settings for suspensions.

    Attributes:
        after: Exhausted events in a row that suspend an endpoint; 0 = never suspend.
        probe: Delays between probes. Their number is not limited.
        note_every_s: Seconds between two writes of the position: a crash repeats the events that
            were delivered since.
        event_max_bytes: Limit of an event's value.
    """

    after: int = 10
    probe: Backoff = field(default_factory=lambda: Backoff(base_s=30.0, cap_s=3600.0))
    note_every_s: float = 0.5
    event_max_bytes: int = 32_768


class _EndedError(Exception):
    """The suspension ended, or the endpoint was removed."""


async def until_answered(
    question: Callable[[], Awaitable[_Answer]], context: PartitionContext
) -> _Answer:
    """Ask the broker until it answers."""
    while True:
        try:
            return await question()
        except BrokerError:
            await context.wait(_BROKER_PAUSE_S)


class BacklogDelivery:
    """Delivers the deferred events of one endpoint, one at a time, in their order.

    Each is attempted until it is accepted. Only an event that the receiver refuses for its content
    uses up its attempts and is dead-lettered.

    Attributes:
        closing: The backlog is about to end: defer no more events.
        pending: Events that are being deferred now.
    """

    def __init__(
        self,
        endpoint_ref: EndpointRef,
        owner: str,
        context: PartitionContext,
        *,
        ports: Ports,
        deliverer: Deliverer,
        rules: SuspensionRules,
        on_change: Callable[[], None],
    ) -> None:
        """`on_change` is called when new events of the endpoint may be deferred, or no more."""
        self.closing = False
        self.pending = 0
        self._endpoint_ref = endpoint_ref
        self._owner = owner
        self._context = context
        self._ports = ports
        self._clock = ports.clock
        self._deliverer = deliverer
        self._rules = rules
        self._on_change = on_change
        self._position = 0
        self._saved_position = 0
        self._saved_at = ports.clock.now()
        self._delivered: list[Record] = []
        self._seen: OrderedDict[tuple[int, int], None] = OrderedDict()
        self._tries = 0
        self._first_attempt_at: float | None = None
        self._accepts = False
        self._failures = 0
        self._wait_s = 0.0
        self._wakeup: asyncio.Future[None] | None = None
        self._probed_state: object = None

    async def run(self) -> None:
        """Return once the suspension ended, or the endpoint was removed."""
        try:
            is_fresh = self._suspension().owner == self._owner
            suspension = await self._claim()
            self._position = self._saved_position = suspension.letters_from
            if is_fresh and suspension.why == "exhausted":
                self._wait_s = self._probe_delay_s(1)
            while True:
                await self._round()
        except (_EndedError, PartitionStoppedError) as error:
            await self._save_position(now=True)
            if isinstance(error, PartitionStoppedError):
                raise

    def wake(self) -> None:
        """Look at the tenant again: it changed."""
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    # -- the endpoint and its suspension -----------------------------------------

    def _look_up(self) -> tuple[Tenant, Endpoint, Suspension]:
        customer_id, endpoint_id = self._endpoint_ref
        tenant = self._ports.tenants.get(customer_id)
        endpoint = None if tenant is None else tenant.endpoint(endpoint_id)
        if tenant is None or endpoint is None or endpoint.suspension is None:
            raise _EndedError
        return tenant, endpoint, endpoint.suspension

    def _suspension(self) -> Suspension:
        return self._look_up()[2]

    def _probe_state(self) -> object:
        """Return the settings that start a probe at once when one of them changes."""
        tenant, endpoint, suspension = self._look_up()
        of_tenant = (tenant.enabled, tenant.active_key)
        return (
            *of_tenant,
            endpoint.enabled,
            endpoint.url,
            endpoint.headers,
            suspension.resume_asked_at,
        )

    async def _claim(self) -> Suspension:
        """Become the owner of the suspension, so that no earlier owner can end it."""
        while (suspension := self._suspension()).owner != self._owner:
            await self._context.wait_for_ownership()
            try:
                await self._submit(ClaimSuspension, owner=self._owner)
            except RecordRefusedError:
                await self._context.wait(_REFUSED_PAUSE_S)
                continue
            while self._suspension().owner == suspension.owner:
                await self._changed()
        self._probed_state = self._probe_state()
        self._on_change()
        return suspension

    async def _changed(self) -> None:
        self._wakeup = asyncio.get_running_loop().create_future()
        await self._context.wait(None, or_until=self._wakeup)

    # -- one round ---------------------------------------------------------------

    async def _round(self) -> None:
        """Deliver up to the end of the topic, and end the suspension if nothing is left."""
        await self._wait()
        began, delivered = self._clock.now(), 0
        end = await self._end()
        while self._position < end:
            delivered += await self._deliver_page(end)
            if self._wait_s > 0:
                return
        if not self._accepts and self._suspension().resume_asked_at is None:
            # Only a delivery can tell whether the endpoint accepts.
            end = self._position
            while await self._end() <= end and self._suspension().resume_asked_at is None:
                await self._changed()
        elif delivered <= _NEARLY_DONE_LETTERS or self._clock.now() - began <= _NEARLY_DONE_S:
            await self._close()

    async def _close(self) -> None:
        """Block newer events, deliver the rest, and end the suspension."""
        self.closing = True
        try:
            while self.pending:
                await self._changed()
            end = await self._end()
            while self._position < end:
                await self._deliver_page(end)
                if self._wait_s > 0:
                    return
            await self._save_position(now=True)
            await self._context.wait_for_ownership()
            try:
                await self._submit(EndSuspension, owner=self._owner)
            except RecordRefusedError:
                # Newer events must not wait for it: they are deferred again until then.
                self._wait_s = _REFUSED_PAUSE_S
                return
            while self._suspension().owner == self._owner:
                await self._changed()
            await self._claim()
        except _EndedError:
            self._ports.observer.recovered(*self._endpoint_ref)
            raise
        finally:
            self.closing = False
            self._on_change()

    async def _wait(self) -> None:
        """Wait for the next probe, or for a change that starts one at once."""
        until = self._clock.now() + self._wait_s
        while self._wait_s > 0:
            wakeup = self._wakeup = asyncio.get_running_loop().create_future()
            if self._probe_state() == self._probed_state:
                seconds = None if self._wait_s == math.inf else self._wait_s
                await self._context.wait(seconds, or_until=wakeup)
            if self._suspension().owner != self._owner:
                await self._claim()
            if (state := self._probe_state()) != self._probed_state:
                self._probed_state = state
                self._failures = 0
                break
            if not wakeup.done():
                break
            self._wait_s = until - self._clock.now()
        self._wait_s = 0.0

    # -- deferred events ---------------------------------------------------------

    async def _deliver_page(self, end: int) -> int:
        """Deliver one page of deferred events; return how many are done."""
        page = await until_answered(
            lambda: self._ports.letters.read(
                self._context.partition,
                self._position,
                end,
                lambda letter: is_deferred(letter, *self._endpoint_ref),
            ),
            self._context,
        )
        for number, letter in enumerate(page.letters, start=1):
            if not await self._is_done(letter):
                return number - 1
            self._position = letter.offset + 1
            self._delivered.append(letter)
            await self._save_position()
            if self._wait_s > 0:
                return number
        self._position = max(self._position, page.next)
        await self._save_position()
        return len(page.letters)

    async def _is_done(self, letter: Record) -> bool:
        """Attempt one event. Return whether it is done; otherwise `_wait_s` is set."""
        original = original_of(letter)
        source = (original.partition, original.offset)
        if source in self._seen:
            return True
        try:
            event = event_of(letter, max_bytes=self._rules.event_max_bytes)
        except InvalidEventError as error:
            invalid = Outcome(accepted=False, code=error.code, error=error.message)
            await self._bury(original, invalid)
        else:
            outcome = await self._attempt(event)
            if outcome is None:
                return False
            if not outcome.accepted:
                await self._bury(original, outcome)
            self._ports.observer.drained(event, *self._endpoint_ref, outcome)
        self._tries, self._first_attempt_at = 0, None
        self._seen[source] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return True

    async def _attempt(self, event: Event) -> Outcome | None:
        """Make one attempt; return the outcome if that decides the delivery."""
        result = await self._deliverer.attempt_deferred(
            event, *self._endpoint_ref, self._context, self._tries + 1
        )
        self._probed_state = self._probe_state()
        if result.judgement.verdict is Verdict.SKIPPED:
            # Disabled, or without a key: no attempt until a user changes that.
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
            self._accepts, self._failures = True, 0
            return replace(so_far, accepted=True, code="accepted")
        return exhausted(so_far, result.judgement) if self._is_exhausted(result) else None

    def _is_exhausted(self, result: AttemptResult) -> bool:
        """Set the wait after a failed attempt; return whether the event is out of attempts."""
        judgement = result.judgement
        is_retry = judgement.verdict is Verdict.RETRY
        fault = blame(result.status) if is_retry else Blame.RECEIVER
        self._accepts = False
        if fault is not Blame.RECEIVER:
            self._tries += 1
        is_exhausted = fault is not Blame.RECEIVER and self._tries >= result.schedule.attempts
        if fault is Blame.EVENT:
            # The receiver answers, and refuses this event: its endpoint needs no long wait.
            draw = self._clock.draw()
            self._wait_s = 0.0
            if not is_exhausted:
                self._wait_s = result.schedule.delay_after(
                    self._tries, draw=draw, at_least_s=judgement.wait_s
                )
        else:
            self._failures += 1
            self._wait_s = max(judgement.wait_s, self._probe_delay_s(self._failures))
        self._ports.observer.probed(*self._endpoint_ref, judgement.code, self._wait_s)
        return is_exhausted

    def _probe_delay_s(self, failures: int) -> float:
        return self._rules.probe.delay_after(failures, draw=self._clock.draw())

    async def _bury(self, original: Record, outcome: Outcome) -> None:
        await self._context.wait_for_ownership()
        await self._ports.dead_letters.bury(
            letter_of(
                original,
                outcome,
                event_id=event_id_if_any(original),
                failed_at=self._clock.now(),
                key=original.key,
                endpoint_id=self._endpoint_ref[1],
            )
        )

    async def _save_position(self, *, now: bool = False) -> None:
        """Write the position for the next owner, and mark the delivered dead letters."""
        if not now and self._clock.now() - self._saved_at < self._rules.note_every_s:
            return
        self._saved_at = self._clock.now()
        if not self._delivered and self._position == self._saved_position:
            return
        if self._context.stopped and not self._context.is_ours():
            return
        delivered, self._delivered = self._delivered, []
        if delivered:
            await self._ports.letters.settle(self._context.partition, delivered)
        # Without a position the next owner delivers these events again, no worse.
        with suppress(_EndedError, RecordRefusedError):
            self._suspension()
            position = self._position
            await self._submit(NoteDrained, owner=self._owner, letters_from=position)
            self._saved_position = position

    async def _end(self) -> int:
        return await until_answered(
            lambda: self._ports.letters.end(self._context.partition), self._context
        )

    async def _submit(self, kind: Callable[..., Any], **fields: Any) -> None:
        command = endpoint_command(kind, self._endpoint_ref, self._clock, **fields)
        await self._ports.commands.submit(command)
