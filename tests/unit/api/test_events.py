"""Publishing: who for, as what, how often; 54 to 66, 71, 72 and 74 of the bad inputs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from hookseal.api.event_rates import _TENANTS_MAX, EventRates
from hookseal.api.events import BATCH_EVENTS_MAX, BATCH_MAX_BYTES
from hookseal.api.problems import Problem
from hookseal.domain.event import is_broadcast, parse_event
from hookseal.domain.record import Record
from hookseal.errors import BrokerError
from tests.bad_inputs.events import BAD_EVENTS
from tests.builders import MAX_BYTES, a_tenant
from tests.fakes import FakeClock
from tests.unit.api.conftest import Api as RunningApi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hookseal.domain.event import Event
    from hookseal.domain.new_event import NewEvent
    from tests.unit.api.conftest import Api

PATH = "/v1/events"
LINES = {"Content-Type": "application/x-ndjson"}
EVENT = {"customer_id": "acme", "type": "order.paid", "data": {"total": 42}}


def known(api: Api, *customer_ids: str) -> None:
    for customer_id in customer_ids or ("acme",):
        api.model.put(customer_id, a_tenant(customer_id))


def as_read(draft: NewEvent) -> Event:
    """Return the event as a worker reads it."""
    record = Record("events", 1, 7, draft.key, draft.value, draft.headers)
    return parse_event(record, max_bytes=MAX_BYTES)


async def refused(api: Api, body: Any = None, **more: Any) -> tuple[int, str, str | None]:
    """Return status, code and field."""
    response = await api.ask("POST", PATH, body, **more)
    document = await response.json(content_type="application/problem+json")
    assert document["status"] == response.status
    assert document["detail"].endswith(".")
    assert api.events.published == []
    return response.status, document["code"], document.get("field")


class TestOne:
    async def test_is_answered_with_its_place(self, api: Api) -> None:
        known(api)

        response = await api.ask("POST", PATH, {**EVENT, "id": "evt_1"})

        assert response.status == 202
        assert await response.json() == {"id": "evt_1", "partition": 1, "offset": 0}

    async def test_arrives_at_a_worker_as_it_was_sent(self, api: Api) -> None:
        known(api)
        data = b'{"big": 18446744073709551617,  "a":1, "a":2, "f": 1.0e2}'
        text = b'{"customer_id":"acme","type":"a.b","timestamp":"2026-01-01T00:00:00Z","data": %b}'

        answer = await api.json("POST", PATH, data=text % data)

        event = as_read(api.events.published[0])
        assert event.data == data
        assert event.id == answer["id"]
        assert (event.customer_id, event.type) == ("acme", "a.b")
        assert event.timestamp == "2026-01-01T00:00:00Z"

    async def test_without_an_id_gets_one_of_its_own(self, api: Api) -> None:
        known(api)

        ids = {(await api.json("POST", PATH, EVENT))["id"] for _ in range(2)}

        assert len(ids) == 2
        assert all(event_id.startswith("evt_") and len(event_id) == 36 for event_id in ids)

    async def test_59_keeps_numbers_that_no_double_holds(self, api: Api) -> None:
        known(api)

        await api.json("POST", PATH, data=orjson.dumps({**EVENT, "data": 2**63}))

        assert as_read(api.events.published[0]).data == b"9223372036854775808"

    async def test_55_keeps_repeated_members_of_its_data(self, api: Api) -> None:
        known(api)

        await api.json("POST", PATH, data=b'{"customer_id":"acme","type":"a","data":{"a":1,"a":2}}')

        assert as_read(api.events.published[0]).data == b'{"a":1,"a":2}'


class TestWhoFor:
    async def test_a_tenants_key_publishes_for_its_tenant(self, api: Api) -> None:
        key = api.tenant("acme", "events:write")

        await api.json("POST", PATH, {"type": "a.b", "data": 1}, key=key)
        await api.json("POST", PATH, EVENT, key=key)

        assert [draft.customer_id for draft in api.events.published] == ["acme", "acme"]

    async def test_72_another_tenant_is_unknown_to_it(self, api: Api) -> None:
        known(api, "other")
        key = api.tenant("acme", "events:write")

        one = await refused(api, {**EVENT, "customer_id": "other"}, key=key)
        batch = await refused(api, [EVENT, {**EVENT, "customer_id": "other"}], key=key)

        assert one == (404, "unknown_tenant", "customer_id")
        assert batch == (404, "unknown_tenant", "events[1].customer_id")

    async def test_71_a_key_without_the_scope_is_refused(self, api: Api) -> None:
        key = api.tenant("acme", "endpoints:write")

        assert await refused(api, EVENT, key=key) == (403, "scope_missing", "events:write")

    async def test_72_the_admin_key_learns_that_there_is_no_such_tenant(self, api: Api) -> None:
        assert await refused(api, EVENT) == (404, "unknown_tenant", "customer_id")
        assert api.model.settles == 1

    async def test_a_tenant_made_a_moment_ago_is_waited_for(self, api: Api) -> None:
        api.model.before_settling = lambda: known(api)

        await api.json("POST", PATH, EVENT)

        assert len(api.events.published) == 1

    @pytest.mark.parametrize("ready", [True, False])
    async def test_nobody_is_unknown_while_the_tenants_are(self, api: Api, *, ready: bool) -> None:
        api.model.settles_in_time = False
        if not ready:
            api.model.not_ready = BrokerError("tenants_recovering", "Wait.")

        await api.json("POST", PATH, EVENT)

        assert len(api.events.published) == 1

    async def test_the_admin_key_broadcasts_without_a_customer(self, api: Api) -> None:
        answer = await api.json("POST", PATH, {"type": "a.b", "data": 1})

        (draft,) = api.events.published
        record = Record("events", 1, 7, draft.key, draft.value, draft.headers)
        assert is_broadcast(record)
        assert parse_event(record, max_bytes=MAX_BYTES).id == answer["id"]
        assert answer == {"id": answer["id"], "partition": None, "offset": None, "partitions": 3}

    async def test_a_type_of_hookseals_own_is_refused(self, api: Api) -> None:
        known(api)

        code = await refused(api, {**EVENT, "type": "hookseal.key.changed"})

        assert code == (422, "type_reserved", "type")


class TestBatch:
    async def test_is_answered_in_its_order(self, api: Api) -> None:
        known(api, "acme", "other")
        batch = [
            {**EVENT, "id": "b"},
            {**EVENT, "id": "a", "customer_id": "other"},
            {"type": "a.b", "data": 1, "id": "all"},
        ]

        answer = await api.json("POST", PATH, batch)

        assert [item["id"] for item in answer["items"]] == ["b", "a", "all"]
        assert answer["items"][2]["partitions"] == 3
        assert [draft.event_id for draft in api.events.published] == ["b", "a", "all"]

    async def test_comes_as_lines_too(self, api: Api) -> None:
        known(api)
        data = b'\n{"customer_id":"acme","type":"a","data": [1 ]}\r\n \n' + orjson.dumps(EVENT)

        answer = await api.json("POST", PATH, data=data, headers=LINES)

        assert len(answer["items"]) == 2
        assert as_read(api.events.published[0]).data == b"[1 ]"

    @pytest.mark.parametrize("media", ["application/json", "application/x-ndjson"])
    async def test_of_one_is_a_batch(self, api: Api, media: str) -> None:
        known(api)
        data = orjson.dumps([EVENT] if media.endswith("/json") else EVENT)

        answer = await api.json("POST", PATH, data=data, headers={"Content-Type": media})

        assert len(answer["items"]) == 1

    async def test_one_bad_event_refuses_all_of_it(self, api: Api) -> None:
        known(api)

        code = await refused(api, [EVENT, EVENT, EVENT, {**EVENT, "type": "a b"}])

        assert code == (422, "type_invalid", "events[3].type")

    async def test_of_the_most_events_is_taken_and_of_one_more_refused(self, api: Api) -> None:
        known(api)
        lines = b"\n".join([orjson.dumps(EVENT)] * (BATCH_EVENTS_MAX + 1))
        array = b"[%b]" % lines.replace(b"\n", b",")

        assert await refused(api, data=lines, headers=LINES) == (413, "batch_too_large", None)
        assert await refused(api, data=array) == (413, "batch_too_large", None)
        most = orjson.dumps([EVENT] * BATCH_EVENTS_MAX)
        assert len((await api.json("POST", PATH, data=most))["items"]) == BATCH_EVENTS_MAX

    @pytest.mark.parametrize(
        "data",
        [b"[" + b"0," * 2_000_000 + b"0]", b"[" * 4_000_000, b"[" + b"[]," * 1_000_000 + b"[]]"],
        ids=["numbers", "deep", "arrays"],
    )
    async def test_of_anything_else_in_great_number_is_refused(self, api: Api, data: bytes) -> None:
        status, code, _ = await refused(api, data=data)

        assert (status, code) in {(413, "batch_too_large"), (422, "json_too_deep")}

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            (b'[{"type":"a","data":1},]', "json_invalid"),
            (b'[{"type":"a","data":1}', "json_invalid"),
            (b"[1] 2", "json_invalid"),
            (b'[{"type":"a","data":"\xff"},]', "json_invalid_utf8"),
        ],
    )
    async def test_60_that_is_no_array_is_refused(self, api: Api, data: bytes, code: str) -> None:
        assert await refused(api, data=data) == (422, code, None)

    async def test_says_where_it_is_no_json(self, api: Api) -> None:
        response = await api.ask("POST", PATH, data=b"[1,\n  2,\n  x]")

        assert "line 3, column 3" in (await response.json(content_type=None))["detail"]


class TestOrderingKey:
    @pytest.mark.parametrize("ordering_key", ["k", "x" * 256, "é" * 128])
    async def test_reaches_the_worker(self, api: Api, ordering_key: str) -> None:
        known(api)

        await api.json("POST", PATH, [{**EVENT, "ordering_key": ordering_key}])

        assert as_read(api.events.published[0]).ordering_key == ordering_key

    @pytest.mark.parametrize("ordering_key", ["", "x" * 257, "é" * 129, 7, [], True])
    async def test_that_is_invalid_is_refused(self, api: Api, ordering_key: object) -> None:
        known(api)
        event = {**EVENT, "ordering_key": ordering_key}

        one = await refused(api, event)
        many = await refused(api, [EVENT, event])
        lines = await refused(
            api, data=b"\n".join(map(orjson.dumps, (EVENT, event))), headers=LINES
        )

        assert one == (422, "ordering_key_invalid", "ordering_key")
        assert many == lines == (422, "ordering_key_invalid", "events[1].ordering_key")


class TestBadInputs:
    @pytest.mark.parametrize(
        ("text", "code", "field"),
        [
            pytest.param(*row, id=f"{number}-{place}")
            for number, rows in BAD_EVENTS.items()
            for place, row in enumerate(rows)
        ],
    )
    async def test_an_event_that_is_none_is_refused(
        self, api: Api, text: bytes, code: str, field: str | None
    ) -> None:
        key = api.tenant("acme", "events:write")

        assert await refused(api, data=text, key=key) == (422, code, field)

    @pytest.mark.parametrize("data", [b"", b" \n", b"[]", b" [ ] "])
    async def test_60_an_empty_body_is_refused(self, api: Api, data: bytes) -> None:
        assert await refused(api, data=data) == (422, "body_empty", None)

    async def test_60_blank_lines_are_an_empty_body(self, api: Api) -> None:
        code = await refused(api, data=b" \r\n\n\t\n" * 500_000, headers=LINES)

        assert code == (422, "body_empty", None)

    async def test_61_a_batch_within_a_batch_is_refused(self, api: Api) -> None:
        assert await refused(api, data=b"[[]]") == (422, "body_not_object", "events[0]")

    async def test_an_unknown_member_is_refused(self, api: Api) -> None:
        code = await refused(api, {**EVENT, "custmer": "acme"})

        assert code == (422, "member_unknown", "custmer")

    async def test_62_an_event_over_the_limit_is_refused_with_limit_and_size(
        self, api: Api
    ) -> None:
        response = await api.ask("POST", PATH, {**EVENT, "data": "x" * MAX_BYTES})

        document = await response.json(content_type=None)
        assert (response.status, document["code"]) == (413, "payload_too_large")
        assert f"at most {MAX_BYTES}" in document["detail"]
        assert str(MAX_BYTES + 75) in document["detail"]

    async def test_62_an_event_of_the_limit_is_taken(self, api: Api) -> None:
        known(api)
        bare = len(b'{"type":"order.paid","id":"evt_1","data":""}')

        await api.json("POST", PATH, {**EVENT, "id": "evt_1", "data": "x" * (MAX_BYTES - bare)})

        assert len(api.events.published[0].value) == MAX_BYTES

    async def test_62_a_body_over_the_limit_is_refused_before_it_comes(self, api: Api) -> None:
        code = await refused(api, data=b" " * (BATCH_MAX_BYTES + 1))

        assert code == (413, "payload_too_large", None)

    async def test_62_a_body_that_turns_out_to_be_over_the_limit_is_refused(self, api: Api) -> None:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(BATCH_MAX_BYTES // 65_536 + 1):
                yield b" " * 65_536

        assert await refused(api, data=parts()) == (413, "payload_too_large", None)

    async def test_63_a_packed_body_is_refused(self, api: Api) -> None:
        headers = {"Content-Encoding": "gzip"}

        code = await refused(api, data=b"{}", headers=headers)

        assert code == (415, "content_encoding_unsupported", "Content-Encoding")

    @pytest.mark.parametrize("media", ["text/plain", "application/cloudevents+json", "x"])
    async def test_64_another_content_type_is_refused(self, api: Api, media: str) -> None:
        code = await refused(api, data=b"{}", headers={"Content-Type": media})

        assert code == (415, "content_type_unsupported", "Content-Type")


class TestRepeats:
    async def test_are_told_the_first_place(self, api: Api) -> None:
        known(api)

        answers = [await api.json("POST", PATH, {**EVENT, "id": "evt_1"}) for _ in range(2)]

        assert answers[0] == answers[1]
        assert len(api.events.published) == 1

    async def test_under_one_idempotency_key_have_one_id(self, api: Api) -> None:
        known(api)
        headers = {"Idempotency-Key": "k-1"}

        one, other = [await api.json("POST", PATH, [EVENT] * 2, headers=headers) for _ in range(2)]

        assert one == other
        assert len({item["id"] for item in one["items"]}) == 2
        assert len(api.events.published) == 2

    async def test_the_keys_of_two_principals_have_nothing_to_do_with_one_another(
        self, api: Api
    ) -> None:
        key, headers = api.tenant("acme", "events:write"), {"Idempotency-Key": "k-1"}

        one = await api.json("POST", PATH, EVENT, headers=headers)
        other = await api.json("POST", PATH, EVENT, headers=headers, key=key)

        assert one["id"] != other["id"]

    async def test_74_an_id_of_another_event_is_refused(self, api: Api) -> None:
        known(api)
        await api.json("POST", PATH, {**EVENT, "id": "evt_1"})
        other = {**EVENT, "id": "evt_1", "data": 2}

        one = await api.ask("POST", PATH, other)
        batch = await api.ask("POST", PATH, [EVENT, other])

        fields = []
        for response in (one, batch):
            document = await response.json(content_type=None)
            assert (response.status, document["code"]) == (409, "event_id_reused")
            fields.append(document["field"])
        assert fields == ["id", "events[1].id"]
        assert len(api.events.published) == 1

    async def test_74_an_idempotency_key_of_another_request_is_refused(self, api: Api) -> None:
        known(api)
        headers = {"Idempotency-Key": "k-1"}
        await api.json("POST", PATH, EVENT, headers=headers)

        problem = await api.problem("POST", PATH, {**EVENT, "data": 2}, headers=headers)

        assert problem == (409, "idempotency_key_reused")

    async def test_a_malformed_idempotency_key_is_refused(self, api: Api) -> None:
        code = await refused(api, EVENT, headers={"Idempotency-Key": "\x80"})

        assert code == (422, "idempotency_key_invalid", "Idempotency-Key")


class TestKafkaAway:
    @pytest.mark.parametrize("code", ["broker_unreachable", "overloaded", "publish_failed"])
    async def test_is_said_without_naming_a_broker(self, api: Api, code: str) -> None:
        known(api)
        api.events.failing = BrokerError(code, "No broker at 10.0.0.7:9092.", field="10.0.0.7")

        response = await api.ask("POST", PATH, EVENT)

        assert response.status == 503
        assert int(response.headers["Retry-After"]) > 0
        document = await response.json(content_type=None)
        assert document["code"] == code
        assert "10.0.0.7" not in str(document)

    async def test_keeps_it_from_being_ready(self, api: Api) -> None:
        api.events.not_ready = BrokerError("broker_unreachable", "No.")

        assert await api.problem("GET", "/readyz", key=None) == (503, "broker_unreachable")


class TestRate:
    """HOOKSEAL_TENANT_MAX_EVENTS_PER_S."""

    @pytest.fixture
    async def api(self) -> AsyncIterator[Api]:
        limited = RunningApi()
        limited.parts = replace(limited.parts, tenant_max_events_per_s=10.0)
        await limited.start()
        yield limited
        await limited.close()

    async def test_a_batch_of_the_largest_size_passes_and_the_next_event_waits(
        self, api: Api
    ) -> None:
        known(api)
        assert (await api.ask("POST", PATH, [EVENT] * BATCH_EVENTS_MAX)).status == 202
        published = len(api.events.published)

        response = await api.ask("POST", PATH, EVENT)

        document = await response.json(content_type="application/problem+json")
        assert (response.status, document["code"]) == (429, "rate_limited")
        assert response.headers["Retry-After"] == "1"
        assert len(api.events.published) == published
        api.clock.time += 0.2
        assert (await api.ask("POST", PATH, EVENT)).status == 202

    async def test_a_batch_is_refused_as_a_whole_and_costs_nothing(self, api: Api) -> None:
        known(api, "acme", "other")
        await api.json("POST", PATH, [EVENT] * (BATCH_EVENTS_MAX - 5))
        others = {**EVENT, "customer_id": "other"}
        published = len(api.events.published)

        response = await api.ask("POST", PATH, [others] * 10 + [EVENT] * 6)

        assert (response.status, response.headers["Retry-After"]) == (429, "1")
        assert len(api.events.published) == published
        assert (await api.ask("POST", PATH, [EVENT] * 5)).status == 202
        assert (await api.ask("POST", PATH, [others] * BATCH_EVENTS_MAX)).status == 202

    async def test_retry_after_is_the_time_until_the_request_passes(self, api: Api) -> None:
        known(api)
        await api.json("POST", PATH, [EVENT] * BATCH_EVENTS_MAX)

        response = await api.ask("POST", PATH, [EVENT] * 45)

        assert response.headers["Retry-After"] == "5"
        api.clock.time += 4.4
        assert (await api.ask("POST", PATH, [EVENT] * 45)).status == 429
        api.clock.time += 0.2
        assert (await api.ask("POST", PATH, [EVENT] * 45)).status == 202

    async def test_each_key_of_a_tenant_and_the_operator_share_it(self, api: Api) -> None:
        key = api.tenant("acme")
        await api.json("POST", PATH, [EVENT] * BATCH_EVENTS_MAX)

        assert (await api.ask("POST", PATH, EVENT, key=key)).status == 429

    async def test_broadcasts_do_not_count(self, api: Api) -> None:
        known(api)
        broadcast = {"type": "order.paid", "data": 1}
        await api.json("POST", PATH, [EVENT] * BATCH_EVENTS_MAX)

        assert (await api.ask("POST", PATH, [broadcast] * BATCH_EVENTS_MAX)).status == 202

    async def test_refusals_are_counted_by_code(self, api: Api) -> None:
        known(api)

        def count() -> float:
            labels = {"code": "rate_limited"}
            return REGISTRY.get_sample_value("hookseal_api_throttled_total", labels) or 0.0

        await api.json("POST", PATH, [EVENT] * BATCH_EVENTS_MAX)
        before = count()
        await api.ask("POST", PATH, EVENT)

        assert count() == before + 1


class TestRates:
    @given(
        st.floats(0.5, 2000),
        st.lists(st.tuples(st.floats(0, 3), st.sampled_from("ab"), st.integers(1, 1000))),
    )
    def test_no_tenant_publishes_more_than_its_burst_and_its_rate(
        self, rate: float, requests: list[tuple[float, str, int]]
    ) -> None:
        clock = FakeClock()
        rates = EventRates(rate, batch_max=1000, clock=clock)
        began, admitted = clock.time, Counter[str]()
        for pause, tenant, count in requests:
            clock.time += pause
            try:
                rates.admit([tenant] * count)
            except Problem as problem:
                clock.time += float(problem.headers["Retry-After"]) + 1e-3
                rates.admit([tenant] * count)
            admitted[tenant] += count
            most = max(rate, 1000) + rate * (clock.time - began)
            assert admitted[tenant] <= most * (1 + 1e-9) + 1e-6

    def test_memory_is_bounded_and_the_oldest_tenant_is_forgotten(self) -> None:
        clock = FakeClock()
        rates = EventRates(1.0, batch_max=1, clock=clock)
        rates.admit(["first"])
        with pytest.raises(Problem):
            rates.admit(["first"])

        for number in range(_TENANTS_MAX):
            rates.admit([f"t{number}"])

        rates.admit(["first"])
        assert len(rates._buckets) == _TENANTS_MAX
