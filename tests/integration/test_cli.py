"""The commands against a real broker and a real worker, alone and by way of a real API."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer
from typer.testing import CliRunner

from hookseal.cli.app import app
from hookseal.config import Settings
from hookseal.domain.event import BROADCAST_HEADER
from hookseal.domain.record import last_header
from hookseal.kafka.consumer import record_from, topic_partitions
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.topics import TopicNames
from hookseal.seal.sign import SigningSecrets
from tests.builders import MASTER_KEY, public_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from typer.testing import Result

    from hookseal.domain.record import Record
    from tests.brokers import Broker

# A busy machine takes its time over the worker and the API that the first test of all starts.
pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

T = TypeVar("T")

PARTITIONS = 6
TOPICS = 6
PATIENCE_S = 90.0
HOOKSEAL = Path(sys.executable).with_name("hookseal")
URL = "https://hooks.acme.com/in"
ADMIN_KEY = "wha_CANARYadminkeyofthetests"
A_PORT = re.compile(r'"port": ?(\d+)')


class Deployment:
    """Topics of their own and the commands that work on them."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = {**env, "HOOKSEAL_PARTITIONS": str(PARTITIONS)}

    def run(self, *arguments: str, code: int = 0, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(app, arguments, env=self.env, input=stdin)
        assert result.exit_code == code, result.output
        return result

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json").stdout)

    def tenant(self) -> str:
        """Create a tenant; return its customer id."""
        customer_id = f"c-{uuid4().hex[:8]}"
        self.run("tenants", "create", customer_id)
        return customer_id


def until(condition: Callable[[], T | Literal[False] | None]) -> T:
    """Ask until there is an answer; return it."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return answer


@contextmanager
def a_process(*command: str, env: Mapping[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=env, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    except AssertionError as failure:
        failure.add_note(log.read_text())
        raise
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def bare(settings_env: dict[str, str]) -> Deployment:
    """No topics yet, and no worker."""
    return Deployment(settings_env)


@pytest.fixture(scope="module")
def directly(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Topics and one worker, for all tests of this file."""
    folder = tmp_path_factory.mktemp("worker")
    deployment = Deployment(
        {
            **broker.settings,
            "HOOKSEAL_TOPIC_PREFIX": f"cli-{uuid4().hex[:8]}.",
            "HOOKSEAL_MASTER_KEY": base64.b64encode(MASTER_KEY).decode(),
            "HOOKSEAL_SESSION_TIMEOUT_S": "6",
            "HOOKSEAL_HEARTBEAT_INTERVAL_S": "1",
            "HOOKSEAL_EGRESS_ALLOW_CIDRS": "127.0.0.0/8",
            "HOOKSEAL_EGRESS_ALLOW_HTTP": "true",
            "HOOKSEAL_EGRESS_ALLOW_PORTS": "1024-65535",
            "HOOKSEAL_UNKNOWN_TENANT_WAIT_S": "1",
            "HOOKSEAL_LOG_FORMAT": "json",
            "HOOKSEAL_DATA_DIR": str(folder),
        }
    )
    deployment.run("topics", "create")
    log = folder / "log"
    with a_process(str(HOOKSEAL), "worker", env=deployment.env, log=log):
        held = json.dumps(list(range(PARTITIONS)), separators=(",", ":"))
        until(lambda: f'"partitions":{held}' in log.read_text())
        yield deployment


@pytest.fixture(scope="module")
def by_api(directly: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The same, asked by way of an API process."""
    log = tmp_path_factory.mktemp("api") / "log"
    env = {**directly.env, "HOOKSEAL_ADMIN_KEY": ADMIN_KEY}
    with a_process(str(HOOKSEAL), "api", "--port", "0", env=env, log=log):
        port = until(lambda: (said := A_PORT.search(log.read_text())) and said[1])
        asking = Deployment({**env, "HOOKSEAL_API_URL": f"http://127.0.0.1:{port}"})
        until(lambda: is_ready(asking))
        yield asking


@pytest.fixture(params=["directly", "by_api"])
def deployed(request: pytest.FixtureRequest) -> Deployment:
    """Topics and a worker; the commands go to Kafka, or ask an API."""
    deployment: Deployment = request.getfixturevalue(request.param)
    return deployment


def is_ready(deployment: Deployment) -> bool:
    result = CliRunner().invoke(app, ["doctor", "--json"], env=deployment.env)
    checks = {check["name"]: check["status"] for check in json.loads(result.stdout)}
    return checks.get("api") == "ok"


class TestTopics:
    def test_topics_that_are_missing_are_created_once(self, bare: Deployment) -> None:
        first = bare.json("topics", "create")
        second = bare.json("topics", "create")

        assert len(first["created"]) == TOPICS
        assert second == {"created": []}
        assert set(bare.json("topics", "check").values()) == {PARTITIONS}

    def test_a_check_names_what_is_missing(self, bare: Deployment) -> None:
        result = bare.run("topics", "check", code=2)

        assert result.stderr.startswith("topic_missing")
        assert result.stdout.count("missing") == TOPICS

    def test_a_check_creates_nothing(self, bare: Deployment) -> None:
        bare.run("topics", "check", code=2)

        assert len(bare.json("topics", "create")["created"]) == TOPICS


class TestTenants:
    def test_a_tenant_is_created_and_shown(self, deployed: Deployment) -> None:
        customer_id = f"c-{uuid4().hex[:8]}"

        deployed.run("tenants", "create", customer_id, "--name", "Acme")

        shown = deployed.json("tenants", "show", customer_id)
        assert (shown["customer_id"], shown["name"], shown["enabled"]) == (
            customer_id,
            "Acme",
            True,
        )
        assert customer_id in [one["customer_id"] for one in deployed.json("tenants", "list")]

    def test_a_tenant_that_exists_is_refused(self, deployed: Deployment) -> None:
        customer_id = deployed.tenant()

        result = deployed.run("tenants", "create", customer_id, code=2)

        assert result.stderr.startswith(f"tenant_exists ({customer_id}): ")

    @pytest.mark.parametrize(
        "arguments",
        [
            ("show", "nobody"),
            ("disable", "nobody"),
            ("delete", "nobody"),
            ("keys", "remove", "nobody", "kid"),
            ("endpoints", "add", "nobody", URL, "--event-types", "*"),
            ("endpoints", "rotate-secret", "nobody", "ep_1"),
        ],
    )
    def test_an_unknown_tenant_is_refused(
        self, deployed: Deployment, arguments: tuple[str, ...]
    ) -> None:
        result = deployed.run("tenants", *arguments, code=2)

        assert result.stderr.startswith("unknown_tenant (nobody): ")

    def test_a_tenant_is_disabled_and_enabled(self, deployed: Deployment) -> None:
        customer_id = deployed.tenant()

        deployed.run("tenants", "disable", customer_id)
        assert deployed.json("tenants", "show", customer_id)["enabled"] is False
        deployed.run("tenants", "enable", customer_id)
        assert deployed.json("tenants", "show", customer_id)["enabled"] is True

    def test_a_tenant_that_was_deleted_is_unknown(self, deployed: Deployment) -> None:
        customer_id = deployed.tenant()

        deployed.run("tenants", "delete", customer_id, "--yes")

        deployed.run("tenants", "show", customer_id, code=2)

    def test_a_tenant_that_was_deleted_can_be_made_again(self, deployed: Deployment) -> None:
        customer_id = deployed.tenant()
        deployed.run("tenants", "delete", customer_id)

        deployed.run("tenants", "create", customer_id)

        assert deployed.json("tenants", "show", customer_id)["revision"] == 1

    def test_a_look_leaves_nothing_on_disk(self, directly: Deployment, tmp_path: Path) -> None:
        elsewhere = Deployment({**directly.env, "HOOKSEAL_DATA_DIR": str(tmp_path / "data")})

        elsewhere.json("tenants", "list")

        assert list(tmp_path.iterdir()) == []

    def test_without_a_worker_the_command_says_so(self, bare: Deployment) -> None:
        bare.run("topics", "create")

        result = bare.run("tenants", "create", "acme", "--timeout", "0.5", code=1)

        assert result.stderr.startswith("no_worker_answered: ")
        assert "within 0.5 s" in result.stderr

    def test_a_folder_whose_name_is_too_long_for_a_socket_is_said(
        self, bare: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bare.run("topics", "create")
        folder = tmp_path / ("x" * 120)
        folder.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder))

        result = bare.run("tenants", "show", "acme", code=2)

        assert result.stderr.startswith("socket_unavailable (TMPDIR): ")
        assert list(folder.iterdir()) == []


class TestKeys:
    def test_a_public_key_is_added_by_stdin_and_removed(self, deployed: Deployment) -> None:
        customer_id = deployed.tenant()
        jwk = public_key().jwk_json().decode()

        added = deployed.run("tenants", "keys", "add", customer_id, "-", stdin=jwk).stdout.strip()

        (key,) = deployed.json("tenants", "show", customer_id)["public_keys"]
        assert key == {"kid": added, "alg": "ECDH-ES", "state": "active"}
        deployed.run("tenants", "keys", "remove", customer_id, added)
        assert deployed.json("tenants", "show", customer_id)["public_keys"] == []

    def test_the_code_with_which_a_worker_refuses_is_printed(self, deployed: Deployment) -> None:
        customer_id = deployed.tenant()
        jwk = public_key().jwk_json().decode()
        deployed.run("tenants", "keys", "add", customer_id, "-", stdin=jwk)

        again = deployed.run("tenants", "keys", "add", customer_id, "-", stdin=jwk, code=2)
        other = deployed.run("tenants", "keys", "remove", customer_id, "none", code=2)

        assert again.stderr.startswith("key_exists")
        assert other.stderr.startswith("unknown_key")


class TestEndpoints:
    def test_an_endpoint_is_added_with_its_secret(self, deployed: Deployment) -> None:
        customer_id = deployed.tenant()

        added = deployed.json(
            *("tenants", "endpoints", "add", customer_id, URL, "--event-types", "order.*,a.b"),
            *("--header", "X-Token: secret", "--description", "Mine", "--retry-delays", "1,2.5"),
            *("--ordering", "key"),
        )

        (endpoint,) = deployed.json("tenants", "show", customer_id)["endpoints"]
        secrets = SigningSecrets(MASTER_KEY)
        assert added["signing_secret"] == secrets.show(customer_id, added["id"], 1)
        assert endpoint["id"] == added["id"]
        assert endpoint["url"] == URL
        assert endpoint["event_types"] == ["order.*", "a.b"]
        assert endpoint["headers"] == {"X-Token": "***"}
        assert endpoint["description"] == "Mine"
        assert endpoint["retry_delays_s"] == [1, 2.5]
        assert endpoint["ordering"] == "key"
        change = ("tenants", "endpoints", "change", customer_id, added["id"])
        deployed.run(*change, "--operators-ordering")
        (endpoint,) = deployed.json("tenants", "show", customer_id)["endpoints"]
        assert endpoint["ordering"] is None

    def test_values_of_headers_are_shown_when_asked_for(self, deployed: Deployment) -> None:
        customer_id = deployed.tenant()
        deployed.run(
            *("tenants", "endpoints", "add", customer_id, URL, "--event-types", "*"),
            *("--header", "X-Token: value-7"),
        )

        assert "value-7" not in deployed.run("tenants", "show", customer_id).output
        assert "value-7" in deployed.run("tenants", "show", customer_id, "--reveal").output

    def test_what_is_given_is_changed_and_the_rest_kept(self, deployed: Deployment) -> None:
        customer_id = deployed.tenant()
        deployed.run(
            *("tenants", "endpoints", "add", customer_id, URL, "--event-types", "a.b"),
            *("--header", "X-Token: secret", "--id", "ep_1"),
        )

        deployed.run("tenants", "endpoints", "change", customer_id, "ep_1", "--disable")

        (endpoint,) = deployed.json("tenants", "show", customer_id)["endpoints"]
        assert (endpoint["enabled"], endpoint["disabled_reason"]) == (False, "asked")
        assert (endpoint["url"], endpoint["event_types"]) == (URL, ["a.b"])
        assert endpoint["headers"] == {"X-Token": "***"}

    def test_rotation_prints_the_next_secret(self, deployed: Deployment) -> None:
        customer_id = deployed.tenant()
        endpoint = ("tenants", "endpoints")
        deployed.run(
            *(*endpoint, "add", customer_id, URL, "--event-types", "*", "--id", "ep_1"),
        )

        rotated = deployed.json(*endpoint, "rotate-secret", customer_id, "ep_1")

        assert rotated["version"] == 2
        secrets = SigningSecrets(MASTER_KEY)
        assert rotated["signing_secret"] == secrets.show(customer_id, "ep_1", 2)

    def test_an_endpoint_is_removed_once(self, deployed: Deployment) -> None:
        customer_id = deployed.tenant()
        endpoint = ("tenants", "endpoints")
        deployed.run(
            *(*endpoint, "add", customer_id, URL, "--event-types", "*", "--id", "ep_1"),
        )

        deployed.run(*endpoint, "remove", customer_id, "ep_1")
        again = deployed.run(*endpoint, "remove", customer_id, "ep_1", code=2)

        assert deployed.json("tenants", "show", customer_id)["endpoints"] == []
        assert again.stderr.startswith("unknown_endpoint")

    def test_a_test_event_is_put_on_the_log(self, deployed: Deployment) -> None:
        customer_id = deployed.tenant()
        endpoint = ("tenants", "endpoints")
        deployed.run(
            *(*endpoint, "add", customer_id, URL, "--event-types", "*", "--id", "ep_1"),
        )

        event_id = deployed.run(*endpoint, "test", customer_id, "ep_1").stdout.strip()

        (record,) = events_of(deployed, 1, customer_id)
        assert json.loads(record.value or b"")["id"] == event_id


class TestPublish:
    def test_data_stand_on_the_log_as_they_were_written(
        self, bare: Deployment, settings: Settings
    ) -> None:
        bare.run("topics", "create")
        data = '{"big": 18446744073709551617,  "a":1, "a":2}'
        where = ("--customer", "acme", "--type", "order.paid", "--id", "evt_1")

        report = bare.json("publish", *where, "--data", data)

        (record,) = events(settings, 1)
        assert record.key == b"acme"
        assert data.encode() in (record.value or b"")
        assert report["position"] == {"partition": partition_of("acme", PARTITIONS), "offset": 0}

    def test_events_of_a_customer_keep_the_order_of_the_file(
        self, bare: Deployment, settings: Settings, tmp_path: Path
    ) -> None:
        bare.run("topics", "create")
        file = tmp_path / "events.jsonl"
        customers = [f"c{number}" for number in range(12)]
        lines = [
            {"customer_id": customers[number % 12], "type": "a.b", "data": [number, "x" * 300]}
            for number in range(3000)
        ]
        file.write_text("\n\n".join(map(json.dumps, lines)))

        report = bare.json("publish", str(file))

        assert report["records"] == 3000
        found = events(settings, 3000)
        for customer_id in customers:
            numbers = numbers_of(customer_id, found)
            assert numbers == sorted(numbers)
            assert len(numbers) == 250

    def test_publishing_stops_at_a_line_that_is_no_event(
        self, bare: Deployment, settings: Settings
    ) -> None:
        bare.run("topics", "create")
        good = '{"customer_id": "acme", "type": "a.b", "data": 1}\n'

        result = bare.run("publish", "-", code=2, stdin=f'{good}{good}\n{{"data": 2}}\n{good}')

        assert result.stderr.startswith("customer_id_missing (line 4, customer_id): ")
        assert result.stdout.startswith("Published 2 record(s)")
        assert len(events(settings, 2)) == 2

    def test_a_broadcast_stands_once_on_each_partition(
        self, bare: Deployment, settings: Settings
    ) -> None:
        bare.run("topics", "create")

        report = bare.json("publish", "--broadcast", "--type", "a.b", "--data", "1")

        found = events(settings, PARTITIONS)
        assert report["partitions"] == {str(number): 1 for number in range(PARTITIONS)}
        assert sorted(record.partition for record in found) == list(range(PARTITIONS))
        assert all(last_header(record.headers, BROADCAST_HEADER) for record in found)
        assert len({json.loads(record.value or b"")["id"] for record in found}) == 1

    def test_nothing_is_published_where_there_are_no_topics(self, bare: Deployment) -> None:
        where = ("--customer", "acme", "--type", "order.paid")

        result = bare.run("publish", *where, "--data", "1", code=2)

        assert result.stderr.startswith("topic_missing")

    def test_no_master_key_is_needed_unless_events_are_sealed_at_rest(
        self, bare: Deployment, settings: Settings
    ) -> None:
        bare.run("topics", "create")
        where = ("--customer", "acme", "--type", "order.paid", "--data", "1")
        keyless = Deployment({**bare.env, "HOOKSEAL_MASTER_KEY": ""})
        sealing = Deployment({**keyless.env, "HOOKSEAL_SEAL_AT_REST": "true"})

        keyless.run("publish", *where)
        refused = sealing.run("publish", *where, code=78)

        assert len(events(settings, 1)) == 1
        assert refused.stderr.startswith("master_key_missing")
        assert keyless.json("dead-letters", "list") == []


class TestPublishByApi:
    def test_events_of_a_customer_keep_the_order_of_the_file(
        self, by_api: Deployment, tmp_path: Path
    ) -> None:
        customers = [by_api.tenant() for _ in range(3)]
        file = tmp_path / "events.jsonl"
        lines = [
            {"customer_id": customers[number % 3], "type": "a.b", "data": [number, "x" * 300]}
            for number in range(3000)
        ]
        file.write_text("\n\n".join(map(json.dumps, lines)))

        report = by_api.json("publish", str(file))

        assert report["records"] == 3000
        found = events_of(by_api, 3000, *customers)
        for customer_id in customers:
            numbers = numbers_of(customer_id, found)
            assert numbers == sorted(numbers)
            assert len(numbers) == 1000

    def test_data_stand_on_the_log_as_they_were_written(self, by_api: Deployment) -> None:
        customer_id = by_api.tenant()
        data = '{"big": 18446744073709551617,\n  "a":1, "a":2}'
        where = ("--customer", customer_id, "--type", "order.paid", "--id", "evt_1")

        first = by_api.json("publish", *where, "--data", data)
        again = by_api.json("publish", *where, "--data", data)

        (record,) = events_of(by_api, 1, customer_id)
        assert data.encode() in (record.value or b"")
        assert first["position"] == {"partition": record.partition, "offset": record.offset}
        assert again == first

    def test_publishing_stops_at_a_line_that_is_refused(self, by_api: Deployment) -> None:
        customer_id = by_api.tenant()
        good = json.dumps({"customer_id": customer_id, "type": "a.b", "data": 1}) + "\n"
        foreign = good.replace(customer_id, f"c-{uuid4().hex}")

        result = by_api.run("publish", "-", code=2, stdin=f"{good}{good}\n{foreign}{good}")

        assert result.stderr.startswith("unknown_tenant (line 4, customer_id): ")
        assert result.stdout.startswith("Published 2 record(s)")
        assert len(events_of(by_api, 2, customer_id)) == 2

    def test_a_broadcast_stands_once_on_each_partition(self, by_api: Deployment) -> None:
        event_id = f"evt_{uuid4().hex}"
        where = ("--broadcast", "--type", "a.b", "--id", event_id)

        report = by_api.json("publish", *where, "--data", "1")

        assert report["partitions"] == {str(number): 1 for number in range(PARTITIONS)}


class TestApiKeys:
    def test_the_first_one_is_printed_and_more_are_made_and_revoked(
        self, deployed: Deployment
    ) -> None:
        customer_id = f"c-{uuid4().hex[:8]}"
        command = ("tenants", "api-keys")

        first = deployed.json("tenants", "create", customer_id)["api_key"]
        made = deployed.json(*command, "add", customer_id, "--scope", "events:write")

        assert first.startswith("whk_live_")
        assert made["api_key"] != first
        listed = deployed.json(*command, "list", customer_id)
        assert [key["scopes"] for key in listed][1:] == [["events:write"]]
        deployed.run(*command, "revoke", customer_id, made["id"])
        assert [key["id"] for key in deployed.json(*command, "list", customer_id)] == [
            listed[0]["id"]
        ]

    def test_a_tenant_needs_no_other_key_than_its_own(self, by_api: Deployment) -> None:
        customer_id = f"c-{uuid4().hex[:8]}"
        key = by_api.json("tenants", "create", customer_id)["api_key"]
        tenant = Deployment({**by_api.env, "HOOKSEAL_ADMIN_KEY": "", "HOOKSEAL_API_KEY": key})

        tenant.run("tenants", "endpoints", "add", customer_id, URL, "--event-types", "*")
        tenant.run("publish", "--customer", customer_id, "--type", "a.b", "--data", "1")

        assert tenant.json("tenants", "show", customer_id)["customer_id"] == customer_id
        other = by_api.tenant()
        assert tenant.run("tenants", "show", other, code=2).stderr.startswith("unknown_tenant")
        assert tenant.run("tenants", "list", code=2).stderr.startswith("admin_only")


class TestDeadLetters:
    def test_a_dead_letter_is_listed_and_shown_masked(
        self, directly: Deployment, deployed: Deployment
    ) -> None:
        customer_id = f"c-{uuid4().hex[:8]}"
        where = ("--customer", customer_id, "--type", "a.b", "--data", '"canary-7"')
        directly.run("publish", *where)

        listing = ("dead-letters", "list", "--customer", customer_id)
        (letter,) = until(lambda: deployed.json(*listing))

        assert letter["reason"] == "unknown_tenant"
        place = f"{letter['partition']}/{letter['offset']}"
        masked = deployed.run("dead-letters", "show", place).stdout
        revealed = deployed.run("dead-letters", "show", place, "--reveal").stdout
        assert "hookseal-reason: unknown_tenant" in masked
        assert "canary-7" not in masked
        assert "canary-7" in revealed

    def test_only_those_asked_for_are_listed(self, directly: Deployment) -> None:
        customer_id = f"c-{uuid4().hex[:8]}"
        for _ in range(3):
            directly.run("publish", "--customer", customer_id, "--type", "a.b", "--data", "1")
        listing = ("dead-letters", "list", "--customer", customer_id)
        letters = until(lambda: len(found := directly.json(*listing)) == 3 and found)

        assert directly.json(*listing, "--limit", "2") == letters[:2]
        assert directly.json(*listing, "--order", "oldest") == letters[::-1]
        after = ("--limit", "2", "--after", letters[0]["id"])
        assert directly.json(*listing, *after) == letters[1:]
        assert directly.json(*listing, "--reason", "attempts_exhausted") == []

    def test_they_are_counted(self, directly: Deployment) -> None:
        customer_id = f"c-{uuid4().hex[:8]}"
        for _ in range(2):
            directly.run("publish", "--customer", customer_id, "--type", "a.b", "--data", "1")

        counting = ("dead-letters", "stats", "--customer", customer_id)
        (row,) = until(
            lambda: (found := directly.json(*counting)) and found[0]["count"] == 2 and found
        )

        assert (row["reason"], row["category"]) == ("unknown_tenant", "platform")
        assert row["replayed"] == 0
        assert "2  " in directly.run(*counting).stdout

    def test_they_are_replayed_once(self, deployed: Deployment) -> None:
        customer_id = deployed.tenant()
        ids = [f"{customer_id}-{number}" for number in range(3)]
        deployed.run("tenants", "disable", customer_id)
        for event_id in ids:
            what = ("--type", "a.b", "--data", "1", "--id", event_id)
            deployed.run("publish", "--customer", customer_id, *what)
        own = ("--customer", customer_id)
        letters = until(
            lambda: len(found := deployed.json("dead-letters", "list", *own)) == 3 and found
        )

        one = deployed.json("dead-letters", "replay", letters[-1]["id"])
        dry = deployed.json(
            "dead-letters", "replay", *own, "--dry-run", "--reason", "tenant_disabled"
        )
        rest = deployed.json("dead-letters", "replay", *own, "--limit", "2")

        assert one["replayed"] == 1
        assert dry["replayed_before"] == 1
        assert rest["replayed"] == 2
        first = ("list", *own, "--replayed", "--order", "oldest")
        replayed = deployed.json("dead-letters", *first)
        assert [letter["event_id"] for letter in replayed][:3] == ids

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (("list", "--reason", "bad"), "reason_unknown"),
            (("list", "--category", "bad"), "category_unknown"),
            (("list", "--since", "yesterday"), "time_invalid"),
            (("list", "--after", "7"), "place_invalid"),
            (("list", "--after", "0/999999"), "unknown_dead_letter"),
            (("replay",), "filter_missing"),
            (("replay", "3-7"), "place_invalid"),
            (("replay", "--accepted", "--customer", "acme"), "option_missing"),
        ],
    )
    def test_what_is_wrong_is_said(
        self, directly: Deployment, arguments: tuple[str, ...], code: str
    ) -> None:
        result = directly.run("dead-letters", *arguments, code=2)

        assert result.stderr.startswith(code)

    def test_there_is_none_where_there_is_none(self, directly: Deployment) -> None:
        for place in ("0/999999", "77/0"):
            result = directly.run("dead-letters", "show", place, code=2)

            assert result.stderr.startswith(f"unknown_dead_letter ({place}): ")


def test_an_event_goes_all_the_way_by_commands_alone(deployed: Deployment, tmp_path: Path) -> None:
    private, log = tmp_path / "private.pem", tmp_path / "receiver.log"
    customer_id = deployed.tenant()
    public = deployed.run("keys", "generate", "--alg", "p256", "--out", str(private)).stdout
    deployed.run("tenants", "keys", "add", customer_id, "-", stdin=public)
    secret = SigningSecrets(MASTER_KEY).show(customer_id, "ep_1", 1)
    receive = ("receive", "--port", "0", "--key", str(private), "--secret", secret)

    with a_process(str(HOOKSEAL), *receive, "--endpoint-id", "ep_1", env=deployed.env, log=log):
        listening = until(lambda: "http://" in log.read_text() and log.read_text().split()[2])
        deployed.run(
            *("tenants", "endpoints", "add", customer_id, listening),
            *("--event-types", "order.*", "--id", "ep_1"),
        )
        where = ("--customer", customer_id, "--type", "order.paid", "--id", "evt_1")
        deployed.run("publish", *where, "--data", '{"total": 7}')
        until(lambda: "evt_1" in log.read_text())

    printed = log.read_text().splitlines()
    assert '200 evt_1 {"id":"evt_1"' in printed[1]
    assert '"data":{"total": 7}' in printed[1]
    assert printed[-1].startswith("Received 1 events, of which 0 were repeats. Refused 0")


def test_the_doctor_finds_all_well(deployed: Deployment) -> None:
    deployed.tenant()

    found = {check["name"]: check["status"] for check in deployed.json("doctor")}

    assert found.pop("egress") == "warn"
    assert set(found.values()) == {"ok"}
    assert {"broker", "topics", "clock", "master key", "store"} <= set(found)


def events(settings: Settings, count: int) -> list[Record]:
    """Return what stands on `events`: so many records, and no more."""
    return asyncio.run(_read(settings, count, lambda _: True))


def events_of(deployment: Deployment, count: int, *customer_ids: str) -> list[Record]:
    """Return what stands on `events` for these customers: so many records, and no more."""
    settings = Settings.model_validate(
        {
            name.removeprefix("HOOKSEAL_").lower(): value
            for name, value in deployment.env.items()
            if name.startswith("HOOKSEAL_")
        }
    )
    keys = {customer_id.encode() for customer_id in customer_ids}
    found = asyncio.run(_read(settings, count, lambda record: record.key in keys))
    assert len(found) == count
    return found


def numbers_of(customer_id: str, records: list[Record]) -> list[int]:
    """Return the first datum of each event of this customer, as they stand on the log."""
    return [
        json.loads(record.value or b"")["data"][0]
        for record in records
        if record.key == customer_id.encode()
    ]


async def _read(settings: Settings, count: int, wanted: Callable[[Record], bool]) -> list[Record]:
    # Not to the end as the broker names it: the embedded one's lags its last batch.
    places = await topic_partitions(settings.cluster, TopicNames(settings.topic_prefix).events)
    found: list[Record] = []
    async with (
        asyncio.timeout(PATIENCE_S),
        AIOKafkaConsumer(**settings.cluster.arguments(), enable_auto_commit=False) as consumer,
    ):
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        while (batches := await consumer.getmany(timeout_ms=500)) or len(found) < count:
            records = [record_from(one) for batch in batches.values() for one in batch]
            found += [record for record in records if wanted(record)]
    return found
