from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml  # type: ignore[import-untyped]

from hookseal.cli.app import app
from hookseal.config import Settings

REPOSITORY = Path(__file__).parents[2]
COMPOSE_FILE = REPOSITORY / "docker-compose.redis.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = ("local", "commands", "receiver")


def understood(arguments: list[str]) -> str:
    """Parse a command line as `hookseal` would; return the command's name, run nothing."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("hookseal", list(arguments))
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        context = command.make_context(name, rest, parent=context)
    return str(context.command_path)


def commands_in_the_comments() -> list[list[str]]:
    lines = re.findall(r"^#   \$compose run (.+)$", COMPOSE_FILE.read_text(), re.MULTILINE)
    found = []
    for line in lines:
        words = shlex.split(re.split(r" [<>] ", line)[0])
        service = next(word for word in words if word in OURS)
        found.append(words[words.index(service) + 1 :])
    return found


@pytest.mark.parametrize("service", OURS)
def test_every_setting_exists(service: str) -> None:
    known = {f"HOOKSEAL_{name.upper()}" for name in Settings.model_fields}

    assert set(SERVICES[service]["environment"]) - known == set()


def test_the_settings_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVICES["local"]["environment"].items():
        monkeypatch.setenv(name, "A" * 44 if value.startswith("${") else value)

    settings = Settings()

    assert settings.queue == "redis://redis:6379/0"
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


@pytest.mark.parametrize("arguments", commands_in_the_comments(), ids=" ".join)
def test_every_command_in_the_comments_is_one_of_ours(arguments: list[str]) -> None:
    assert understood(arguments).startswith("hookseal ")


def test_the_comments_have_commands() -> None:
    assert len(commands_in_the_comments()) == 5
