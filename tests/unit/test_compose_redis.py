from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from hookseal.config import Settings
from tests.compose import commands_in_the_comments, understood

REPOSITORY = Path(__file__).parents[2]
COMPOSE_FILE = REPOSITORY / "docker-compose.redis.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = ("local", "commands", "receiver")


@pytest.mark.parametrize("service", OURS)
def test_every_setting_exists(service: str) -> None:
    known = {f"HOOKSEAL_{name.upper()}" for name in Settings.model_fields}

    assert set(SERVICES[service]["environment"]) - known == set()


def test_the_settings_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVICES["local"]["environment"].items():
        monkeypatch.setenv(name, "A" * 44 if value.startswith("${") else value)

    settings = Settings()

    assert settings.queue_url == "redis://redis:6379/0"
    assert [str(network) for network in settings.egress_allow_cidrs] == [
        network["subnet"] for network in COMPOSE["networks"]["hookseal"]["ipam"]["config"]
    ]


def test_without_keys_it_says_so() -> None:
    for name in ("HOOKSEAL_MASTER_KEY", "HOOKSEAL_ADMIN_KEY"):
        assert SERVICES["local"]["environment"][name].startswith(f"${{{name}:?")


def test_the_receiver_gets_no_setting_of_the_provider() -> None:
    assert SERVICES["receiver"]["environment"] == {}


def test_redis_keeps_what_it_holds() -> None:
    command = SERVICES["redis"]["command"]

    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


def test_processes_start_once_redis_is_there_and_get_the_time_that_they_take_to_stop() -> None:
    grace_s = int(SERVICES["local"]["stop_grace_period"].removesuffix("s"))

    assert SERVICES["local"]["depends_on"] == {"redis": {"condition": "service_healthy"}}
    assert grace_s > Settings.model_fields["shutdown_grace_s"].default


@pytest.mark.parametrize(("service", "command"), [("local", "local"), ("receiver", "receive")])
def test_every_service_runs_its_command(service: str, command: str) -> None:
    assert understood(SERVICES[service]["command"]) == f"hookseal {command}"


@pytest.mark.parametrize("arguments", commands_in_the_comments(COMPOSE_FILE, OURS), ids=" ".join)
def test_every_command_in_the_comments_is_one_of_ours(arguments: list[str]) -> None:
    assert understood(arguments).startswith("hookseal ")


def test_the_comments_have_commands() -> None:
    assert len(commands_in_the_comments(COMPOSE_FILE, OURS)) == 5
