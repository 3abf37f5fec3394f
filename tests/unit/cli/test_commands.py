"""What is refused before a broker is asked, and how refusals look."""

from __future__ import annotations

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from hookseal.cli import ui
from hookseal.errors import BrokerError, ConflictError, InvalidInputError

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Run

MASTER_KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
# The discard service: nothing listens there.
NO_BROKER = {"HOOKSEAL_KAFKA_BOOTSTRAP": "127.0.0.1:9", "HOOKSEAL_MASTER_KEY": MASTER_KEY}
ENDPOINT = ("tenants", "endpoints", "add", "acme", "https://hooks.acme.com/", "--event-types", "*")

CHANGE = ("tenants", "endpoints", "change", "acme", "ep_1")


@pytest.mark.parametrize(
    ("arguments", "code", "field"),
    [
        (("tenants", "create", " acme"), "customer_id_invalid", "customer_id"),
        ((*ENDPOINT[:4], "http://hooks.acme.com/", *ENDPOINT[5:]), "url_scheme", "url"),
        ((*ENDPOINT[:4], "https://10.0.0.1/", *ENDPOINT[5:]), "url_ip_blocked", "url"),
        ((*ENDPOINT[:6], "order.*,,"), "event_types_invalid", "event_types"),
        ((*ENDPOINT, "--header", "X-Token"), "header_name", "headers"),
        ((*ENDPOINT, "--header", "A: 1", "--header", "A: 2"), "header_name", "headers"),
        ((*ENDPOINT, "--header", "Host: a"), "header_reserved", "headers"),
        ((*ENDPOINT, "--retry-delays", "1,x"), "retry_delays_invalid", "retry_delays_s"),
        ((*ENDPOINT, "--retry-delays", "1,-1"), "retry_delays_invalid", "retry_delays_s"),
        ((*ENDPOINT, "--rate", "0"), "limits_invalid", "limits.rate_per_s"),
        ((*CHANGE, "--concurrency", "0"), "limits_invalid", "limits.concurrency"),
        ((*CHANGE, "--attempt-timeout", "121"), "limits_invalid", "limits.timeout_s"),
        ((*ENDPOINT, "--id", "a b"), "endpoint_id_invalid", "id"),
        ((*CHANGE, "--url", "ftp://a.b/"), "url_scheme", "url"),
        ((*CHANGE, "--event-types", ""), "event_types_invalid", "event_types"),
        (("tenants", "keys", "add", "acme", "/none"), "file_not_read", "/none"),
        (("publish",), "arguments_conflict", None),
        (("publish", "events.jsonl", "--data", "{}"), "arguments_conflict", None),
        (("publish", "events.jsonl", "--id", "evt_1"), "arguments_conflict", None),
        (("publish", "--type", "a.b", "--data", "1"), "customer_id_missing", "customer_id"),
        (("publish", "--customer", "acme", "--data", "1"), "type_missing", "type"),
        (("publish", "--customer", "a", "--type", "a.b", "--data", "{"), "json_invalid", None),
        (("dead-letters", "show", "seven"), "place_invalid", "seven"),
        (("dead-letters", "list", "--reason", "bored"), "reason_unknown", "reason"),
    ],
)
def test_input_is_refused_before_a_broker_is_asked(
    run: Run, arguments: tuple[str, ...], code: str, field: str | None
) -> None:
    result = run(*arguments, **NO_BROKER)

    assert result.exit_code == 2
    assert result.stdout == ""
    start = code if field is None else f"{code} ({field})"
    assert result.stderr.startswith(f"{start}: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("topics", "check"),
        ("topics", "create"),
        ("tenants", "list"),
        ("tenants", "show", "acme"),
        ("tenants", "create", "acme"),
        ENDPOINT,
        ("publish", "--customer", "acme", "--type", "a.b", "--data", "1"),
        ("dead-letters", "list"),
        ("dead-letters", "show", "0/0"),
    ],
)
def test_a_broker_that_does_not_answer_is_one_line_and_exit_1(
    run: Run, arguments: tuple[str, ...]
) -> None:
    result = run(*arguments, **NO_BROKER)

    assert result.exit_code == 1
    assert result.stderr.startswith("broker_unreachable (HOOKSEAL_KAFKA_BOOTSTRAP): ")
    assert result.stderr.count("\n") == 1


def test_a_setting_that_is_refused_is_one_line_and_exit_78(run: Run) -> None:
    result = run("topics", "check", HOOKSEAL_PARTITIONS="none")

    assert result.exit_code == 78
    assert result.stderr.startswith("settings_invalid: HOOKSEAL_PARTITIONS: ")
    assert result.stderr.count("\n") == 1


def test_an_api_without_a_usable_data_folder_names_the_setting(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    result = run(
        "api", "--port", "0", **NO_BROKER, HOOKSEAL_DATA_DIR=str(tmp_path / "file" / "data")
    )

    assert result.exit_code == 78
    assert result.stderr.startswith("data_dir_unusable (HOOKSEAL_DATA_DIR): ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command", [("topics", "check"), ("tenants", "list"), ("worker",), ("api",), ("local",)]
)
def test_every_command_refuses_a_setting_that_does_not_exist(
    run: Run, command: tuple[str, ...]
) -> None:
    result = run(*command, **NO_BROKER, HOOKSEAL_RETRY_MAX_ATTEMTPS="7")

    assert result.exit_code == 78
    assert result.stderr.startswith("settings_unknown: HOOKSEAL_RETRY_MAX_ATTEMTPS: ")
    assert "Did you mean HOOKSEAL_RETRY_MAX_ATTEMPTS?" in result.stderr


def test_no_endpoint_is_added_without_the_key_that_its_secret_comes_from(run: Run) -> None:
    result = run(*ENDPOINT, HOOKSEAL_KAFKA_BOOTSTRAP="127.0.0.1:9")

    assert result.exit_code == 78
    assert result.stderr.startswith("master_key_missing (HOOKSEAL_MASTER_KEY): ")


def test_no_worker_is_started_without_a_master_key(run: Run) -> None:
    result = run("worker")

    assert result.exit_code == 78
    assert result.stderr.startswith("master_key_missing")


@pytest.mark.slow
def test_a_worker_becomes_the_faust_of_this_environment_with_the_same_arguments() -> None:
    process = subprocess.run(
        [Path(sys.executable).with_name("hookseal"), "worker", "--", "--help"],
        env={"HOOKSEAL_MASTER_KEY": MASTER_KEY, "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )

    assert process.stdout.startswith("Usage: faust worker")


def test_the_doctor_names_what_fails_and_exits_1(run: Run) -> None:
    result = run("doctor", "--json", HOOKSEAL_KAFKA_BOOTSTRAP="127.0.0.1:9")

    found = {check["name"]: check["status"] for check in json.loads(result.stdout)}
    assert result.exit_code == 1
    assert (found["broker"], found["master key"]) == ("fail", "fail")
    assert "descriptors" in found
    assert (found["faust-streaming"], found["aiokafka"], found["agents"]) == ("ok", "ok", "ok")


def test_the_doctor_speaks_of_settings_that_are_refused(run: Run) -> None:
    result = run("doctor", HOOKSEAL_PARTITIONS="none")

    assert result.exit_code == 1
    assert "HOOKSEAL_PARTITIONS" in result.stdout


def test_the_doctor_warns_of_an_opened_egress(run: Run) -> None:
    result = run("doctor", "--json", **NO_BROKER, HOOKSEAL_EGRESS_ALLOW_HTTP="true")

    found = {check["name"]: check["status"] for check in json.loads(result.stdout)}
    assert found["egress"] == "warn"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInputError("a", "b"), 2),
        (ConflictError("a", "b"), 2),
        (BrokerError("a", "b"), 1),
    ],
)
def test_what_is_refused_exits_2_and_what_fails_exits_1(error: BrokerError, code: int) -> None:
    assert ui.exit_code_of(error) == code


def test_what_would_steer_a_terminal_is_made_visible() -> None:
    assert ui.printable("a\x1b[31mb\n\u202e") == "a\\x1b[31mb\\n\\u202e"


@pytest.mark.parametrize(("width", "lines"), [(80, 12), (300, 3)])
def test_a_table_of_many_columns_fits_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, width: int, lines: int
) -> None:
    text = StringIO()
    monkeypatch.setattr(
        ui, "out", Console(file=text, force_terminal=True, color_system=None, width=width)
    )

    ui.table([f"column {n}" for n in range(11)], [["value of a cell"] * 11])

    found = text.getvalue().splitlines()
    assert len(found) == lines
    assert max(map(len, found)) <= width


def test_the_version_is_said(run: Run) -> None:
    assert run("--version").stdout.startswith("hookseal ")
