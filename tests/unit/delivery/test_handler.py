from __future__ import annotations

from typing import Any

import pytest

from hookseal.domain.dead_letter import category_of
from hookseal.domain.event import BROADCAST_HEADER, ORDERING_KEY_HEADER, REROUTED_HEADER
from hookseal.domain.record import Record
from tests.builders import a_record, a_tenant, an_endpoint
from tests.engine import Engine


class TestPoison:
    @pytest.mark.parametrize(
        ("record", "reason"),
        [
            (a_record(key=None), "key_missing"),
            (a_record(key=b"\xff"), "customer_id_invalid"),
            (Record("events", 0, 1, b"acme", None), "value_missing"),
            (Record("events", 0, 1, None, None), "key_missing"),
            (a_record(b"not json"), "json_invalid"),
            (a_record(b"x" * 32_769), "payload_too_large"),
            (a_record(key=b"nobody"), "unknown_tenant"),
        ],
    )
    async def test_is_buried_with_its_reason(self, record: Record, reason: str) -> None:
        engine = Engine()

        await engine.deliver(record, engine.context())

        (letter,) = engine.dead_letters.letters
        assert (letter.reason, letter.record, letter.key) == (reason, record, record.key)
        assert letter.endpoint_id is None
        assert engine.transport.requests == []

    async def test_of_a_disabled_tenant_is_buried(self) -> None:
        engine = Engine(a_tenant(enabled=False))

        await engine.deliver(a_record(), engine.context())

        assert engine.dead_letters.reasons == ["tenant_disabled"]

    async def test_that_breaks_us_is_buried_and_told(self) -> None:
        engine = Engine()

        def broken(customer_id: str) -> None:
            raise RuntimeError("bug")

        engine.tenants.get = broken  # type: ignore[method-assign]
        await engine.deliver(a_record(), engine.context())

        assert engine.dead_letters.reasons == ["internal_error"]
        assert len(engine.observer.crashes) == 1


class TestUnknownTenant:
    async def test_is_waited_for_until_its_commands_are_read(self) -> None:
        engine = Engine(a_tenant("other"))
        engine.tenants.on_settle = lambda: engine.tenants.held.update(acme=a_tenant())

        await engine.deliver(a_record(), engine.context(0))

        assert engine.tenants.settled == [0]
        assert len(engine.transport.requests) == 1
        assert engine.dead_letters.letters == []

    async def test_a_known_one_is_not_waited_for(self) -> None:
        engine = Engine()

        await engine.deliver(a_record(), engine.context())

        assert engine.tenants.settled == []


class TestMisrouted:
    async def test_is_produced_to_its_right_partition_and_not_delivered(self) -> None:
        engine = Engine()
        engine.router.home["acme"] = 3

        await engine.deliver(a_record(), engine.context())

        ((event, partition),) = engine.router.rerouted
        assert (event.id, partition) == ("evt_7", 3)
        assert engine.observer.moved == ["acme"]
        assert engine.transport.requests == []

    async def test_is_a_dead_letter_where_kafka_does_not_take_it_there(self) -> None:
        engine = Engine()
        engine.router.home["acme"] = 3
        engine.router.refuses = True

        await engine.deliver(a_record(), engine.context())

        (letter,) = engine.dead_letters.letters
        assert letter.reason == "misrouted"
        assert "MessageSizeTooLargeError" in letter.error
        assert (engine.observer.moved, engine.observer.crashes) == ([], [])

    async def test_twice_would_be_a_circle(self) -> None:
        engine = Engine()
        engine.router.home["acme"] = 3

        await engine.deliver(a_record(None, (REROUTED_HEADER, b"1/2")), engine.context())

        assert engine.router.rerouted == []
        assert engine.dead_letters.reasons == ["misrouted"]


class TestBroadcast:
    async def test_reaches_every_tenant_that_subscribes(self) -> None:
        engine = Engine(
            a_tenant("a", an_endpoint("ep_a")),
            a_tenant("b", an_endpoint("ep_b", event_types=("invoice.*",))),
            a_tenant("c", an_endpoint("ep_c"), enabled=False),
            a_tenant("d", an_endpoint("ep_d", event_types=("order.*",))),
        )

        await engine.deliver(a_record(None, (BROADCAST_HEADER, b"1"), key=None), engine.context())

        assert sorted(url[-4:] for url in engine.transport.urls) == ["ep_a", "ep_d"]

    async def test_that_fails_is_buried_under_its_tenant(self) -> None:
        engine = Engine(a_tenant("a", an_endpoint("ep_a")), a_tenant("b", an_endpoint("ep_b")))
        engine.transport.script("ep_b", 410)

        await engine.deliver(a_record(None, (BROADCAST_HEADER, b"1"), key=None), engine.context())

        (letter,) = engine.dead_letters.letters
        assert (letter.key, letter.endpoint_id) == (b"b", "ep_b")


CLOUD_EVENT = ("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"s"), ("ce_type", b"a")


@pytest.mark.parametrize("ordering_key", [b"", b"x" * 257])
@pytest.mark.parametrize("headers", [(ORDERING_KEY_HEADER,), ("ce_partitionkey", *CLOUD_EVENT)])
async def test_an_invalid_ordering_key_is_a_dead_letter_of_the_event(
    ordering_key: bytes, headers: tuple[Any, ...]
) -> None:
    engine = Engine()
    name, *others = headers

    await engine.deliver(a_record(None, (name, ordering_key), *others), engine.context())

    (letter,) = engine.dead_letters.letters
    assert (letter.reason, category_of(letter.reason)) == ("ordering_key_invalid", "event")
    assert (letter.endpoint_id, letter.attempts) == (None, 0)
    assert engine.transport.requests == []
