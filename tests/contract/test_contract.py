"""What others hold on to, as snapshots: a change of one of them is made on purpose.

`HOOKSEAL_RENEW_SNAPSHOTS=1 pytest tests/contract` writes them again; the diff belongs into the
same commit as the change, and into the changelog.
"""

from __future__ import annotations

import ast
import json
import os
import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer.main
from prometheus_client.metrics import MetricWrapperBase
from typer.testing import CliRunner

from hookseal.api.factory import ApiParts, operations_of
from hookseal.api.openapi import document_of
from hookseal.cli import settings as settings_command
from hookseal.cli.app import app
from hookseal.domain import attempt, command, replay
from hookseal.domain.dead_letter import CATEGORIES, REASONS, DeadLetter
from hookseal.domain.endpoint import Endpoint, EndpointLimits, Suspension
from hookseal.domain.tenant import ApiKey, CommandResult, Tenant
from hookseal.kafka.topics import TopicNames
from hookseal.telemetry import metrics
from tests.builders import a_record, a_registry, public_key

if TYPE_CHECKING:
    import pytest

FOLDER = Path(__file__).parent
REPOSITORY = FOLDER.parents[1]
RENEW = "HOOKSEAL_RENEW_SNAPSHOTS" in os.environ
SOURCES = ("hookseal", "agents", "streams")
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
EVENT = re.compile(r"[a-z_]+\.[a-z_.]+")


def check(name: str, found: Any) -> None:
    """Compare with the snapshot; write it where that is asked for."""
    text = found if isinstance(found, str) else json.dumps(found, indent=1, sort_keys=True) + "\n"
    file = FOLDER / name
    if RENEW:
        file.write_text(text)
    assert text == file.read_text(), f"{name} differs; see the docstring of this module"


def test_topics() -> None:
    names = TopicNames("p.")

    check("topics.json", {name: dict(config) for name, config in names.configs().items()})


def test_record_bytes() -> None:
    codec = a_registry()
    tenant = Tenant(
        customer_id="acme",
        revision=7,
        name="Acme",
        enabled=False,
        api_keys=(ApiKey("k1", "digest", 1, ("events:write",), 1.0),),
        public_keys=(public_key(),),
        endpoints=(
            Endpoint(
                id="ep_1",
                url="https://hooks.acme.test/x",
                event_types=("order.*",),
                description="d",
                retry_delays_s=(1.0, 2.0),
                limits=EndpointLimits(2, 3.0, 4.0),
                suspension=Suspension(5.0, "exhausted", "owner", 9),
                ordering="key",
            ),
        ),
        recent=(CommandResult("cmd_1", "ok", "f"),),
    )
    at: Any = {"customer_id": "acme", "id": "cmd_1", "at": 1.5}
    commands: list[command.Command] = [
        command.CreateTenant(name="Acme", **at),
        command.AddPublicKey(kid="k", alg="ECDH-ES", jwk={"kty": "OKP"}, **at),
        command.AddEndpoint(endpoint_id="e", url="https://a.b/", event_types=("*",), **at),
        command.ChangeEndpoint(endpoint_id="e", enabled=False, **at),
        command.RotateSecret(endpoint_id="e", **at),
        command.SuspendEndpoint(endpoint_id="e", why="exhausted", owner="o", letters_from=3, **at),
    ]
    letter = DeadLetter(
        a_record(None, ("trace", b"1")),
        "attempts_exhausted",
        "text",
        "evt_7",
        1_700_000_001.0,
        b"acme",
        "ep_1",
        attempts=3,
        status=500,
        first_attempt_at=1_700_000_000.5,
    )
    entry = replay.ReplayEntry(
        holder="h", at_ms=1, events_to=2, replayed=[(1, 2)], job="j", job_to=3
    )
    attempted = attempt.AttemptRecord(
        at=1.5,
        customer_id="acme",
        event_id="evt_1",
        event_type="order.paid",
        endpoint_id="ep_1",
        attempt=1,
        attempt_max=5,
        code="accepted",
        status=200,
        duration_s=0.25,
        kid="k",
        partition=3,
        offset=4,
        worker="w:1",
    )

    check(
        "records.json",
        {
            "tenants-changelog": codec.document(tenant).decode(),
            "tenant-commands": [codec.command(one).decode() for one in commands],
            "dead-letters": [[name, (value or b"").decode()] for name, value in letter.headers()],
            "deliveries": attempt.encode(attempted).decode(),
            "replays": [
                replay.encode(entry).decode(),
                replay.encode(replay.DrainedEntry([(1, 2)])).decode(),
            ],
        },
    )


def test_dead_letter_reasons() -> None:
    check(
        "reasons.json",
        {
            reason: next(name for name, reasons in CATEGORIES.items() if reason in reasons)
            for reason in REASONS
        },
    )


def test_http_api() -> None:
    nothing: dict[str, Any] = {field.name: None for field in fields(ApiParts)}

    check("openapi.json", document_of(operations_of(ApiParts(**nothing)), "1"))


def test_settings() -> None:
    check("settings.json", [list(row[:4]) for row in settings_command.rows()])


def test_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("NO_COLOR", "1")
    found: list[str] = []

    def walk(one: Any, path: tuple[str, ...]) -> None:
        if path != ("receive",):
            shown = CliRunner().invoke(app, [*path, "--help"], prog_name="hookseal").output
            found.append("\n".join(line.rstrip() for line in shown.splitlines()))
        for name, below in sorted(getattr(one, "commands", {}).items()):
            walk(below, (*path, name))

    walk(typer.main.get_command(app), ())

    check("cli.txt", "\n".join(found) + "\n")


def test_metrics() -> None:
    declared = [one for one in vars(metrics).values() if isinstance(one, MetricWrapperBase)]

    check(
        "metrics.json",
        sorted([one._name, one._type, *one._labelnames] for one in declared),
    )


def test_log_events() -> None:
    found: set[str] = set()
    for source in SOURCES:
        for file in (REPOSITORY / source).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr in LEVELS
                    and node.args
                    and isinstance(node.args[0], ast.Constant)
                    and EVENT.fullmatch(str(node.args[0].value))
                ):
                    found.add(str(node.args[0].value))

    check("log_events.json", sorted(found))
