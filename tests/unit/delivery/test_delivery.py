from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from hookseal.delivery.ordering.partition import PartitionContext, PartitionStoppedError
from hookseal.delivery.ports import Answer
from hookseal.domain.attempt import Outcome
from hookseal.domain.backoff import Backoff
from hookseal.domain.command import ChangeEndpoint
from hookseal.domain.endpoint import Suspension
from hookseal.domain.event import SEAL_TO_HEADER
from hookseal.domain.tenant import PublicKey
from hookseal.errors import AttemptError, BlockedAddressError, LocalResourceError, SealError
from tests.builders import a_record, a_tenant, an_endpoint, an_event, public_key
from tests.engine import Engine
from tests.fakes import NOW, FakeGate, StuckClock
from tests.partition_model import steps

if TYPE_CHECKING:
    from hookseal.domain.tenant import Tenant

SUSPENDED_ENDPOINT = an_endpoint(suspension=Suspension(1.0, "exhausted", "w", 0))
TIMEOUT = AttemptError("timeout", "No answer in time.")


async def deliver(engine: Engine) -> Outcome:
    return await engine.deliverer.deliver(an_event(), "acme", "ep_1", engine.context())


class TestAccepted:
    async def test_at_the_first_attempt(self) -> None:
        engine = Engine()

        outcome = await deliver(engine)

        assert outcome == Outcome(
            accepted=True, code="accepted", attempts=1, status=200, first_attempt_at=NOW
        )
        assert engine.clock.slept == []

    async def test_after_failures_with_growing_waits(self) -> None:
        engine = Engine()
        engine.transport.script("ep_1", 500, TIMEOUT, 302)

        outcome = await deliver(engine)

        assert (outcome.accepted, outcome.attempts) == (True, 4)
        assert engine.clock.slept == [1, 2, 4]
        assert [attempt.code for attempt in engine.observer.attempts] == [
            "http_500",
            "timeout",
            "redirect_not_followed",
            "accepted",
        ]
        assert [attempt.number for attempt in engine.observer.attempts] == [1, 2, 3, 4]

    async def test_waits_as_long_as_the_endpoint_asks(self) -> None:
        engine = Engine()
        engine.transport.script("ep_1", Answer(503, "30"), Answer(429, "99999"))

        await deliver(engine)

        assert engine.clock.slept == [30, 60]


SHORTAGES = {
    "descriptors": LocalResourceError("descriptors"),
    "memory": MemoryError(),
    "threads": RuntimeError("can't start new thread"),
    "ports": OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"),
}


class TestAShortageOfOurs:
    @pytest.mark.parametrize("resource", SHORTAGES)
    async def test_is_no_attempt(self, resource: str) -> None:
        engine = Engine(backoff=Backoff(jitter=0, max_attempts=2))
        shortage = SHORTAGES[resource]
        engine.transport.script("ep_1", 500, *[shortage] * 20, 200)

        outcome = await deliver(engine)

        assert (outcome.accepted, outcome.attempts) == (True, 2)
        assert [attempt.number for attempt in engine.observer.attempts] == [1, 2]
        assert [attempt.code for attempt in engine.observer.attempts] == ["http_500", "accepted"]
        assert engine.observer.shortages == [resource] * 20
        assert engine.observer.crashes == []

    async def test_is_waited_out_with_a_backoff_of_its_own(self) -> None:
        engine = Engine()
        engine.transport.script("ep_1", *[LocalResourceError("memory")] * 8)

        await deliver(engine)

        assert engine.clock.slept == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]

    async def test_keeps_no_room_on_the_wire_nor_a_stop_waiting(self) -> None:
        engine = Engine(clock=StuckClock())
        assert isinstance(engine.clock, StuckClock)
        engine.transport.script("ep_1", LocalResourceError("descriptors"))
        context = engine.context()
        delivery = asyncio.create_task(
            engine.deliverer.deliver(an_event(), "acme", "ep_1", context)
        )
        await engine.clock.asleep.wait()
        in_flight = context.in_flight
        context.stop()

        with pytest.raises(PartitionStoppedError):
            await delivery
        assert in_flight == 0


class TestGivenUp:
    async def test_after_the_last_attempt_without_a_further_wait(self) -> None:
        engine = Engine(backoff=Backoff(jitter=0, max_attempts=2))
        engine.transport.script("ep_1", 500, 503)

        outcome = await deliver(engine)

        assert (outcome.accepted, outcome.code, outcome.attempts) == (
            False,
            "attempts_exhausted",
            2,
        )
        assert outcome.status == 503
        assert "http_503" in outcome.error
        assert engine.clock.slept == [1]

    async def test_keeps_the_last_status_when_later_attempts_bring_none(self) -> None:
        engine = Engine(backoff=Backoff(jitter=0, max_attempts=2))
        engine.transport.script("ep_1", 500, TIMEOUT)

        assert (await deliver(engine)).status == 500

    async def test_at_once_when_gone_and_disables_the_endpoint(self) -> None:
        engine = Engine()
        engine.transport.script("ep_1", 410)

        outcome = await deliver(engine)

        assert (outcome.code, outcome.attempts, outcome.status) == ("endpoint_gone", 1, 410)
        endpoint = engine.tenants.held["acme"].endpoints[0]
        assert (endpoint.enabled, endpoint.disabled_reason) == (False, "gone")

    async def test_gone_decides_the_delivery_although_the_command_is_refused(self) -> None:
        engine = Engine()
        engine.transport.script("ep_1", 410)
        engine.commands.refused = (ChangeEndpoint,)

        outcome = await deliver(engine)

        assert (outcome.code, engine.commands.refusals) == ("endpoint_gone", 1)
        assert engine.tenants.held["acme"].endpoints[0].enabled

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (BlockedAddressError(), "blocked_address"),
            (SealError("request_invalid", "No request."), "request_invalid"),
        ],
    )
    async def test_at_once_when_trying_again_changes_nothing(
        self, error: Exception, code: str
    ) -> None:
        engine = Engine()
        engine.transport.script("ep_1", error)

        outcome = await deliver(engine)

        assert (outcome.accepted, outcome.code, outcome.attempts) == (False, code, 1)
        assert engine.clock.slept == []

    async def test_a_fault_of_ours_counts_as_an_attempt_and_is_told(self) -> None:
        engine = Engine(backoff=Backoff(jitter=0, max_attempts=2))
        engine.transport.script("ep_1", RuntimeError("bug"), RuntimeError("bug"))

        outcome = await deliver(engine)

        assert outcome.code == "attempts_exhausted"
        assert len(engine.observer.crashes) == 2

    @pytest.mark.parametrize(
        ("tenant", "reason"),
        [
            (a_tenant(enabled=False), "tenant_disabled"),
            (a_tenant("acme", an_endpoint("other")), "endpoint_removed"),
            (a_tenant("acme", an_endpoint(enabled=False)), "endpoint_disabled"),
            (a_tenant(public_keys=()), "no_public_key"),
            (a_tenant("other"), "unknown_tenant"),
            # The first reason counts: an event is deferred although the key is missing, too.
            (a_tenant("acme", SUSPENDED_ENDPOINT, public_keys=()), "endpoint_suspended"),
        ],
    )
    async def test_without_an_attempt_when_there_is_nowhere_to_deliver_to(
        self, tenant: Tenant, reason: str
    ) -> None:
        engine = Engine(tenant)

        outcome = await deliver(engine)

        assert (outcome.accepted, outcome.code, outcome.attempts) == (False, reason, 0)
        assert engine.transport.requests == []

    async def test_with_a_key_that_cannot_seal(self) -> None:
        key = replace(public_key(), jwk={"kty": "RSA", "n": "AQAB", "e": "AQAB"})
        engine = Engine(a_tenant(public_keys=(key,)))

        assert (await deliver(engine)).code == "key_unusable"


class TestEachAttempt:
    async def test_goes_to_where_the_endpoint_is_by_now(self) -> None:
        engine = Engine()
        engine.transport.script("ep_1", 500)

        def move(_: object) -> None:
            moved = an_endpoint(url="https://new.acme.test/hook")
            engine.tenants.held["acme"] = a_tenant("acme", moved)

        engine.transport.before = move
        await deliver(engine)

        assert engine.transport.urls == [
            "https://hooks.acme.test/ep_1",
            "https://new.acme.test/hook",
        ]

    async def test_does_not_go_out_when_the_partition_went_elsewhere_while_it_was_dialled(
        self,
    ) -> None:
        engine, gate = Engine(), FakeGate()
        gate.open()
        context = PartitionContext(0, clock=engine.clock, observer=engine.observer, gate=gate)
        dialled = 0

        async def dialling(_: object) -> None:
            nonlocal dialled
            dialled += 1
            if dialled == 1:
                gate.close()

        engine.transport.dialled = dialling
        delivery = asyncio.create_task(
            engine.deliverer.deliver(an_event(), "acme", "ep_1", context)
        )
        await steps()
        held = (list(engine.transport.requests), list(engine.observer.attempts), context.in_flight)
        gate.open()
        outcome = await delivery

        assert held == ([], [], 0)
        # What did not go out was no attempt.
        assert (outcome.accepted, outcome.attempts, dialled) == (True, 1, 2)
        assert len(engine.transport.requests) == 1

    async def test_is_not_made_once_the_endpoint_is_disabled(self) -> None:
        engine = Engine()
        engine.transport.script("ep_1", 500)

        def disable(_: object) -> None:
            engine.tenants.held["acme"] = a_tenant("acme", an_endpoint(enabled=False))

        engine.transport.before = disable
        outcome = await deliver(engine)

        assert (outcome.code, outcome.attempts, outcome.status) == ("endpoint_disabled", 1, 500)

    async def test_is_sealed_anew_with_the_same_id_and_its_own_time(self) -> None:
        engine = Engine()
        engine.transport.script("ep_1", 500)

        await deliver(engine)

        first, second = engine.transport.requests
        assert first.headers["webhook-id"] == second.headers["webhook-id"] == "evt_7"
        assert int(second.headers["webhook-timestamp"]) == int(NOW) + 1
        assert first.body != second.body

    async def test_is_signed_twice_while_the_secret_rotates(self) -> None:
        rotating = an_endpoint(secret_version=2, previous_secret_until=NOW + 10)
        engine = Engine(a_tenant("acme", rotating))

        await deliver(engine)

        (request,) = engine.transport.requests
        assert request.headers["webhook-signature"].count("v1,") == 2

    async def test_follows_the_endpoint_s_own_schedule(self) -> None:
        engine = Engine(a_tenant("acme", an_endpoint(retry_delays_s=(7.0,))))
        engine.transport.script("ep_1", 500, 500)

        outcome = await deliver(engine)

        assert (outcome.attempts, engine.clock.slept) == (2, [7])

    async def test_cuts_a_stored_schedule_to_the_operator_s_limit(self) -> None:
        engine = Engine(a_tenant("acme", an_endpoint(retry_delays_s=(100.0, 3600.0, 3600.0))))
        engine.transport.script("ep_1", 500, 500, 500)

        outcome = await deliver(engine)

        assert (outcome.attempts, engine.clock.slept) == (3, [100, 200])
        assert outcome.code == "attempts_exhausted"

    async def test_ends_a_schedule_of_the_endpoint_s_own_in_time(self) -> None:
        # The receiver asks for a minute each time, so 50 waits would take 50 minutes.
        engine = Engine(a_tenant("acme", an_endpoint(retry_delays_s=(1.0,) * 50)))
        engine.transport.script("ep_1", *[Answer(503, "60")] * 51)

        outcome = await deliver(engine)

        assert (outcome.attempts, sum(engine.clock.slept)) == (6, 300)

    async def test_holds_no_plaintext(self) -> None:
        engine = Engine()

        await deliver(engine)

        (request,) = engine.transport.requests
        assert b"order.paid" not in request.body
        assert "data" not in repr(request)


class TestStopping:
    async def test_cuts_the_wait_and_leaves_the_delivery_undecided(self) -> None:
        clock = StuckClock()
        engine = Engine(clock=clock)
        engine.transport.script("ep_1", 500)
        context = engine.context()
        delivering = asyncio.create_task(
            engine.deliverer.deliver(an_event(), "acme", "ep_1", context)
        )
        await clock.asleep.wait()

        context.stop()

        with pytest.raises(PartitionStoppedError):
            await delivering
        assert len(engine.transport.requests) == 1

    async def test_lets_a_running_attempt_count(self) -> None:
        engine = Engine()
        context = engine.context()
        engine.transport.before = lambda _: context.stop()

        outcome = await engine.deliverer.deliver(an_event(), "acme", "ep_1", context)

        assert outcome.accepted


class TestSealedTo:
    async def test_the_key_that_the_event_names_although_another_one_is_active(self) -> None:
        jwk = public_key().jwk
        tenant = a_tenant(
            public_keys=(PublicKey("old", "ECDH-ES", jwk, "retiring"), public_key("new"))
        )
        engine = Engine(tenant)
        headers = ((SEAL_TO_HEADER, msgspec.json.encode(PublicKey("gone", "ECDH-ES", jwk))),)
        record = a_record({"type": "hookseal.key.changed", "data": {}}, *headers)

        await engine.deliverer.deliver(an_event(record), "acme", "ep_1", engine.context())

        assert [attempt.kid for attempt in engine.observer.attempts] == ["gone"]

    async def test_the_active_one_where_a_producer_names_a_key(self) -> None:
        header = msgspec.json.encode(PublicKey("other", "ECDH-ES", public_key().jwk))
        reserved = {"type": "hookseal.key.changed", "data": {}}
        for record in (
            a_record(None, (SEAL_TO_HEADER, header)),
            a_record(reserved, (SEAL_TO_HEADER, b"nonsense")),
        ):
            engine = Engine()

            await engine.deliverer.deliver(an_event(record), "acme", "ep_1", engine.context())

            assert [attempt.kid for attempt in engine.observer.attempts] == ["key-1"]
