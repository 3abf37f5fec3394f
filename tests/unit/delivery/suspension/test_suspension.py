from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from hookseal.delivery.ordering.scheduler import OrderingKey
from hookseal.delivery.ports import Answer
from hookseal.delivery.suspension import SuspensionRules
from hookseal.domain.backoff import Backoff
from hookseal.domain.command import (
    ChangeEndpoint,
    ClaimSuspension,
    EndSuspension,
    NoteDrained,
    PauseEndpoint,
    RemoveEndpoint,
    ResumeEndpoint,
    SuspendEndpoint,
)
from hookseal.domain.dead_letter import SUSPENDED
from hookseal.domain.endpoint import EndpointLimits
from hookseal.errors import AttemptError, LocalResourceError
from tests.builders import a_record, a_tenant, an_endpoint
from tests.engine import Engine
from tests.fakes import NOW
from tests.partition_model import HeldClock, steps


class PassingClock(HeldClock):
    """A clock whose time has passed when its sleepers wake."""

    def wake(self) -> None:
        # The latest sleepers: those before them may have been cancelled.
        awake = [
            seconds
            for seconds, sleeper in zip(
                self.slept[-len(self.sleepers) :], self.sleepers, strict=False
            )
            if not sleeper.done()
        ]
        self.time += max(awake, default=0.0)
        super().wake()


class Case:
    """One endpoint of one customer, its events, and what becomes of them."""

    def __init__(self, *, after: int = 2, attempts: int = 2, give_up_s: float = 1_000_000) -> None:
        self.engine = Engine(
            a_tenant("acme", an_endpoint("ep_1"), an_endpoint("ep_2", event_types=("x",))),
            backoff=Backoff(base_s=1, jitter=0, max_attempts=attempts),
            rules=SuspensionRules(
                after=after,
                give_up_s=give_up_s,
                probe=Backoff(base_s=30, cap_s=3600, jitter=0),
            ),
            clock=PassingClock(),
        )
        self.engine.transport.script("ep_1")
        self.take_over()

    def take_over(self) -> None:
        self.context = self.engine.context()
        self.drains = self.engine.context()
        self.engine.suspensions.start(self.drains)

    def answers(self, *responses: Any) -> None:
        self.engine.transport.script("ep_1", *responses)

    @property
    def clock(self) -> HeldClock:
        assert isinstance(self.engine.clock, HeldClock)
        return self.engine.clock

    def begin(self, number: int) -> asyncio.Task[None]:
        return asyncio.create_task(self.engine.deliver(a_record(offset=number), self.context))

    async def deliver(self, *numbers: int) -> None:
        """Deliver events one after the other, with all the waits there are."""
        for number in numbers:
            task = self.begin(number)
            await steps()
            while not task.done():
                self.clock.wake()
                await steps()
            await task

    async def time_passes(self) -> None:
        await steps()
        self.clock.wake()
        await steps()

    async def change(self, kind: Any, **fields: Any) -> None:
        asked = {"customer_id": "acme", "id": f"asked-{uuid4()}", "at": 1.0, "endpoint_id": "ep_1"}
        await self.engine.commands.submit(kind(**asked, **fields))
        await steps()

    async def suspended(self) -> None:
        """Suspend it with two final dead letters, nothing deferred, and an outage to come."""
        self.answers(*[422] * 4)
        await self.deliver(0, 1)
        self.answers(*[503] * 100)
        assert await self.engine.suspensions.suspend(("acme", "ep_1"), "exhausted", self.context)
        await steps()
        assert self.state == "suspended"

    async def probes(self, count: int) -> None:
        for _ in range(count):
            await self.time_passes()

    @property
    def numbers(self) -> list[int]:
        return [attempt.number for attempt in self.engine.observer.attempts]

    @property
    def state(self) -> str:
        endpoint = self.engine.tenants.held["acme"].endpoint("ep_1")
        assert endpoint is not None
        return endpoint.state

    @property
    def reasons(self) -> list[str]:
        return self.engine.dead_letters.reasons

    @property
    def accepted(self) -> list[str]:
        return self.engine.observer.accepted


@pytest.fixture
async def case() -> Any:
    made = Case()
    yield made
    made.context.stop()
    await made.engine.suspensions.stop({0})
    assert made.engine.observer.crashes == []


class TestSuspending:
    async def test_takes_so_many_events_given_up_in_a_row(self, case: Case) -> None:
        case.answers(503, 503, 200, 503, 503)
        await case.deliver(0, 1, 2)
        before = case.state
        case.answers(503, 503)
        await case.deliver(3)

        assert (before, case.state) == ("active", "suspended")
        assert case.engine.observer.suspended_because == {"ep_1": "exhausted"}
        assert case.reasons == ["attempts_exhausted", "attempts_exhausted", "endpoint_suspended"]

    async def test_is_not_for_what_an_endpoint_cannot_help(self, case: Case) -> None:
        await case.change(ChangeEndpoint, enabled=False)

        await case.deliver(0, 1, 2, 3)

        assert case.engine.observer.suspended_because == {}

    async def test_that_kafka_refuses_is_asked_for_again_by_a_later_event(self, case: Case) -> None:
        case.engine.commands.refused = (SuspendEndpoint,)
        case.answers(*[503] * 100)
        await case.deliver(0, 1)
        before = case.state

        case.engine.commands.refused = ()
        await case.deliver(2, 3)

        assert (before, case.engine.commands.refusals, case.state) == ("active", 1, "suspended")

    async def test_never_happens_with_0(self) -> None:
        case = Case(after=0)
        case.answers(*[503] * 100)

        await case.deliver(*range(10))

        assert (case.state, set(case.reasons)) == ("active", {"attempts_exhausted"})

    async def test_sets_aside_at_once_and_attempts_nothing(self, case: Case) -> None:
        await case.suspended()
        asked = len(case.engine.transport.requests)

        await asyncio.wait_for(case.engine.deliver(a_record(offset=2), case.context), 5)

        assert case.reasons == ["attempts_exhausted"] * 2 + ["endpoint_suspended"]
        assert len(case.engine.transport.requests) == asked

    async def test_leaves_the_other_endpoints_alone(self, case: Case) -> None:
        await case.suspended()

        await case.engine.deliver(
            a_record({"type": "x", "data": 1, "id": "evt_x"}, offset=2), case.context
        )

        assert case.engine.transport.urls[-1].endswith("ep_2")


class TestProbes:
    async def test_come_at_growing_intervals_and_use_up_nothing(self, case: Case) -> None:
        await case.suspended()
        await case.deliver(2)
        for _ in range(11):
            await case.time_passes()

        waits = [wait for _, wait in case.engine.observer.probes]
        assert waits[:10] == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
        assert case.reasons[2:] == ["endpoint_suspended"]

    async def test_wait_before_the_first(self, case: Case) -> None:
        await case.suspended()
        await case.begin(2)
        await steps()

        assert case.engine.observer.probes == []
        assert case.clock.slept[-1] == 30

    async def test_that_this_process_could_not_send_are_no_failed_probes(self, case: Case) -> None:
        await case.suspended()
        await case.begin(2)
        case.answers(*[LocalResourceError("descriptors")] * 3, 200, 200, 200)
        for _ in range(4):
            await case.time_passes()

        assert case.engine.observer.probes == []
        assert case.clock.slept[-4:] == [30, 0.1, 0.2, 0.4]
        assert case.engine.observer.accepted == ["evt_2"]
        assert case.state == "active"

    async def test_honour_what_the_endpoint_asks_for(self, case: Case) -> None:
        await case.suspended()
        case.answers(Answer(503, "50"))
        await case.begin(2)
        await case.time_passes()

        assert case.engine.observer.probes == [("http_503", 50)]

    @pytest.mark.parametrize(
        "change",
        [(ResumeEndpoint, {}), (ChangeEndpoint, {"url": "https://other.test/ep_1"})],
        ids=["resumed", "another URL"],
    )
    async def test_come_at_once_when_there_is_a_reason(self, case: Case, change: Any) -> None:
        await case.suspended()
        await case.begin(2)
        case.answers(200)

        await case.change(change[0], **change[1])
        await steps()

        assert (case.accepted, case.state) == (["evt_2"], "active")

    async def test_wait_for_an_event_to_try_with(self, case: Case) -> None:
        await case.suspended()
        for _ in range(5):
            await case.time_passes()
        before = case.state
        case.answers(200)

        await case.begin(2)
        await steps()

        assert before == "suspended"
        assert (case.accepted, case.state) == (["evt_2"], "active")

    async def test_resumed_with_nothing_set_aside_it_is_over(self, case: Case) -> None:
        await case.suspended()

        await case.change(ResumeEndpoint)
        await steps()

        assert case.state == "active"


class TestCatchingUp:
    async def test_is_in_order_and_ends_the_suspension(self, case: Case) -> None:
        await case.suspended()
        await case.deliver(2, 3, 4, 5, 6)
        case.answers()
        for _ in range(3):
            await case.time_passes()

        assert case.accepted == [f"evt_{n}" for n in range(2, 7)]
        assert case.state == "active"
        assert case.engine.observer.recoveries == ["ep_1"]
        # No replay is to send them once more.
        assert sorted(case.engine.letters.settled) == [2, 3, 4, 5, 6]

    async def test_delivers_newer_events_behind_it_and_live(self, case: Case) -> None:
        await case.suspended()
        await case.deliver(2, 3)
        going_on = asyncio.Event()
        held: list[str] = []

        async def post(request: Any, _: Any) -> Any:
            held.append(request.headers["webhook-id"])
            if held[-1] == "evt_3":
                await going_on.wait()
            return Answer(200)

        case.engine.transport.post = post  # type: ignore[method-assign, assignment]
        await case.time_passes()
        newer = case.begin(4)
        await steps()
        before, letters = list(held), len(case.reasons)
        going_on.set()
        await newer
        await steps()
        await case.begin(5)

        assert before == ["evt_2", "evt_3"]
        assert held == ["evt_2", "evt_3", "evt_4", "evt_5"]
        assert case.state == "active"
        # What came while the last ones were delivered was set aside, or waited: never both.
        assert len(case.reasons) - letters <= 1

    async def test_ends_only_when_nothing_more_can_be_set_aside(self, case: Case) -> None:
        await case.suspended()
        await case.deliver(2)
        case.answers()
        newer: list[asyncio.Task[None]] = []

        async def after_end() -> None:
            # In the very moment when it is known where the letters end.
            newer.append(case.begin(2 + len(newer) + 1))
            await steps()

        case.engine.letters.after_end = after_end
        for _ in range(3):
            await case.time_passes()
        await asyncio.gather(*newer)
        await steps()

        assert case.state == "active"
        assert case.accepted == [f"evt_{n}" for n in range(2, 3 + len(newer))]

    async def test_waits_for_what_is_being_set_aside(self, case: Case) -> None:
        await case.suspended()
        await case.deliver(2)
        case.answers()
        case.engine.dead_letters.going_on.clear()
        newer = case.begin(3)
        for _ in range(3):
            await case.time_passes()
        before = (list(case.accepted), case.state)
        case.engine.dead_letters.going_on.set()
        await newer
        await steps()

        assert before == (["evt_2"], "suspended")
        assert (case.accepted, case.state) == (["evt_2", "evt_3"], "active")

    async def test_delivers_once_what_a_crash_set_aside_twice(self, case: Case) -> None:
        await case.suspended()
        await case.deliver(2, 3, 2, 3, 4)
        case.answers()
        for _ in range(3):
            await case.time_passes()

        assert case.accepted == ["evt_2", "evt_3", "evt_4"]
        assert sorted(case.engine.letters.settled) == [2, 3, 4, 5, 6]

    async def test_goes_back_to_probing_when_it_fails_again(self, case: Case) -> None:
        await case.suspended()
        await case.deliver(2, 3, 4)
        case.answers(200, 503, 503)
        await case.time_passes()
        halfway = (list(case.accepted), case.state)
        await case.deliver(5)
        case.answers()
        for _ in range(4):
            await case.time_passes()

        assert halfway == (["evt_2"], "suspended")
        assert case.accepted == [f"evt_{n}" for n in range(2, 6)]
        assert case.state == "active"

    async def test_gives_up_an_event_that_is_refused_for_what_it_is(self, case: Case) -> None:
        await case.suspended()
        await case.deliver(2, 3)
        case.answers(422, 422, 200)
        for _ in range(4):
            await case.time_passes()

        assert case.accepted == ["evt_3"]
        assert case.reasons[4:] == ["attempts_exhausted"]
        letter = case.engine.dead_letters.letters[4]
        assert (letter.event_id, letter.endpoint_id) == ("evt_2", "ep_1")
        assert (letter.attempts, letter.status) == (2, 422)
        assert letter.record.value == a_record(offset=2).value
        assert letter.record.offset == 2
        # The receiver answers, so the event has its usual schedule.
        assert [wait for _, wait in case.engine.observer.probes] == [1, 0]

    async def test_waits_while_the_endpoint_is_disabled(self, case: Case) -> None:
        await case.suspended()
        await case.deliver(2, 3)
        await case.change(ChangeEndpoint, enabled=False)
        case.answers()
        for _ in range(3):
            await case.time_passes()
        before = list(case.accepted)
        await case.change(ChangeEndpoint, enabled=True)
        await steps()

        assert before == []
        assert (case.accepted, case.state) == (["evt_2", "evt_3"], "active")

    async def test_a_410_disables_it_and_keeps_what_was_set_aside(self, case: Case) -> None:
        await case.suspended()
        await case.deliver(2, 3)
        case.answers(410)
        for _ in range(3):
            await case.time_passes()
        gone = case.state
        await case.change(ChangeEndpoint, enabled=True)
        for _ in range(2):
            await case.time_passes()

        assert gone == "disabled"
        assert case.accepted == ["evt_2", "evt_3"]

    async def test_ends_with_the_endpoint(self, case: Case) -> None:
        await case.suspended()
        await case.deliver(2)

        await case.change(RemoveEndpoint)

        assert case.engine.observer.suspended_count == 0

    async def test_begins_anew_after_a_fault_of_ours(self, case: Case) -> None:
        await case.suspended()
        await case.deliver(2)
        case.answers()
        case.engine.letters.broken = RuntimeError("boom")
        for _ in range(5):
            await case.time_passes()

        assert [str(crash) for crash in case.engine.observer.crashes] == ["boom"]
        assert (case.accepted, case.state) == (["evt_2"], "active")
        case.engine.observer.crashes.clear()

    async def test_asks_again_when_no_broker_answers(self, case: Case) -> None:
        await case.suspended()
        await case.deliver(2)
        case.engine.letters.failing = 2
        case.answers()
        for _ in range(5):
            await case.time_passes()

        assert (case.accepted, case.state) == (["evt_2"], "active")


class TestTheExhaustedEvent:
    async def test_is_the_first_one_of_the_backlog(self) -> None:
        case = Case(after=1)
        case.answers(503, 503, 503, 200)

        await case.deliver(0, 1)
        deferred = case.engine.dead_letters.letters[0]
        await case.probes(2)

        assert case.reasons == ["endpoint_suspended"] * 2
        assert (deferred.event_id, deferred.attempts, deferred.status) == ("evt_0", 2, 503)
        assert deferred.first_attempt_at == deferred.failed_at - 1
        assert (case.accepted, case.state) == (["evt_0", "evt_1"], "active")
        # Two before the event was deferred, a failed probe, a good one, and the newer event.
        assert case.numbers == [1, 2, 3, 4, 1]

    async def test_suspends_nothing_by_its_own_fault(self) -> None:
        case = Case(after=1)
        case.answers(*[422, 404, 501] * 2)

        await case.deliver(0, 1, 2)

        assert (case.state, case.reasons) == ("active", ["attempts_exhausted"] * 3)

    async def test_is_dead_lettered_if_kafka_refuses_the_suspension(self) -> None:
        case = Case(after=1)
        case.engine.commands.refused = (SuspendEndpoint,)
        case.answers(503, 503)

        await case.deliver(0)

        assert (case.state, case.reasons) == ("active", ["attempts_exhausted"])

    async def test_goes_before_those_that_were_attempted_at_the_same_time(self) -> None:
        case = Case(after=1)
        case.answers(*[503] * 4)
        events = [case.begin(0), case.begin(1), case.begin(2)]
        await steps()
        case.engine.commands.going_on.clear()
        await case.time_passes()
        before = list(case.reasons)
        case.engine.commands.going_on.set()
        case.answers()
        await case.probes(2)
        await asyncio.gather(*events)

        assert before == []
        assert set(case.reasons) == {"endpoint_suspended"}
        assert (sorted(case.accepted), case.state) == (["evt_0", "evt_1", "evt_2"], "active")

    async def test_is_kept_over_a_crash_between_the_suspension_and_its_dead_letter(self) -> None:
        case = Case(after=1)
        case.answers(503, 503, 503)
        case.engine.dead_letters.going_on.clear()
        event = case.begin(0)
        await case.probes(2)
        state, before = case.state, list(case.reasons)
        event.cancel()
        await case.engine.suspensions.stop({0})
        case.engine.dead_letters.going_on.set()
        case.engine.restart()
        case.take_over()
        await case.deliver(0, 1)
        case.answers()
        await case.probes(2)

        assert (state, before) == ("suspended", [])
        assert (case.accepted, case.state) == (["evt_0", "evt_1"], "active")


class TestGivingUp:
    async def test_counts_from_the_first_attempt(self) -> None:
        case = Case(after=1, give_up_s=100)
        case.answers(*[503] * 100)
        await case.deliver(0)
        while "expired" not in case.reasons:
            await case.time_passes()

        letter = case.engine.dead_letters.letters[-1]
        assert (letter.event_id, letter.attempts, letter.status) == ("evt_0", 5, 503)
        assert letter.first_attempt_at == letter.failed_at - 100
        # 1 s of backoff, a probe after 30 s, another one after 30 s, the last one after 39 s.
        assert case.engine.observer.probes[-1] == ("http_503", 0)
        assert case.state == "suspended"

    async def test_probes_the_next_event_at_once(self) -> None:
        case = Case(after=1, give_up_s=100)
        case.answers(*[503] * 5)
        await case.deliver(0, 1)
        await case.probes(3)

        assert case.reasons[2:] == ["expired"]
        assert (case.accepted, case.state) == (["evt_1"], "active")

    async def test_of_an_event_without_an_attempt_counts_from_its_first_probe(
        self,
    ) -> None:
        case = Case(give_up_s=100)
        await case.suspended()
        await case.deliver(2)
        while "expired" not in case.reasons:
            await case.time_passes()

        letter = case.engine.dead_letters.letters[-1]
        assert (letter.event_id, letter.attempts) == ("evt_2", 4)
        assert letter.first_attempt_at == letter.failed_at - 100

    async def test_counts_on_after_a_takeover(self) -> None:
        case = Case(give_up_s=100)
        await case.suspended()
        await case.deliver(2)
        await case.probes(1)
        first = case.clock.now()
        await case.probes(1)
        await case.engine.suspensions.stop({0})
        case.engine.restart()
        case.take_over()
        await steps()
        while "expired" not in case.reasons:
            await case.time_passes()

        letter = case.engine.dead_letters.letters[-1]
        assert (letter.first_attempt_at, letter.failed_at) == (first, first + 100)


class TestAnEventThatAlwaysFails:
    async def test_is_dead_lettered_once_the_receiver_accepts_a_newer_one(self) -> None:
        case = Case(after=1)
        case.answers(502, 502, *[502] * 4)
        await case.deliver(0, 1, 2)
        await case.probes(4)

        assert case.reasons[3:] == ["attempts_exhausted"]
        letter = case.engine.dead_letters.letters[3]
        assert (letter.event_id, letter.attempts, letter.status) == ("evt_0", 6, 502)
        assert (case.accepted, case.state) == (["evt_1", "evt_2"], "active")
        # The bound: 30 s, and those after three failed probes.
        assert [wait for _, wait in case.engine.observer.probes] == [30, 60, 120, 240]
        assert sorted(case.engine.letters.settled) == [0, 1, 2]

    async def test_does_not_hide_behind_others_that_fail(self) -> None:
        case = Case(after=1)
        poison = {f"evt_{number}" for number in (0, 1, 2)}

        async def post(request: Any, _: Any) -> Any:
            return Answer(500 if request.headers["webhook-id"] in poison else 200)

        case.engine.transport.post = post  # type: ignore[method-assign, assignment]
        await case.deliver(0, 1, 2, 3, 4)
        await case.probes(7)

        given_up = [one for one in case.engine.dead_letters.letters if one.reason != SUSPENDED]
        assert [one.event_id for one in given_up] == ["evt_0", "evt_1", "evt_2"]
        assert {one.reason for one in given_up} == {"attempts_exhausted"}
        assert (case.accepted, case.state) == (["evt_3", "evt_4"], "active")

    async def test_alone_waits_until_it_expires(self) -> None:
        case = Case(after=1)
        case.answers(*[500] * 40)
        await case.deliver(0)
        await case.probes(20)
        before = (case.reasons, case.state)
        case.answers()
        await case.probes(1)

        assert before == (["endpoint_suspended"], "suspended")
        assert case.accepted == ["evt_0"]

    async def test_in_an_outage_of_any_length_nothing_is_lost(self) -> None:
        case = Case(after=1)
        case.answers(*[500] * 1000)
        await case.deliver(*range(8))
        await case.probes(40)
        before = len(case.reasons)
        case.answers()
        await case.probes(2)

        assert before == 8
        assert case.accepted == [f"evt_{number}" for number in range(8)]
        assert set(case.reasons) == {"endpoint_suspended"}

    async def test_is_not_at_fault_while_the_receiver_cannot_be_reached(self) -> None:
        case = Case(after=1)
        case.answers(503, 503, *[AttemptError("timeout", "") for _ in range(10)], 200)
        await case.deliver(0, 1)
        await case.probes(9)
        requests = [attempt.code for attempt in case.engine.observer.attempts]
        await case.probes(3)

        assert requests == ["http_503"] * 2 + ["timeout"] * 9
        assert case.accepted == ["evt_0", "evt_1"]


class TestAPause:
    async def test_defers_in_order_and_attempts_nothing_until_it_ends(self, case: Case) -> None:
        await case.change(PauseEndpoint)
        await case.deliver(0, 1)
        await case.probes(5)
        before = (case.state, case.accepted[:], len(case.engine.transport.requests))
        await case.change(ResumeEndpoint)
        await steps()
        await case.begin(2)

        assert before == ("paused", [], 0)
        assert case.engine.observer.suspended_because == {"ep_1": "paused"}
        assert case.reasons == ["endpoint_suspended"] * 2
        assert (case.accepted, case.state) == (["evt_0", "evt_1", "evt_2"], "active")

    async def test_ends_a_backoff(self, case: Case) -> None:
        case.answers(503)
        event = case.begin(0)
        await steps()
        await case.change(PauseEndpoint)
        await event
        deferred = case.engine.dead_letters.letters[0]
        case.answers()
        await case.change(ResumeEndpoint)
        await steps()

        assert (deferred.reason, deferred.attempts) == ("endpoint_suspended", 1)
        assert (case.accepted, case.numbers) == (["evt_0"], [1, 2])

    async def test_of_a_suspended_endpoint_ends_its_probes(self, case: Case) -> None:
        await case.suspended()
        await case.deliver(2)
        await case.change(PauseEndpoint)
        asked = len(case.engine.transport.requests)
        await case.probes(5)
        before = (case.state, len(case.engine.transport.requests))
        await case.change(ResumeEndpoint)
        await steps()
        failed = case.state
        case.answers()
        await case.probes(2)

        assert before == ("paused", asked)
        assert failed == "suspended"
        assert (case.accepted, case.state) == (["evt_2"], "active")

    async def test_gives_nothing_up(self) -> None:
        case = Case(after=1, give_up_s=100)
        case.answers(503, 503)
        await case.deliver(0)
        await case.change(PauseEndpoint)
        case.clock.time += 1000
        await case.change(ResumeEndpoint)
        await steps()

        assert (case.accepted, case.reasons) == (["evt_0"], ["endpoint_suspended"])

    async def test_outlives_a_takeover(self, case: Case) -> None:
        await case.change(PauseEndpoint)
        await case.deliver(0)
        await case.engine.suspensions.stop({0})
        case.engine.restart()
        case.take_over()
        await case.deliver(1)
        await case.probes(3)
        before = (case.state, case.accepted[:])
        await case.change(ResumeEndpoint)
        await steps()

        assert before == ("paused", [])
        assert (case.accepted, case.state) == (["evt_0", "evt_1"], "active")

    async def test_that_no_worker_saw_is_kept_by_the_next_owner(self, case: Case) -> None:
        await case.engine.suspensions.stop({0})
        await case.change(PauseEndpoint)
        case.engine.restart()
        case.take_over()
        await case.deliver(0)

        assert (case.state, case.reasons) == ("paused", ["endpoint_suspended"])

    async def test_that_kafka_refuses_to_carry_out_keeps_events_waiting(self, case: Case) -> None:
        case.engine.commands.refused = (SuspendEndpoint,)
        await case.change(PauseEndpoint)
        event = case.begin(0)
        await case.probes(2)
        before = (event.done(), len(case.engine.transport.requests))
        case.engine.commands.refused = ()
        await case.probes(2)
        await event

        assert before == (False, 0)
        assert case.reasons == ["endpoint_suspended"]

    async def test_that_begins_while_the_backlog_is_delivered_stops_it(self, case: Case) -> None:
        await case.suspended()
        await case.deliver(2, 3, 4)
        going_on = asyncio.Event()
        sent: list[str] = []

        async def post(request: Any, _: Any) -> Any:
            sent.append(request.headers["webhook-id"])
            if sent[-1] == "evt_3":
                await going_on.wait()
            return Answer(200)

        case.engine.transport.post = post  # type: ignore[method-assign, assignment]
        await case.time_passes()
        await case.change(PauseEndpoint)
        going_on.set()
        await case.probes(3)
        before = list(sent)
        await case.change(ResumeEndpoint)
        await steps()

        assert before == ["evt_2", "evt_3"]
        assert (sent, case.state) == (["evt_2", "evt_3", "evt_4"], "active")


def expiring(number: int, after_s: float) -> Any:
    expires_at = datetime.fromtimestamp(NOW + after_s, UTC).isoformat()
    body = {"type": "a", "data": 1, "id": f"evt_{number}", "expires_at": expires_at}
    return a_record(body, offset=number)


class TestAnEventWithATimeOfExpiry:
    async def test_is_not_attempted_after_it(self, case: Case) -> None:
        await case.engine.deliver(expiring(0, 0), case.context)
        await case.engine.deliver(expiring(1, 1), case.context)

        assert (case.reasons, case.accepted) == (["expired"], ["evt_1"])
        assert len(case.engine.transport.requests) == 1

    async def test_is_not_retried_after_it(self, case: Case) -> None:
        case.answers(503)
        event = asyncio.create_task(case.engine.deliver(expiring(0, 0.5), case.context))
        await case.time_passes()
        await event

        letter = case.engine.dead_letters.letters[0]
        assert (letter.reason, letter.attempts, letter.status) == ("expired", 1, 503)
        assert case.state == "active"

    async def test_ends_its_wait_in_the_backlog(self, case: Case) -> None:
        await case.suspended()
        await case.engine.deliver(expiring(2, 40), case.context)
        await case.deliver(3)
        await case.probes(2)
        case.answers()
        await case.probes(2)

        letter = case.engine.dead_letters.letters[-1]
        assert (letter.event_id, letter.reason, letter.attempts) == ("evt_2", "expired", 1)
        assert letter.failed_at <= NOW + 42
        assert (case.accepted, case.state) == (["evt_3"], "active")


class TestTakingOver:
    async def test_goes_on_where_the_last_note_was(self, case: Case) -> None:
        await case.suspended()
        await case.deliver(2, 3, 4, 5)
        case.answers(200, 200, 503)
        await case.time_passes()
        await case.engine.suspensions.stop({0})
        case.engine.restart()
        case.answers()
        case.take_over()
        await steps()

        # What a polite stop noted is not delivered again.
        assert case.accepted == ["evt_2", "evt_3", "evt_4", "evt_5"]
        assert case.state == "active"

    async def test_takes_the_end_out_of_the_hands_of_whoever_had_it(self, case: Case) -> None:
        await case.suspended()
        endpoint = case.engine.tenants.held["acme"].endpoint("ep_1")
        assert endpoint is not None
        assert endpoint.suspension is not None
        before = endpoint.suspension.owner
        await case.engine.suspensions.stop({0})
        case.engine.restart()
        case.take_over()
        await steps()

        await case.change(EndSuspension, owner=before)

        assert case.state == "suspended"

    async def test_nothing_is_set_aside_before_it_is_in_our_hands(self, case: Case) -> None:
        await case.suspended()
        await case.engine.suspensions.stop({0})
        case.engine.restart()
        event = case.begin(2)
        await steps()
        case.engine.commands.going_on.clear()
        case.take_over()
        await steps()
        before = len(case.reasons)
        case.engine.commands.going_on.set()
        await event

        assert (before, case.reasons[2:]) == (2, ["endpoint_suspended"])


ACME_QUEUE = OrderingKey(b"acme", b"acme")


class TestPressure:
    async def test_a_full_line_in_backoff_is_set_aside(self, case: Case) -> None:
        case.answers(503, 503)
        event = case.begin(0)
        await steps()

        case.engine.suspensions.queue_full(ACME_QUEUE, case.context, at_once=False)
        await event

        assert case.engine.observer.suspended_because == {"ep_1": "behind"}
        assert case.reasons == ["endpoint_suspended"]

    async def test_a_full_line_behind_a_rate_is_set_aside(self, case: Case) -> None:
        limited = an_endpoint("ep_1", limits=EndpointLimits(rate_per_s=0.1))
        case.engine.tenants.held["acme"] = a_tenant("acme", limited)
        case.answers(200, 200, 200)
        await case.deliver(0)
        event = case.begin(1)
        await steps()

        case.engine.suspensions.queue_full(ACME_QUEUE, case.context, at_once=False)
        await event

        assert (case.accepted, case.reasons) == (["evt_0"], ["endpoint_suspended"])

        # It accepts, so what was set aside goes out at the rate that it asked for.
        case.clock.time += 30
        while case.state == "suspended":
            await case.time_passes()
        assert case.accepted == ["evt_0", "evt_1"]

    async def test_a_full_line_that_moves_on_is_left_alone(self, case: Case) -> None:
        answered = asyncio.Event()
        case.engine.transport.before = lambda _: answered.set()
        event = case.begin(0)
        await answered.wait()

        case.engine.suspensions.queue_full(ACME_QUEUE, case.context, at_once=False)
        await event

        assert case.state == "active"

    async def test_a_full_line_behind_a_slow_receiver_is_set_aside(self, case: Case) -> None:
        going_on = asyncio.Event()

        async def post(*_: Any) -> Any:
            await going_on.wait()
            return Answer(200)

        case.engine.transport.post = post  # type: ignore[method-assign, assignment]
        event = case.begin(0)
        await steps()
        case.clock.time += 2

        case.engine.suspensions.queue_full(ACME_QUEUE, case.context, at_once=False)
        await steps()
        state = case.state
        going_on.set()
        await event

        assert state == "suspended"
        # What was on the wire was accepted, and so it is not set aside.
        assert (case.accepted, case.reasons) == (["evt_0"], [])

    async def test_a_full_window_sets_aside_the_longest_line_in_trouble(self) -> None:
        case = Case(attempts=5)
        engine = case.engine
        engine.tenants.held["other"] = a_tenant("other", an_endpoint("ep_9"))
        for name in ("ep_1", "ep_9"):
            engine.transport.script(name, *[503] * 10)
        events = [
            asyncio.create_task(engine.deliver(a_record(key=key, offset=0), case.context))
            for key in (b"acme", b"other")
        ]
        await case.time_passes()
        lengths = {"acme": 5, "other": 7}

        engine.suspensions.window_full(lengths.__getitem__, case.context)
        await steps()

        assert engine.observer.suspended_because == {"ep_9": "behind"}
        case.context.stop()
        case.drains.stop()
        await asyncio.gather(*events, return_exceptions=True)

    async def test_one_failed_attempt_is_no_reason_with_a_full_window(self, case: Case) -> None:
        case.answers(503)
        event = case.begin(0)
        await steps()

        case.engine.suspensions.window_full(lambda _: 9, case.context)
        await case.time_passes()
        await event

        assert case.state == "active"


class TestCommandsThatKafkaRefuses:
    async def test_leave_newer_events_deferred_until_the_suspension_ends(self, case: Case) -> None:
        case.engine.commands.refused = (EndSuspension, NoteDrained)
        await case.suspended()
        await case.deliver(2)
        case.answers()

        await case.time_passes()
        refused, before = case.engine.commands.refusals, case.state
        await case.deliver(3)
        case.engine.commands.refused = ()
        while case.state == "suspended":
            await case.time_passes()

        assert (refused > 0, before, case.state) == (True, "suspended", "active")
        # Each once, although the end of the suspension was refused in between.
        assert case.accepted == ["evt_2", "evt_3"]

    async def test_are_sent_again_when_a_partition_is_taken_over(self, case: Case) -> None:
        await case.suspended()
        await case.deliver(2)
        await case.engine.suspensions.stop({0})
        case.engine.commands.refused = (ClaimSuspension,)
        case.engine.restart()
        case.take_over()
        await case.time_passes()
        refused = case.engine.commands.refusals
        case.engine.commands.refused = ()
        case.answers()

        while case.state == "suspended":
            await case.time_passes()

        assert (refused > 0, case.accepted) == (True, ["evt_2"])
