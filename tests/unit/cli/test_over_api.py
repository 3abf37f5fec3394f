"""The commands where HOOKSEAL_API_URL names an API, which stands over fakes here."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from hookseal.cli.doctor import api_ready
from hookseal.domain.endpoint import Suspension
from hookseal.errors import BrokerError, ConflictError
from tests.builders import an_endpoint
from tests.fakes import NOW
from tests.hostile import a_closed_port
from tests.unit.api.conftest import ADMIN_KEY, Api
from tests.unit.api.test_dead_letters import a_letter, a_stored_letter, an_attempt
from tests.unit.api.test_status import NOW_MS, two_workers
from tests.unit.cli.asking import asking
from tests.unit.domain.test_overview import attempt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from typer.testing import Result

    from tests.unit.cli.conftest import Run

URL = "https://hooks.acme.com/in"
ACCEPTED = (
    *("dead-letters", "replay", "--accepted", "--customer", "acme", "--endpoint", "ep_1"),
    *("--since", "2026-11-24", "--rate", "0"),
)
PUBLISH = ("publish", "--customer", "acme", "--type", "a.b", "--data")


class Shell:
    """Runs commands against the API."""

    def __init__(self, run: Run, api: Api) -> None:
        self.api = api
        self._run = run

    async def run(self, *arguments: str, code: int = 0, **more: Any) -> Result:
        settings = {
            "HOOKSEAL_API_URL": self.api.url,
            "HOOKSEAL_ADMIN_KEY": ADMIN_KEY,
            # The one of the command before would stay.
            "HOOKSEAL_API_KEY": "",
            "HOOKSEAL_KAFKA_BOOTSTRAP": "127.0.0.1:9",
            **more,
        }
        result = await asyncio.to_thread(self._run, *arguments, **settings)
        assert result.exit_code == code, result.output
        return result

    async def json(self, *arguments: str, **more: Any) -> Any:
        return json.loads((await self.run(*arguments, "--json", **more)).stdout)


@pytest.fixture
async def shell(run: Run) -> AsyncIterator[Shell]:
    async with asking() as api:
        yield Shell(run, api)


class TestTenants:
    async def test_a_tenant_is_made_with_its_first_api_key(self, shell: Shell) -> None:
        made = await shell.json("tenants", "create", "acme")
        said = await shell.run("tenants", "create", "b/ö c")

        assert made.keys() == {"customer_id", "api_key"}
        assert made["api_key"].startswith("whk_live_")
        first, second = said.stdout.splitlines()
        assert first == "Created b/ö c"
        assert second.startswith("API key: whk_live_")
        shown = await shell.json("tenants", "show", "acme", HOOKSEAL_API_KEY=made["api_key"])
        assert shown["customer_id"] == "acme"

    async def test_all_are_listed_page_by_page(self, shell: Shell) -> None:
        for number in range(1001):
            shell.api.tenant(f"c{number:04}")

        listed = await shell.json("tenants", "list")

        assert [one["customer_id"] for one in listed] == [f"c{n:04}" for n in range(1001)]
        assert len(shell.api.idempotency_keys) == 2

    async def test_api_keys_are_made_listed_and_revoked(self, shell: Shell) -> None:
        shell.api.tenant("acme")
        command = ("tenants", "api-keys")

        made = await shell.json(*command, "add", "acme", "--scope", "events:write")

        listed = await shell.json(*command, "list", "acme")
        assert made["scopes"] == ["events:write"]
        assert made["api_key"].startswith("whk_live_")
        assert [key["id"] for key in listed][1:] == [made["id"]]
        await shell.run(*command, "revoke", "acme", made["id"])
        assert len(await shell.json(*command, "list", "acme")) == 1
        again = await shell.run(*command, "revoke", "acme", made["id"], code=2)
        assert again.stderr.startswith("unknown_api_key")

    async def test_a_key_is_printed_where_it_is_found(self, shell: Shell) -> None:
        shell.api.tenant("acme")

        printed = (await shell.run("tenants", "api-keys", "add", "acme")).stdout.splitlines()

        assert printed[0].startswith("Id: ")
        assert printed[1].startswith("API key: whk_live_")

    async def test_an_endpoint_relaxes_the_ordering_mode(self, shell: Shell) -> None:
        shell.api.tenant("acme")
        change = ("tenants", "endpoints", "change", "acme", "ep_1")

        await shell.run(*change, "--ordering", "key")
        relaxed = shell.api.model.held["acme"].endpoints[0].ordering
        await shell.run(*change, "--operators-ordering")

        assert relaxed == "key"
        assert shell.api.model.held["acme"].endpoints[0].ordering is None

    async def test_a_test_event_goes_to_one_endpoint(self, shell: Shell) -> None:
        shell.api.tenant("acme")

        said = await shell.run("tenants", "endpoints", "test", "acme", "ep_1")

        (notice,) = shell.api.events.notices
        assert said.stdout.strip() == notice.event_id
        missing = await shell.run("tenants", "endpoints", "test", "acme", "ep_2", code=2)
        assert missing.stderr.startswith("unknown_endpoint (acme): ")

    async def test_a_suspended_endpoint_is_resumed(self, shell: Shell) -> None:
        endpoint = an_endpoint(suspension=Suspension(1_700_000_000.0, "exhausted", "w", 7))
        shell.api.tenant("acme", endpoints=(endpoint,))

        shown = await shell.json("tenants", "show", "acme", "--json")
        table = await shell.run("tenants", "show", "acme")
        said = await shell.run("tenants", "endpoints", "resume", "acme", "ep_1")

        assert shown["endpoints"][0]["state"] == "suspended"
        assert "suspended (exhausted)" in table.stdout
        assert said.stdout.strip() == "Probing ep_1"

    async def test_the_state_of_an_endpoint_is_the_same_as_text_and_as_json(
        self, shell: Shell
    ) -> None:
        suspension = Suspension(1_700_000_000.0, "behind", "w", 7)
        endpoints = (
            an_endpoint("ep_1", suspension=suspension, paused_at=NOW),
            an_endpoint("ep_2", suspension=suspension),
            an_endpoint("ep_3", enabled=False, disabled_reason="gone", suspension=suspension),
            an_endpoint("ep_4"),
        )
        shell.api.tenant("acme", endpoints=endpoints)

        shown = await shell.json("tenants", "show", "acme")
        table = (await shell.run("tenants", "show", "acme")).stdout

        states = [one["state"] for one in shown["endpoints"]]
        assert states == ["paused", "suspended", "disabled", "active"]
        printed = ("paused", "suspended (behind)", "disabled (gone)", "active")
        for number, state in enumerate(printed, 1):
            (line,) = [line for line in table.splitlines() if line.startswith(f"ep_{number} ")]
            assert f"  {state}" in line

    async def test_the_id_and_the_overlap_are_taken_along(self, shell: Shell) -> None:
        shell.api.tenant("acme", endpoints=())
        command = ("tenants", "endpoints")

        added = await shell.json(
            *(*command, "add", "acme", URL, "--event-types", "*", "--id", "orders")
        )
        await shell.run(*command, "rotate-secret", "acme", "orders", "--overlap", "60")

        (endpoint,) = shell.api.model.held["acme"].endpoints
        assert added["id"] == endpoint.id == "orders"
        assert endpoint.previous_secret_until == NOW + 60

    async def test_what_urls_are_allowed_the_api_knows(self, shell: Shell) -> None:
        shell.api.tenant("acme")
        where = ("http://hooks.acme.com/", "--event-types", "*")

        refused = await shell.run("tenants", "endpoints", "add", "acme", *where, code=2)

        assert refused.stderr.startswith("url_scheme (url): ")


class TestPublish:
    async def test_an_event_is_told_its_place(self, shell: Shell) -> None:
        shell.api.tenant("acme")

        report = await shell.json(*PUBLISH, '{"a":\n1}', "--id", "evt_1")

        (draft,) = shell.api.events.published
        assert draft.event_id == "evt_1"
        assert report == {
            "records": 1,
            "partitions": {"1": 1},
            "id": "evt_1",
            "position": {"partition": 1, "offset": 0},
        }

    async def test_an_event_without_an_id_is_told_the_one_it_got(self, shell: Shell) -> None:
        shell.api.tenant("acme")

        said = await shell.run(*PUBLISH, "1")

        (draft,) = shell.api.events.published
        assert draft.event_id
        assert said.stdout.splitlines()[1] == f"Event id: {draft.event_id}"

    async def test_it_stops_at_the_first_line_that_is_refused(self, shell: Shell) -> None:
        shell.api.tenant("acme")
        good = '{"customer_id": "acme", "type": "a.b", "data": 1}\n'

        here = await shell.run(
            "publish", "-", code=2, stdin=f'{good}\n{{"data": 2}}\n{good}'.encode()
        )
        there = await shell.run(
            "publish", "-", code=2, stdin=(good * 2 + good.replace("acme", "nobody")).encode()
        )

        assert here.stderr.startswith("customer_id_missing (line 3, customer_id): ")
        assert here.stdout.startswith("Published 1 record(s) (partition 1: 1)")
        assert there.stderr.startswith("unknown_tenant (line 3, customer_id): ")
        assert there.stdout.startswith("Published 2 record(s) (partition 1: 2)")

    async def test_an_event_that_names_no_customer_is_no_broadcast(self, shell: Shell) -> None:
        refused = await shell.run("publish", "--type", "a.b", "--data", "1", code=2)

        assert refused.stderr.startswith("customer_id_missing (customer_id): ")
        assert shell.api.events.published == []

    async def test_a_broadcast_is_the_operator_s(self, shell: Shell) -> None:
        key = shell.api.tenant("acme")
        command = ("publish", "--broadcast", "--type", "a.b", "--data", "1")

        refused = await shell.run(*command, code=2, HOOKSEAL_API_KEY=key)
        report = await shell.json(*command)

        assert refused.stderr.startswith("admin_only (HOOKSEAL_API_KEY): ")
        assert report.pop("id").startswith("evt_")
        assert report == {"records": 3, "partitions": {"0": 1, "1": 1, "2": 1}}

    async def test_how_large_an_event_may_be_the_api_knows(self, shell: Shell) -> None:
        shell.api.tenant("acme")

        await shell.run(*PUBLISH, '"' + "x" * 300 + '"', HOOKSEAL_EVENT_MAX_BYTES="256")
        refused = await shell.run(*PUBLISH, '"' + "x" * 40_000 + '"', code=2)

        assert refused.stderr.startswith("payload_too_large: ")


class TestDeadLetters:
    async def test_they_are_listed_over_several_requests(self, shell: Shell) -> None:
        shell.api.letters.held = [a_letter(number) for number in range(2500)]

        listed = await shell.json("dead-letters", "list", "--limit", "2200", "--order", "oldest")
        printed = await shell.run("dead-letters", "list", "--limit", "1")

        assert [one["offset"] for one in listed] == list(range(2200))
        assert listed[0]["customer_id"] == "acme"
        assert "3/2499" in printed.stdout
        assert "There are more: --after 3/2499" in printed.stderr

    async def test_a_filter_and_the_next_page(self, shell: Shell) -> None:
        shell.api.letters.held = [
            a_letter(1),
            a_letter(2, customer_id="other"),
            a_letter(3, reason="endpoint_gone"),
        ]

        def ids(letters: Any) -> list[str]:
            return [letter["id"] for letter in letters]

        command = ("dead-letters", "list")
        assert ids(await shell.json(*command, "--customer", "other")) == ["3/2"]
        assert ids(await shell.json(*command, "--reason", "endpoint_gone")) == ["3/3"]
        assert ids(await shell.json(*command, "--after", "3/3")) == ["3/2", "3/1"]
        unknown = await shell.run(*command, "--after", "3/9", code=2)
        assert unknown.stderr.startswith("unknown_dead_letter (3/9): ")

    async def test_a_tenant_s_key_sees_its_own(self, shell: Shell) -> None:
        key = shell.api.tenant("acme")
        shell.api.letters.held = [a_letter(1), a_letter(2, customer_id="other"), a_letter(3)]
        own = ("--customer", "acme")

        async def as_tenant(*arguments: str) -> Any:
            return await shell.json("dead-letters", *arguments, HOOKSEAL_API_KEY=key)

        listed = await as_tenant("list", *own)
        assert [(one["customer_id"], one["id"]) for one in listed] == [
            ("acme", "3/3"),
            ("acme", "3/1"),
        ]
        assert [one["offset"] for one in await as_tenant("list", *own, "--after", "3/3")] == [1]
        assert [row["count"] for row in await as_tenant("stats", *own)] == [2]
        assert (await as_tenant("replay", *own))["replayed"] == 2
        for command in (("list",), ("stats",), ("replay", "--all"), ("show", "3/1")):
            refused = await shell.run("dead-letters", *command, code=2, HOOKSEAL_API_KEY=key)
            assert refused.stderr.startswith("admin_only")

    async def test_they_are_counted(self, shell: Shell) -> None:
        shell.api.letters.held = [a_letter(1), a_letter(2), a_letter(3, customer_id="other")]

        rows = await shell.json("dead-letters", "stats")

        assert [(row["customer_id"], row["count"]) for row in rows] == [("acme", 2), ("other", 1)]

    async def test_one_is_shown_and_masked(self, shell: Shell) -> None:
        a_stored_letter(shell.api)

        masked = await shell.run("dead-letters", "show", "3/7")
        revealed = await shell.run("dead-letters", "show", "3/7", "--reveal")
        missing = await shell.run("dead-letters", "show", "3/8", code=2)

        assert "canary" not in masked.output
        assert "x-producer: (8 bytes; --reveal prints them)" in masked.stdout
        assert "hookseal-reason: attempts_exhausted" in masked.stdout
        assert "http_503" in masked.stdout
        assert "canary-7" in revealed.stdout
        assert "x-producer: canary-8" in revealed.stdout
        assert missing.stderr.startswith("unknown_dead_letter (3/8): ")

    async def test_each_header_is_shown_once_with_the_value_that_counts(self, shell: Shell) -> None:
        a_stored_letter(shell.api)
        letter = shell.api.letters.records[3, 7]
        first = (("hookseal-event-id", b"evt_1"), ("x-producer", b"canary-9"))
        shell.api.letters.records[3, 7] = replace(letter, headers=(*first, *letter.headers))

        shown = await shell.json("dead-letters", "show", "3/7", "--reveal")

        assert [tuple(header) for header in shown["headers"]] == [
            ("x-producer", "canary-9"),
            ("x-producer", "canary-8"),
            ("hookseal-reason", "attempts_exhausted"),
            ("hookseal-endpoint-id", "ep_1"),
            ("hookseal-event-id", "evt_7"),
        ]

    async def test_those_of_one_event_are_listed_and_replayed(self, shell: Shell) -> None:
        key = shell.api.tenant("acme")
        shell.api.letters.held = [a_letter(1), a_letter(2), a_letter(3, event_id="evt_1")]
        chosen = ("--event-id", "evt_1")

        every = await shell.json("dead-letters", "list", *chosen)
        own = await shell.json(
            *("dead-letters", "list", *chosen, "--customer", "acme"), HOOKSEAL_API_KEY=key
        )
        done = await shell.json("dead-letters", "replay", *chosen, "--rate", "0")

        assert [one["id"] for one in every] == [one["id"] for one in own] == ["3/3", "3/1"]
        assert done["replayed"] == 2

    async def test_all_are_replayed_once(self, shell: Shell) -> None:
        shell.api.letters.held = [a_letter(number) for number in range(1500)]
        command = ("dead-letters", "replay", "--all", "--rate", "0")

        dry = await shell.json(*command, "--dry-run")
        some = await shell.json(*command, "--limit", "200")
        rest = await shell.json(*command)
        again = await shell.json(*command)

        assert dry == {"would_replay": 1500, "replayed_before": 0, "not_replayable": 0}
        assert some == {"replayed": 200, "replayed_before": 0, "not_replayable": 0}
        assert rest == {"replayed": 1300, "replayed_before": 200, "not_replayable": 0}
        assert again == {"replayed": 0, "replayed_before": 1500, "not_replayable": 0}
        assert shell.api.letters.limits == [200, 1000, 300]

    async def test_ids_are_replayed_in_parts(self, shell: Shell) -> None:
        shell.api.letters.held = [a_letter(number) for number in range(1200)]
        ids = [f"3/{number}" for number in range(1100)]

        done = await shell.json("dead-letters", "replay", *ids, ids[0], "--rate", "0")

        assert done["replayed"] == 1100
        unknown = await shell.run("dead-letters", "replay", "3/9999", code=2)
        assert unknown.stderr.startswith("unknown_dead_letter (ids): ")

    async def test_a_refused_one_is_named_once_all_others_are_published(self, shell: Shell) -> None:
        shell.api.letters.held = [a_letter(number) for number in range(1500)]
        shell.api.letters.refusals = [ConflictError("replay_refused", "Too large.", field="3/7")]

        refused = await shell.run("dead-letters", "replay", "--all", "--rate", "0", code=2)

        assert refused.stderr.startswith("replay_refused (3/7): ")
        assert len(shell.api.letters.replayed) == 1500

    async def test_another_replay_is_waited_for(self, shell: Shell) -> None:
        shell.api.letters.held = [a_letter(1)]
        shell.api.letters.refusals = [ConflictError("replay_busy", "Another one runs.")] * 2

        done = await shell.run("dead-letters", "replay", "--all")

        assert done.stdout.splitlines()[0] == "replayed: 1"
        assert done.stderr.count("Another replay is running") == 1

    async def test_accepted_events_are_replayed_over_several_requests(self, shell: Shell) -> None:
        shell.api.tenant("acme", endpoints=(an_endpoint("ep_1"),))
        shell.api.letters.events = 2500
        shell.api.letters.refusals = [ConflictError("replay_busy", "Another one runs.")]

        done = await shell.json(*ACCEPTED, "--again", "lost", "--until", "2026-11-25")

        assert done == {"replayed": 2500}
        assert shell.api.letters.events_asked == [(0, 1000), (1000, 1000), (2000, 1000)]
        wanted = shell.api.letters.events_wanted
        assert wanted is not None
        assert (wanted.customer_id, wanted.endpoint_id, wanted.again) == ("acme", "ep_1", "lost")
        assert (wanted.since_ms, wanted.until_ms) == (1_795_478_400_000, 1_795_564_800_000)

    async def test_a_refused_event_is_named_once_the_others_are_replayed(
        self, shell: Shell
    ) -> None:
        shell.api.tenant("acme", endpoints=(an_endpoint("ep_1"),))
        shell.api.letters.events = 20
        shell.api.letters.refusals = [ConflictError("replay_refused", "Too large.", field="3/7")]

        refused = await shell.run(*ACCEPTED, code=2)

        assert refused.stderr.startswith("replay_refused (3/7): ")
        assert shell.api.letters.events_asked == [(8, 1000)]

    async def test_accepted_events_of_no_endpoint_are_refused(self, shell: Shell) -> None:
        key = shell.api.tenant("acme", endpoints=())

        unknown = await shell.run(*ACCEPTED, code=2)
        foreign = await shell.run(*ACCEPTED, code=2, HOOKSEAL_API_KEY=key)

        assert unknown.stderr.startswith("unknown_endpoint")
        assert foreign.stderr.startswith("admin_only")


COMMANDS = [
    ("dead-letters", "list"),
    ("dead-letters", "stats"),
    ("dead-letters", "show", "3/7"),
    ("dead-letters", "replay", "--all"),
    ("tenants", "list"),
    ("tenants", "show", "acme"),
    ("tenants", "create", "acme"),
    (*PUBLISH, "1"),
    ("publish", "-"),
]


class TestKeys:
    @pytest.mark.parametrize("command", COMMANDS)
    async def test_a_key_that_is_not_taken_exits_2(
        self, shell: Shell, command: tuple[str, ...]
    ) -> None:
        event = b'{"customer_id": "acme", "type": "a.b", "data": 1}'

        refused = await shell.run(
            *command, code=2, HOOKSEAL_API_KEY="wha_of_somebody_else", stdin=event
        )

        assert refused.stderr.startswith("unauthorized: ")
        assert "somebody" not in refused.output

    @pytest.mark.parametrize("command", COMMANDS)
    def test_without_one_it_is_said(self, run: Run, command: tuple[str, ...]) -> None:
        result = run(*command, HOOKSEAL_API_URL="http://127.0.0.1:9")

        assert result.exit_code == 78
        assert result.stderr.startswith("api_key_missing (HOOKSEAL_API_KEY): ")

    def test_a_url_with_a_password_in_it_is_refused_unseen(self, run: Run) -> None:
        result = run("tenants", "list", HOOKSEAL_API_URL="https://me:canary@api.provider.com")

        assert result.exit_code == 78
        assert result.stderr.startswith("settings_invalid: HOOKSEAL_API_URL: ")
        assert "canary" not in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_an_api_that_is_not_there_is_one_line_and_exit_1(
    run: Run, command: tuple[str, ...]
) -> None:
    event = b'{"customer_id": "acme", "type": "a.b", "data": 1}'
    with a_closed_port() as port:
        url = f"http://127.0.0.1:{port}"
        settings = {"HOOKSEAL_API_URL": url, "HOOKSEAL_ADMIN_KEY": ADMIN_KEY}
        result = run(*command, stdin=event, **settings)

    assert result.exit_code == 1
    assert result.stderr.startswith("api_unreachable (HOOKSEAL_API_URL): ")
    assert result.stderr.count("\n") == 1


NO_BROKER = {"HOOKSEAL_KAFKA_BOOTSTRAP": "127.0.0.1:9"}


class TestDoctor:
    async def test_finds_the_api_and_whose_key_it_takes(self, shell: Shell) -> None:
        key = shell.api.tenant("acme")

        assert await self.found(shell) == {
            "api": ("ok", f"ready at {shell.api.url}"),
            "api key": ("ok", "accepted, as the operator's"),
        }
        assert (await self.found(shell, HOOKSEAL_API_KEY=key))["api key"] == (
            "ok",
            "accepted, as a tenant's",
        )

    async def test_names_what_is_wrong(self, shell: Shell) -> None:
        refused = await self.found(shell, HOOKSEAL_API_KEY="wha_of_somebody_else")
        missing = await self.found(shell, HOOKSEAL_ADMIN_KEY="")
        with a_closed_port() as port:
            away = await self.found(shell, HOOKSEAL_API_URL=f"http://127.0.0.1:{port}")

        assert refused["api key"][0] == "fail"
        assert refused["api key"][1].startswith("unauthorized: ")
        assert missing["api key"][0] == "fail"
        assert away.keys() == {"api"}
        assert away["api"][1].startswith("api_unreachable: ")

    async def test_tells_that_the_api_is_not_ready(self, shell: Shell) -> None:
        shell.api.model.not_ready = BrokerError("tenants_recovering", "They are read.")

        found = await self.found(shell)

        assert found["api"][0] == "fail"
        assert found["api"][1].startswith("tenants_recovering: ")
        assert found["api key"][0] == "warn"

    def test_asks_for_no_kafka_and_no_master_key_with_only_the_api_s_settings(
        self, run: Run
    ) -> None:
        with a_closed_port() as port:
            result = run(
                "doctor",
                "--json",
                HOOKSEAL_API_URL=f"http://127.0.0.1:{port}",
                HOOKSEAL_API_KEY="whk_any",
            )
        failed = [check["name"] for check in json.loads(result.stdout) if check["status"] == "fail"]

        assert result.exit_code == 1
        assert failed == ["api"]

    def test_checks_the_queue_in_place_of_kafka_where_one_is_set(self, run: Run) -> None:
        result = run("doctor", "--json", HOOKSEAL_QUEUE_URL="memory://")
        names = {check["name"]: check["status"] for check in json.loads(result.stdout)}

        assert names["queue"] == "ok"
        assert "broker" not in names

    def test_looks_at_none_where_none_is_named(self, run: Run) -> None:
        found = json.loads(run("doctor", "--json", HOOKSEAL_KAFKA_BOOTSTRAP="127.0.0.1:9").stdout)

        assert not [check for check in found if check["name"].startswith("api")]

    async def found(self, shell: Shell, **settings: str) -> dict[str, tuple[str, str]]:
        # There is no broker, which fails as well.
        checks = await shell.json("doctor", code=1, **NO_BROKER, **settings)
        return {
            check["name"]: (check["status"], check["message"])
            for check in checks
            if check["name"].startswith("api")
        }


def test_keys_in_the_clear_are_warned_of() -> None:
    for url, status in (
        ("http://127.0.0.1:8000", "ok"),
        ("http://localhost:8000", "ok"),
        ("http://[::1]:8000", "ok"),
        ("https://api.provider.com", "ok"),
        ("http://api.provider.com", "warn"),
        ("http://10.0.0.1:8000", "warn"),
    ):
        assert api_ready(url).status == status, url


class TestStatus:
    async def test_prints_workers_partitions_endpoints_and_dead_letters(self, shell: Shell) -> None:
        shell.api.progress.found = two_workers()
        shell.api.attempts.held = [attempt("evt_1", "http_503", at_ms=NOW_MS - 4_000)]
        shell.api.tenant("acme", endpoints=(an_endpoint("ep_1", paused_at=NOW),))

        lines = (await shell.run("status")).stdout.splitlines()

        assert lines[0] == "group hookseal (Stable), 2 worker(s), lag 2"
        assert [line.split() for line in lines if line.startswith("w1")] == [
            ["w1", "10.0.0.1", "0"]
        ]
        (held,) = [line for line in lines if "backoff" in line]
        assert "5 s" in held
        assert held.endswith("acme ep_1: http_503, attempt 1 of 3, event evt_1")
        (paused,) = [line for line in lines if "paused" in line]
        assert paused.startswith("acme")
        assert lines[-1] == (
            "Dead letters in the last hour: receiver 0, configuration 0, event 0, platform 0"
        )

    async def test_fails_if_no_worker_runs(self, shell: Shell) -> None:
        shell.api.progress.found = two_workers()._replace(workers=[], state="Empty")

        said = await shell.run("status", code=1)
        found = json.loads((await shell.run("status", "--json", code=1)).stdout)

        assert said.stdout.startswith("no_worker: No worker runs. Waiting events: 2.")
        assert found["problems"][0]["code"] == "no_worker"

    async def test_is_the_operator_s(self, shell: Shell) -> None:
        key = shell.api.tenant("acme")

        refused = await shell.run("status", code=2, HOOKSEAL_API_KEY=key)

        assert refused.stderr.startswith("admin_only: ")


class TestTrace:
    async def test_prints_where_an_event_is_and_what_to_do(self, shell: Shell) -> None:
        shell.api.tenant("acme")
        shell.api.progress.found = two_workers()
        shell.api.attempts.held = [attempt("evt_7", "http_503", attempt=3)]
        shell.api.letters.held = [a_letter(7)]

        lines = (await shell.run("events", "trace", "evt_7")).stdout.splitlines()

        assert lines[0].startswith("dead_lettered: ep_1: attempts_exhausted: ")
        assert "customer id: acme" in lines
        assert any(" http_503 " in line for line in lines)
        assert lines[-1] == "hookseal dead-letters replay 3/7"

    async def test_an_event_that_was_never_seen_is_a_failure(self, shell: Shell) -> None:
        key = shell.api.tenant("acme")
        shell.api.progress.found = two_workers()

        said = await shell.run("events", "trace", "evt_7", code=1, HOOKSEAL_API_KEY=key)

        assert said.stdout.startswith("never_seen: None of 0 records of `events` (partition 0)")
        assert "searched: 0 records of partition 0 since 20" in said.stdout

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [(("evt.7",), "id_invalid"), (("evt_7", "--since", "soon"), "time_invalid")],
    )
    async def test_refuses_what_cannot_be_searched_for(
        self, shell: Shell, arguments: tuple[str, ...], code: str
    ) -> None:
        refused = await shell.run("events", "trace", *arguments, code=2)

        assert refused.stderr.startswith(code)


class TestDeliveries:
    async def test_are_listed_page_by_page(self, shell: Shell) -> None:
        shell.api.attempts.held = [an_attempt(number) for number in range(2500)]

        first = await shell.json("deliveries", "list", "--limit", "1500")
        rest = await shell.json(
            "deliveries", "list", "--limit", "1500", "--cursor", first["next_cursor"]
        )

        ids = [one["event_id"] for one in (*first["items"], *rest["items"])]
        assert ids == [f"evt_{number}" for number in range(2499, -1, -1)]
        assert rest["next_cursor"] is None

    async def test_are_filtered_and_of_a_tenant_with_its_key(self, shell: Shell) -> None:
        key = shell.api.tenant("acme")
        shell.api.attempts.held = [
            an_attempt(1),
            an_attempt(2, code="timeout", status=None),
            an_attempt(3, code="timeout", status=None, customer_id="other"),
        ]
        filters = ("deliveries", "list", "--code", "timeout", "--since", "2023-11-14")

        every = await shell.run(*filters)
        own = await shell.json(*filters, "--customer", "acme", HOOKSEAL_API_KEY=key)
        nameless = await shell.run(*filters, code=2, HOOKSEAL_API_KEY=key)

        assert every.stdout.splitlines()[0].split()[:4] == ["at", "customer", "id", "endpoint"]
        assert len(every.stdout.splitlines()) == 3
        assert [(one["customer_id"], one["event_id"]) for one in own["items"]] == [
            ("acme", "evt_2")
        ]
        assert nameless.stderr.startswith("admin_only (HOOKSEAL_API_KEY): ")

    async def test_refuse_a_time_before_they_ask(self, shell: Shell) -> None:
        refused = await shell.run("deliveries", "list", "--since", "soon", code=2)

        assert refused.stderr.startswith("time_invalid (since): ")
