"""The backlog of one suspended endpoint: probe the endpoint, then deliver its deferred events."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from hookseal.delivery.attempt import endpoint_command
from hookseal.delivery.delivery import exhausted, letter_of
from hookseal.delivery.ordering.partition import PartitionStoppedError
from hookseal.delivery.ports import DeferredPage
from hookseal.delivery.suspension.rules import CLEAR_AFTER, NEWER_MAX, AttemptsSoFar
from hookseal.domain.attempt import Outcome
from hookseal.domain.command import ClaimSuspension, EndSuspension, NoteDrained
from hookseal.domain.dead_letter import EXPIRED
from hookseal.domain.event import event_id_if_any
from hookseal.domain.replay import attempts_of, event_of, is_deferred, original_of
from hookseal.domain.verdict import Blame, Verdict
from hookseal.errors import BrokerError, InvalidEventError, RecordRefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hookseal.delivery.attempt import AttemptResult
    from hookseal.delivery.delivery import Deliverer
    from hookseal.delivery.limits.backoff_waits import EndpointRef
    from hookseal.delivery.ordering.partition import PartitionContext
    from hookseal.delivery.ports import Ports
    from hookseal.delivery.suspension.rules import SuspensionRules
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

_NO_PAGE = DeferredPage((), 0)

_Answer = TypeVar("_Answer")


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

    Each is attempted until it is accepted or expires. An event that the receiver refuses for its
    content uses up its attempts and is dead-lettered. So is an event that fails again and again,
    while the receiver accepts a newer one.

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
        self._attempted: dict[int, AttemptsSoFar] = {}
        self._oldest: AttemptsSoFar | None = None
        self._newer = _NO_PAGE
        self._noted_at: float | None = None
        self._saved_attempted_at: float | None = None
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
            self._noted_at = self._saved_attempted_at = suspension.attempted_at
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
            endpoint.paused_at,
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
        if not self._may_end():
            # Only a delivery can tell whether the endpoint accepts.
            end = self._position
            while await self._end() <= end and not self._may_end():
                await self._changed()
        elif delivered <= _NEARLY_DONE_LETTERS or self._clock.now() - began <= _NEARLY_DONE_S:
            await self._close()

    def _may_end(self) -> bool:
        _, endpoint, suspension = self._look_up()
        is_resumed = self._accepts or suspension.resume_asked_at is not None
        return is_resumed and endpoint.paused_at is None

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
        page, count = await self._read(self._position, end), 0
        for number, letter in enumerate(page.letters, start=1):
            if letter.offset < self._position:
                # Done together with an older one.
                continue
            done = await self._deliver_oldest(
                letter, DeferredPage(page.letters[number:], page.next)
            )
            if not done:
                return count
            count += len(done)
            self._position = done[-1].offset + 1
            self._delivered += done
            await self._save_position()
        self._position = max(self._position, page.next)
        await self._save_position()
        return count

    async def _read(self, start: int, end: int) -> DeferredPage:
        return await until_answered(
            lambda: self._ports.letters.read(
                self._context.partition,
                start,
                end,
                lambda letter: is_deferred(letter, *self._endpoint_ref),
            ),
            self._context,
        )

    async def _deliver_oldest(self, letter: Record, rest: DeferredPage) -> Sequence[Record]:
        """Attempt an event. Return the events that are done; if there are none, `_wait_s` is set.

        `rest` is the page behind it.
        """
        if _source(letter) in self._seen:
            return [letter]
        event = await self._event_of(letter)
        if event is None:
            return [letter]
        attempted = self._oldest = self._attempts_at(letter, self._noted_at)
        result = await self._attempt(event, attempted)
        is_skipped = result.judgement.verdict is Verdict.SKIPPED
        if is_skipped and result.judgement.code != EXPIRED:
            # Disabled, paused, or without a key: no attempt until a user changes that.
            self._wait_s = math.inf
            return []
        outcome = (
            attempted.expired() if is_skipped else self._after_attempt(event, attempted, result)
        )
        if outcome is not None:
            await self._end_with(letter, event, outcome)
            return [letter]
        await self._save_position()
        count = min(attempted.unclear - CLEAR_AFTER, NEWER_MAX)
        if count <= 0:
            return []
        return await self._attempt_newer(await self._with_newer(letter, rest, count), count)

    async def _with_newer(self, oldest: Record, rest: DeferredPage, count: int) -> list[Record]:
        """Return the oldest event and at least `count` newer ones, if there are so many."""
        if self._newer.next <= oldest.offset:
            self._newer = rest
        end = await self._end()
        while len(self._newer.letters) < count and self._newer.next < end:
            page = await self._read(self._newer.next, end)
            self._newer = DeferredPage([*self._newer.letters, *page.letters], page.next)
        return [oldest, *self._newer.letters]

    async def _attempt_newer(self, letters: Sequence[Record], count: int) -> Sequence[Record]:
        """Attempt up to `count` events behind the first one, until the receiver accepts one.

        Then the receiver works, and the events before the accepted one, which just failed, are at
        fault. They are dead-lettered: delivered later, they would break the order. Return the
        events that are done.
        """
        tried = {_source(letters[0])}
        for index, letter in enumerate(letters):
            if (source := _source(letter)) in tried or source in self._seen:
                continue
            if len(tried) > count:
                break
            tried.add(source)
            event = await self._event_of(letter)
            if event is None:
                continue
            attempted = self._attempts_at(letter)
            result = await self._attempt(event, attempted)
            if result.judgement.verdict is Verdict.SKIPPED:
                if result.judgement.code == EXPIRED:
                    continue
                break
            fault = attempted.count(result)
            if fault is None:
                self._accepts, self._failures, self._wait_s = True, 0, 0.0
                for failed in letters[:index]:
                    await self._end_at_fault(failed)
                await self._end_with(letter, event, attempted.outcome("accepted"))
                return letters[: index + 1]
            if fault is Blame.RECEIVER:
                break
        return []

    async def _end_at_fault(self, letter: Record) -> None:
        if _source(letter) in self._seen:
            return
        event = await self._event_of(letter)
        if event is not None:
            attempted = self._attempts_at(letter)
            error = f"{attempted.made} attempts failed, and the endpoint accepted a newer event."
            failed = attempted.outcome("attempts_exhausted", error)
            await self._end_with(letter, event, failed if attempted.made else attempted.expired())

    async def _event_of(self, letter: Record) -> Event | None:
        """Return the event; None = it cannot be read any more, and is dead-lettered."""
        try:
            return event_of(letter, max_bytes=self._rules.event_max_bytes)
        except InvalidEventError as error:
            await self._bury(letter, Outcome(False, error.code, error=error.message))  # noqa: FBT003
            self._remember(letter)
            return None

    async def _end_with(self, letter: Record, event: Event, outcome: Outcome) -> None:
        """Dead-letter the event unless it was accepted, and remember that it is done."""
        if not outcome.accepted:
            await self._bury(letter, outcome)
        self._ports.observer.drained(event, *self._endpoint_ref, outcome)
        self._remember(letter)

    def _remember(self, letter: Record) -> None:
        self._attempted.pop(letter.offset, None)
        self._oldest = self._noted_at = None
        self._newer = _NO_PAGE
        self._seen[_source(letter)] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

    def _attempts_at(self, letter: Record, noted_at: float | None = None) -> AttemptsSoFar:
        attempted = self._attempted.get(letter.offset)
        if attempted is None:
            made, first_at = attempts_of(letter)
            attempted = AttemptsSoFar(made, first_at or noted_at, is_noted=first_at is not None)
            self._attempted[letter.offset] = attempted
        return attempted

    async def _attempt(self, event: Event, attempted: AttemptsSoFar) -> AttemptResult:
        result = await self._deliverer.attempt_deferred(
            event, *self._endpoint_ref, self._context, attempted.made + 1
        )
        self._probed_state = self._probe_state()
        return result

    def _after_attempt(
        self, event: Event, attempted: AttemptsSoFar, result: AttemptResult
    ) -> Outcome | None:
        """Return the outcome if this was the event's last attempt; otherwise set `_wait_s`."""
        judgement, outcome = result.judgement, None
        fault = attempted.count(result)
        self._accepts = fault is None
        if fault is None:
            self._failures = 0
            return attempted.outcome("accepted")
        if fault is Blame.EVENT:
            # The receiver answers, and refuses this event: its endpoint needs no long wait.
            draw = self._clock.draw()
            self._wait_s = result.schedule.delay_after(
                attempted.refused, draw=draw, at_least_s=judgement.wait_s
            )
            if attempted.refused >= result.schedule.attempts:
                outcome = exhausted(attempted.outcome(""), result)
        else:
            self._failures += 1
            self._wait_s = max(judgement.wait_s, self._probe_delay_s(self._failures))
        now = self._clock.now()
        left_s = (attempted.first_at or now) + self._rules.give_up_s - now
        if outcome is None and left_s <= 0 and judgement.verdict is not Verdict.GONE:
            outcome = attempted.expired()
        if event.expires_at is not None:
            left_s = min(left_s, event.expires_at - now)
        self._wait_s = min(self._wait_s, max(0.0, left_s))
        if outcome is not None:
            self._wait_s = 0.0
        self._ports.observer.probed(*self._endpoint_ref, judgement.code, self._wait_s)
        return outcome

    def _probe_delay_s(self, failures: int) -> float:
        return self._rules.probe.delay_after(failures, draw=self._clock.draw())

    async def _bury(self, letter: Record, outcome: Outcome) -> None:
        original = original_of(letter)
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
        oldest = self._oldest
        attempted_at = None if oldest is None or oldest.is_noted else oldest.first_at
        if (
            not self._delivered
            and self._position == self._saved_position
            and attempted_at == self._saved_attempted_at
        ):
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
            await self._submit(
                NoteDrained, owner=self._owner, letters_from=position, attempted_at=attempted_at
            )
            self._saved_position, self._saved_attempted_at = position, attempted_at

    async def _end(self) -> int:
        return await until_answered(
            lambda: self._ports.letters.end(self._context.partition), self._context
        )

    async def _submit(self, kind: Callable[..., Any], **fields: Any) -> None:
        command = endpoint_command(kind, self._endpoint_ref, self._clock, **fields)
        await self._ports.commands.submit(command)


def _source(letter: Record) -> tuple[int, int]:
    """Return partition and offset of the original record."""
    original = original_of(letter)
    return original.partition, original.offset
