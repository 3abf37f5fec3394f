from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

REPOSITORY = Path(__file__).parents[2]
# Lines that go on are one.
LINES = (REPOSITORY / "deploy" / "Dockerfile").read_text().replace("\\\n", " ").splitlines()


def instructions(name: str) -> list[str]:
    return [line.removeprefix(f"{name} ") for line in LINES if line.startswith(f"{name} ")]


def test_it_is_slim_and_of_a_version_that_is_named() -> None:
    for base in instructions("FROM"):
        assert re.fullmatch(r"python:\$\{PYTHON\}-slim( AS build)?", base)
    assert instructions("ARG") == ["PYTHON=3.11"]


def test_it_runs_as_nobody() -> None:
    (user,) = instructions("USER")

    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    # Behind it nothing is installed any more.
    assert LINES.index(f"USER {user}") > max(
        number for number, line in enumerate(LINES) if line.startswith(("RUN", "COPY"))
    )


def test_what_is_installed_is_locked() -> None:
    installs = [line for line in instructions("RUN") if "pip install" in line]

    assert len(installs) == 2
    for line in installs:
        assert "--require-hashes" in line or "--no-deps" in line
    assert not any("--trusted-host" in line or "curl" in line for line in LINES)


def test_arguments_reach_the_program_itself() -> None:
    # As a list: with a shell in between SIGTERM would end the shell.
    assert json.loads(instructions("ENTRYPOINT")[0]) == ["hookseal"]


def test_its_health_is_asked_for_where_something_answers() -> None:
    (check,) = instructions("HEALTHCHECK")
    command = json.loads(check.partition("CMD ")[2])

    assert command[:2] == ["python", "-c"]
    compile(command[2], "healthcheck", "exec")
    assert "/healthz" in command[2]


@pytest.mark.parametrize("name", ["docker-compose.kafka.yml", "docker-compose.redis.yml"])
def test_containers_of_ours_write_nowhere_else(name: str) -> None:
    services = yaml.safe_load((REPOSITORY / name).read_text())["services"]
    ours = [one for one in services.values() if one["image"].startswith("hookseal")]

    assert len(ours) >= 3
    for service in ours:
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        written = [one.partition(":")[0] for one in service["tmpfs"]]
        written += [one.split(":")[1] for one in service.get("volumes", ())]
        # Each once: two mounts of one place are refused.
        assert sorted(written) == ["/tmp", "/var/lib/hookseal"]  # noqa: S108
