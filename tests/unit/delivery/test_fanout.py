from __future__ import annotations

import asyncio

import pytest

from hookseal.delivery.ordering.partition import PartitionStoppedError
from hookseal.domain.backoff import Backoff
from hookseal.domain.event import ENDPOINT_ID_HEADER, REPLAY_HEADER
from hookseal.domain.new_event import endpoint_test
from tests.builders import a_record, a_tenant, an_endpoint, an_event
from tests.engine import Engine
from tests.fakes import StuckClock


class TestFanout:
    async def test_goes_to_each_endpoint_that_wants_the_event(self) -> None:
        engine = Engine()
        tenant = a_tenant(
            "acme",
            an_endpoint("ep_1", event_types=("order.*",)),
            an_endpoint("ep_2", event_types=("invoice.*",)),
            an_endpoint("ep_3", event_types=("order.paid", "other")),
        )
        engine.tenants.held["acme"] = tenant

        await engine.deliver.fan_out(an_event(), tenant, engine.context())

        assert sorted(url[-4:] for url in engine.transport.urls) == ["ep_1", "ep_3"]

    async def test_skips_an_event_that_nobody_wants(self) -> None:
        engine = Engine()
        tenant = a_tenant("acme", an_endpoint(event_types=("invoice.*",)))

        await engine.deliver.fan_out(an_event(), tenant, engine.context())

        assert engine.observer.skips == ["evt_7"]
        assert engine.transport.requests == []

    async def test_buries_one_letter_for_each_endpoint_that_gave_up(self) -> None:
        tenant = a_tenant("acme", *(an_endpoint(f"ep_{n}") for n in (1, 2, 3)))
        engine = Engine(tenant, backoff=Backoff(jitter=0, max_attempts=2))
        engine.transport.script("ep_1", 500, 500)
        engine.transport.script("ep_3", 410)

        await engine.deliver.fan_out(an_event(), tenant, engine.context())

        letters = {letter.endpoint_id: letter for letter in engine.dead_letters.letters}
        assert {name: letter.reason for name, letter in letters.items()} == {
            "ep_1": "attempts_exhausted",
            "ep_3": "endpoint_gone",
        }
        assert letters["ep_1"].record == an_event().record
        assert (letters["ep_1"].attempts, letters["ep_1"].status) == (2, 500)

    async def test_sets_the_events_of_a_disabled_endpoint_aside(self) -> None:
        tenant = a_tenant("acme", an_endpoint(enabled=False))
        engine = Engine(tenant)

        await engine.deliver.fan_out(an_event(), tenant, engine.context())

        assert engine.dead_letters.reasons == ["endpoint_disabled"]

    async def test_a_replay_goes_only_to_the_endpoint_that_failed(self) -> None:
        tenant = a_tenant("acme", an_endpoint("ep_1"), an_endpoint("ep_2", event_types=("x",)))
        engine = Engine(tenant)
        record = a_record(None, (REPLAY_HEADER, b"0/5"), (ENDPOINT_ID_HEADER, b"ep_2"))

        await engine.deliver.fan_out(an_event(record), tenant, engine.context())

        assert [url[-4:] for url in engine.transport.urls] == ["ep_2"]

    async def test_a_test_goes_to_the_endpoint_it_was_asked_for(self) -> None:
        endpoints = (an_endpoint("ep_1"), an_endpoint("ep_2", event_types=("x",)))
        tenant = a_tenant("acme", *endpoints)
        engine = Engine(tenant)
        notice = endpoint_test("acme", "ep_2", "evt_test_1")

        event = an_event(a_record(notice.value, *notice.headers))
        await engine.deliver.fan_out(event, tenant, engine.context())

        assert [url[-4:] for url in engine.transport.urls] == ["ep_2"]

    async def test_a_notice_goes_to_every_enabled_endpoint_whatever_it_wants(self) -> None:
        endpoints = (
            an_endpoint("ep_1", event_types=("order.paid",)),
            an_endpoint("ep_2", event_types=("x",)),
            an_endpoint("ep_3", enabled=False),
        )
        tenant = a_tenant("acme", *endpoints)
        engine = Engine(tenant)

        event = an_event(a_record({"type": "hookseal.key.changed", "data": {}}))
        await engine.deliver.fan_out(event, tenant, engine.context())

        assert sorted(url[-4:] for url in engine.transport.urls) == ["ep_1", "ep_2"]
        assert engine.dead_letters.letters == []

    async def test_a_replay_that_names_no_endpoint_goes_to_all_that_want_it(self) -> None:
        tenant = a_tenant("acme", an_endpoint("ep_1"), an_endpoint("ep_2"))
        engine = Engine(tenant)

        await engine.deliver.fan_out(
            an_event(a_record(None, (REPLAY_HEADER, b"0/5"))), tenant, engine.context()
        )

        assert sorted(url[-4:] for url in engine.transport.urls) == ["ep_1", "ep_2"]

    async def test_an_endpoint_in_backoff_does_not_hold_its_siblings(self) -> None:
        clock = StuckClock()
        tenant = a_tenant("acme", an_endpoint("ep_1"), an_endpoint("ep_2"))
        engine = Engine(tenant, clock=clock)
        engine.transport.script("ep_1", 500)
        context = engine.context()

        delivering = asyncio.create_task(engine.deliver.fan_out(an_event(), tenant, context))
        await clock.asleep.wait()
        await engine.observer.first_outcome.wait()
        context.stop()

        assert [name for name, _ in engine.observer.outcomes] == ["ep_2"]
        with pytest.raises(PartitionStoppedError):
            await delivering
