from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

import pytest

from hookseal.domain.attempt import AttemptRecord
from hookseal.domain.letter import Attempted, Letter
from hookseal.domain.record import Record
from hookseal.errors import BrokerError, ConflictError
from tests.builders import an_endpoint

if TYPE_CHECKING:
    from tests.unit.api.conftest import Api

ACME = "/v1/tenants/acme/dead-letters"
EVENTS = "/v1/events/replay"
LOG = "/v1/tenants/acme/deliveries"


def a_letter(number: int, **changes: Any) -> Letter:
    letter = Letter(
        partition=3,
        offset=number,
        at_ms=1_700_000_000_000 + number,
        customer_id="acme",
        endpoint_id="ep_1",
        reason="attempts_exhausted",
        error="It failed.",
        event_id=f"evt_{number}",
        event_type="order.paid",
        attempts=5,
        status=503,
        replayed_at_ms=None,
    )
    return letter._replace(**changes)


def an_attempt(number: int, **changes: Any) -> Attempted:
    attempt = Attempted(
        partition=3,
        offset=number,
        at_ms=1_700_000_000_000 + number,
        customer_id="acme",
        event_id=f"evt_{number}",
        event_type="order.paid",
        endpoint_id="ep_1",
        attempt=1,
        attempt_max=5,
        code="http_503",
        status=503,
        duration_us=1500,
        kid="key-1",
        worker="internal-host:7",
        event_offset=number,
    )
    return attempt._replace(**changes)


class TestListing:
    async def test_pages_newest_first_through_all_of_them(self, api: Api) -> None:
        key = api.tenant()
        api.letters.held = [a_letter(number) for number in range(5)]
        found: list[str] = []
        cursor = ""

        while True:
            page = await api.json("GET", f"{ACME}?limit=2{cursor}", key=key)
            found += [item["event_id"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"

        assert found == [f"evt_{number}" for number in reversed(range(5))]

    async def test_says_all_but_the_payload(self, api: Api) -> None:
        api.letters.held = [a_letter(7)]
        api.tenant()

        (item,) = (await api.json("GET", ACME))["items"]

        assert item == {
            "id": "3/7",
            "event_id": "evt_7",
            "event_type": "order.paid",
            "endpoint_id": "ep_1",
            "reason": "attempts_exhausted",
            "category": "receiver",
            "error": "It failed.",
            "attempts": 5,
            "status": 503,
            "failed_at": "2023-11-14T22:13:20.007Z",
            "replayed_at": None,
        }

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("endpoint_id=ep_2", [1]),
            ("reason=endpoint_gone", [2]),
            ("category=configuration", [3]),
            ("set_aside=true", [3, 2]),
            ("event_type=order.void", [4]),
            ("status=404", [5]),
            ("since=2023-11-14T22:13:20.004Z", [5, 4]),
            ("until=2023-11-14T22:13:20.001Z", [0]),
            ("order=oldest&limit=2", [0, 1]),
        ],
    )
    async def test_is_filtered(self, api: Api, query: str, expected: list[int]) -> None:
        api.tenant()
        api.letters.held = [
            a_letter(0),
            a_letter(1, endpoint_id="ep_2"),
            a_letter(2, reason="endpoint_gone"),
            a_letter(3, reason="endpoint_disabled"),
            a_letter(4, event_type="order.void"),
            a_letter(5, status=404),
        ]

        page = await api.json("GET", f"{ACME}?{query}")

        assert [item["event_id"] for item in page["items"]] == [f"evt_{n}" for n in expected]

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("since=yesterday", "time_invalid"),
            ("reason=bad", "reason_unknown"),
            ("category=bad", "field_invalid"),
            ("status=99", "field_invalid"),
            ("order=random", "field_invalid"),
            ("limit=0", "field_invalid"),
            ("limit=1001", "field_invalid"),
            ("cursor=%21", "cursor_invalid"),
            ("cursor=YWNtZQ", "cursor_invalid"),
            ("customer_id=other", "field_unknown"),
        ],
    )
    async def test_says_what_is_wrong_with_what_is_asked(
        self, api: Api, query: str, code: str
    ) -> None:
        api.tenant()

        assert await api.problem("GET", f"{ACME}?{query}") == (422, code)

    async def test_does_not_repeat_a_value_that_is_refused(self, api: Api) -> None:
        api.tenant()

        response = await api.ask("GET", f"{ACME}?category={'x' * 5000}")

        assert response.status == 422
        assert (await response.json())["detail"] == "Invalid enum value."

    async def test_waits_until_the_index_is_there(self, api: Api) -> None:
        api.tenant()
        api.letters.error = BrokerError("index_behind", "On 10.0.0.7 it is behind.")

        response = await api.ask("GET", ACME)

        assert response.status == 503
        assert response.headers["Retry-After"] == "2"
        assert "10.0.0.7" not in await response.text()


class TestForeignTenants:
    @pytest.mark.parametrize(
        ("method", "path"), [("GET", ACME), ("POST", f"{ACME}/replay"), ("GET", LOG)]
    )
    async def test_see_nothing(self, api: Api, method: str, path: str) -> None:
        api.tenant()
        api.letters.held = [a_letter(1)]
        api.attempts.held = [an_attempt(1)]
        foreign = api.tenant("other")

        assert await api.problem(method, path, key=foreign) == (404, "unknown_tenant")
        assert api.letters.replayed == []

    async def test_cannot_replay_by_another_one_s_id(self, api: Api) -> None:
        foreign = api.tenant("other")
        api.letters.held = [a_letter(1), a_letter(2, customer_id="other")]

        refused = await api.problem(
            "POST",
            "/v1/tenants/other/dead-letters/replay",
            {"ids": ["3/2", "3/1"]},
            key=foreign,
        )

        assert refused == (404, "unknown_dead_letter")
        assert api.letters.replayed == []

    async def test_an_unknown_endpoint_is_a_404_unless_it_has_a_history(self, api: Api) -> None:
        api.tenant()
        api.letters.held = [a_letter(1, endpoint_id="ep_removed")]
        api.attempts.held = [an_attempt(1, endpoint_id="ep_removed")]

        for path in (ACME, LOG):
            refused = await api.problem("GET", f"{path}?endpoint_id=ep_foreign")
            assert refused == (404, "unknown_endpoint")
            page = await api.json("GET", f"{path}?endpoint_id=ep_removed")
            assert len(page["items"]) == 1


class TestReplaying:
    async def test_publishes_what_matches_and_says_how_many(self, api: Api) -> None:
        key = api.tenant("acme", "replay")
        api.letters.held = [a_letter(1), a_letter(2, endpoint_id="ep_2"), a_letter(3)]

        answer = await api.ask("POST", f"{ACME}/replay", {"endpoint_id": "ep_1"}, key=key)

        assert answer.status == 202
        assert await answer.json() == {"replayed": 2, "remaining": 0, "not_replayable": 0}
        assert [one.offset for one in api.letters.replayed] == [1, 3]

    async def test_a_dry_run_only_counts(self, api: Api) -> None:
        api.tenant()
        api.letters.held = [a_letter(1), a_letter(2)]

        answer = await api.json("POST", f"{ACME}/replay", {"dry_run": True})

        assert answer["replayed"] == 2
        assert api.letters.replayed == []

    async def test_one_request_does_a_bounded_part(self, api: Api) -> None:
        api.tenant()
        api.letters.held = [a_letter(number) for number in range(5)]

        answer = await api.json("POST", f"{ACME}/replay", {"limit": 2})

        assert answer == {"replayed": 2, "remaining": 3, "not_replayable": 0}
        assert api.letters.limits == [2]
        assert await api.problem("POST", f"{ACME}/replay", {"limit": 1001}) == (
            422,
            "field_invalid",
        )

    async def test_again_replays_nothing_twice(self, api: Api) -> None:
        api.tenant()
        api.letters.held = [a_letter(1)]

        first = await api.json("POST", f"{ACME}/replay", {"ids": ["3/1"]})
        second = await api.json("POST", f"{ACME}/replay", {"ids": ["3/1"]})

        assert (first["replayed"], second["replayed"]) == (1, 0)

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"ids": ["3-1"]}, "place_invalid"),
            ({"since": "soon"}, "time_invalid"),
            ({"reason": "bad"}, "reason_unknown"),
            ({"customer_id": "other"}, "field_unknown"),
            ({"dry_run": "yes"}, "field_invalid"),
        ],
    )
    async def test_says_what_is_wrong_with_what_is_asked(
        self, api: Api, body: dict[str, Any], code: str
    ) -> None:
        api.tenant()
        api.letters.held = [a_letter(1)]

        assert await api.problem("POST", f"{ACME}/replay", body) == (422, code)
        assert api.letters.replayed == []

    async def test_needs_its_scope(self, api: Api) -> None:
        key = api.tenant("acme", "deliveries:read")

        assert await api.problem("POST", f"{ACME}/replay", key=key) == (403, "scope_missing")


class TestDeliveries:
    async def test_are_listed_by_event_and_by_endpoint(self, api: Api) -> None:
        key = api.tenant("acme", "deliveries:read")
        api.attempts.held = [
            an_attempt(1),
            an_attempt(2, event_id="evt_1", attempt=2, code="accepted", status=200),
            an_attempt(3, endpoint_id="ep_2"),
        ]

        by_event = await api.json("GET", f"{LOG}?event_id={quote('evt_1')}", key=key)
        by_endpoint = await api.json("GET", f"{LOG}?endpoint_id=ep_2", key=key)

        assert [item["attempt"] for item in by_event["items"]] == [2, 1]
        assert [item["event_id"] for item in by_endpoint["items"]] == ["evt_3"]

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("event_type=order.paid", [3, 1]),
            ("code=timeout", [2]),
            ("status=503", [3, 1]),
            ("since=2023-11-14T22:13:20.002Z", [3, 2]),
            ("until=2023-11-14T22:13:20.002Z", [1]),
            ("code=timeout&status=503", []),
        ],
    )
    async def test_are_filtered(self, api: Api, query: str, found: list[int]) -> None:
        api.tenant()
        api.attempts.held = [
            an_attempt(1),
            an_attempt(2, event_type="order.made", code="timeout", status=None),
            an_attempt(3),
        ]

        for path in (LOG, "/v1/deliveries"):
            items = (await api.json("GET", f"{path}?{query}"))["items"]
            assert [item["event_id"] for item in items] == [f"evt_{number}" for number in found]

    @pytest.mark.parametrize("query", ["since=soon", "until=soon", "status=99", "state=x"])
    async def test_refuse_a_filter_that_cannot_match(self, api: Api, query: str) -> None:
        api.tenant()

        assert (await api.problem("GET", f"{LOG}?{query}"))[0] == 422

    async def test_of_all_tenants_are_the_operator_s(self, api: Api) -> None:
        key = api.tenant()
        api.attempts.held = [an_attempt(1), an_attempt(2, customer_id="other")]

        every = await api.json("GET", "/v1/deliveries")
        one = await api.json("GET", "/v1/deliveries?customer_id=other")

        assert [item["customer_id"] for item in every["items"]] == ["other", "acme"]
        assert [item["event_id"] for item in one["items"]] == ["evt_2"]
        assert await api.problem("GET", "/v1/deliveries", key=key) == (403, "admin_only")

    async def test_say_nothing_of_the_platform(self, api: Api) -> None:
        api.tenant()
        api.attempts.held = [an_attempt(1)]

        answer = await api.ask("GET", LOG)

        assert "internal-host" not in await answer.text()
        assert (await answer.json())["items"] == [
            {
                "event_id": "evt_1",
                "event_type": "order.paid",
                "endpoint_id": "ep_1",
                "attempt": 1,
                "attempt_max": 5,
                "code": "http_503",
                "status": 503,
                "duration_s": 0.0015,
                "kid": "key-1",
                "at": "2023-11-14T22:13:20.001Z",
            }
        ]

    async def test_are_paged(self, api: Api) -> None:
        api.tenant()
        api.attempts.held = [an_attempt(number) for number in range(3)]

        first = await api.json("GET", f"{LOG}?limit=2")
        rest = await api.json("GET", f"{LOG}?limit=2&cursor={first['next_cursor']}")

        assert [item["event_id"] for item in first["items"]] == ["evt_2", "evt_1"]
        assert [item["event_id"] for item in rest["items"]] == ["evt_0"]
        assert rest["next_cursor"] is None

    async def test_need_their_scope(self, api: Api) -> None:
        key = api.tenant("acme", "replay")

        for path in (LOG, ACME):
            assert await api.problem("GET", path, key=key) == (403, "scope_missing")


class TestReplayingEvents:
    BODY: ClassVar = {"customer_id": "acme", "endpoint_id": "ep_1", "since": "2023-11-14"}

    async def test_publishes_a_bounded_part_and_says_where_to_go_on(self, api: Api) -> None:
        api.tenant("acme", endpoints=(an_endpoint("ep_1"),))
        api.letters.events = 5

        first = await api.json("POST", EVENTS, {**self.BODY, "limit": 3})
        rest = await api.json("POST", EVENTS, {**self.BODY, "start_offset": 3})

        assert first == {"replayed": 3, "next_offset": 3}
        assert rest == {"replayed": 2, "next_offset": None}
        assert api.letters.events_wanted is not None
        assert api.letters.events_wanted.since_ms == 1_699_920_000_000

    async def test_is_the_operator_s_alone(self, api: Api) -> None:
        key = api.tenant("acme", endpoints=(an_endpoint("ep_1"),))

        assert await api.problem("POST", EVENTS, self.BODY, key=key) == (403, "admin_only")

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"customer_id": "other"}, (404, "unknown_tenant")),
            ({"endpoint_id": "ep_2"}, (404, "unknown_endpoint")),
            ({"since": "soon"}, (422, "time_invalid")),
            ({"limit": 1001}, (422, "field_invalid")),
            ({"start_offset": -1}, (422, "field_invalid")),
        ],
    )
    async def test_refuses_what_does_not_exist_or_has_no_meaning(
        self, api: Api, changes: dict[str, Any], expected: tuple[int, str]
    ) -> None:
        api.tenant("acme", endpoints=(an_endpoint("ep_1"),))

        assert await api.problem("POST", EVENTS, {**self.BODY, **changes}) == expected
        assert api.letters.events_asked == []

    async def test_tells_of_another_replay(self, api: Api) -> None:
        api.tenant("acme", endpoints=(an_endpoint("ep_1"),))
        api.letters.refusals = [ConflictError("replay_busy", "Another one runs.")]

        assert await api.problem("POST", EVENTS, self.BODY) == (409, "replay_busy")


ALL = "/v1/dead-letters"
EVENT = b'{"type":"order.paid","data":"canary-7"}'


def a_stored_letter(api: Api) -> None:
    headers: tuple[tuple[str, bytes | None], ...] = (
        ("x-producer", b"canary-8"),
        ("hookseal-reason", b"attempts_exhausted"),
        ("hookseal-endpoint-id", b"ep_1"),
        ("hookseal-event-id", b"evt_7"),
    )
    record = Record("dead-letters", 3, 7, b"acme", EVENT, headers, 1_700_000_000_000)
    api.letters.records[3, 7] = record
    api.letters.history = [
        AttemptRecord(
            at=1_700_000_000.0,
            customer_id="acme",
            event_id="evt_7",
            event_type="order.paid",
            endpoint_id="ep_1",
            attempt=1,
            attempt_max=5,
            code="http_503",
            status=503,
            duration_s=0.5,
            kid="key-1",
            partition=3,
            offset=1,
            worker="host:7",
        )
    ]


class TestOfAllTenants:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", ALL),
            ("GET", f"{ALL}/stats"),
            ("GET", f"{ALL}/3/7"),
            ("GET", f"{ALL}/3/7?reveal=true"),
            ("POST", f"{ALL}/replay"),
        ],
    )
    async def test_they_are_the_operator_s_alone(self, api: Api, method: str, path: str) -> None:
        key = api.tenant()
        api.letters.held = [a_letter(7)]
        a_stored_letter(api)

        assert await api.problem(method, path, key=key) == (403, "admin_only")
        assert api.letters.replayed == []

    async def test_they_are_listed_with_or_without_a_tenant(self, api: Api) -> None:
        api.letters.held = [
            a_letter(1),
            a_letter(2, customer_id="other"),
            a_letter(3, customer_id=None),
        ]

        found = (await api.json("GET", f"{ALL}?order=oldest"))["items"]
        (other,) = (await api.json("GET", f"{ALL}?customer_id=other"))["items"]

        assert [one["customer_id"] for one in found] == ["acme", "other", None]
        assert other == found[1]
        assert (other["id"], other["partition"], other["offset"]) == ("3/2", 3, 2)

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("reason=endpoint_gone", [2]),
            ("since=2023-11-14T22:13:20.003Z", [3]),
            ("after=3/2", [1]),
        ],
    )
    async def test_they_are_filtered(self, api: Api, query: str, expected: list[int]) -> None:
        api.letters.held = [a_letter(1), a_letter(2, reason="endpoint_gone"), a_letter(3)]

        page = await api.json("GET", f"{ALL}?{query}")

        assert [item["event_id"] for item in page["items"]] == [f"evt_{n}" for n in expected]

    async def test_they_are_paged(self, api: Api) -> None:
        api.letters.held = [a_letter(number) for number in range(3)]

        first = await api.json("GET", f"{ALL}?limit=2")
        rest = await api.json("GET", f"{ALL}?limit=2&cursor={first['next_cursor']}")

        assert [item["offset"] for item in first["items"]] == [2, 1]
        assert [item["offset"] for item in rest["items"]] == [0]
        assert rest["next_cursor"] is None

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("after=7", "place_invalid"),
            ("after=3/99", "unknown_dead_letter"),
            ("cursor=%21", "cursor_invalid"),
            ("since=yesterday", "time_invalid"),
            ("reason=bad", "reason_unknown"),
        ],
    )
    async def test_a_wrong_query_is_refused(self, api: Api, query: str, code: str) -> None:
        assert await api.problem("GET", f"{ALL}?{query}") == (422, code)

    async def test_they_are_counted(self, api: Api) -> None:
        key = api.tenant()
        api.letters.held = [a_letter(1), a_letter(2), a_letter(3, customer_id="other")]

        rows = (await api.json("GET", f"{ALL}/stats"))["items"]
        one = (await api.json("GET", f"{ALL}/stats?customer_id=other"))["items"]
        own = (await api.json("GET", f"{ACME}/stats", key=key))["items"]

        assert [(row["customer_id"], row["count"]) for row in rows] == [("acme", 2), ("other", 1)]
        assert one == rows[1:]
        assert own == rows[:1]

    async def test_one_is_shown_masked_unless_it_is_to_be_revealed(self, api: Api) -> None:
        a_stored_letter(api)

        masked = await api.ask("GET", f"{ALL}/3/7")
        revealed = await api.json("GET", f"{ALL}/3/7?reveal=true")

        assert "canary" not in await masked.text()
        document = await masked.json()
        assert document["headers"][:2] == [
            {"name": "x-producer", "value": None, "size": 8},
            {"name": "hookseal-reason", "value": "attempts_exhausted", "size": 18},
        ]
        assert (document["event"], document["size"]) == (None, len(EVENT))
        assert document["history"][0]["worker"] == "host:7"
        assert document["history"][0]["at"] == "2023-11-14T22:13:20.000Z"
        assert revealed["event"] == EVENT.decode()
        assert revealed["headers"][0]["value"] == "canary-8"

    async def test_one_that_is_not_there_is_a_404(self, api: Api) -> None:
        assert await api.problem("GET", f"{ALL}/3/8") == (404, "unknown_dead_letter")
        assert await api.problem("GET", f"{ALL}/3/x") == (422, "place_invalid")

    async def test_all_are_replayed_once(self, api: Api) -> None:
        api.letters.held = [a_letter(1), a_letter(2, customer_id="other")]

        dry = await api.json("POST", f"{ALL}/replay", {"dry_run": True})
        one = await api.json("POST", f"{ALL}/replay", {"customer_id": "other"})
        rest = await api.json("POST", f"{ALL}/replay", {})

        assert dry == {"replayed": 2, "remaining": 0, "not_replayable": 0, "replayed_before": 0}
        assert (one["replayed"], one["replayed_before"]) == (1, 0)
        assert (rest["replayed"], rest["replayed_before"]) == (1, 1)
        assert [letter.customer_id for letter in api.letters.replayed] == ["other", "acme"]

    async def test_an_unknown_id_replays_nothing(self, api: Api) -> None:
        api.letters.held = [a_letter(1)]

        refused = await api.problem("POST", f"{ALL}/replay", {"ids": ["3/1", "3/2"]})

        assert refused == (404, "unknown_dead_letter")
        assert api.letters.replayed == []
