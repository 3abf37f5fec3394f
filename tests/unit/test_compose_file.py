from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from hookseal.config import Settings
from tests.compose import commands_in_the_comments, understood

REPOSITORY = Path(__file__).parents[2]
COMPOSE_FILE = REPOSITORY / "docker-compose.kafka.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = ("topics", "worker", "api", "receiver")


def settings_of(service: str) -> dict[str, str]:
    return dict(SERVICES[service]["environment"])


def test_it_has_a_broker_its_topics_workers_and_a_receiver() -> None:
    assert set(SERVICES) == {"kafka", "topics", "worker", "receiver", "api", "observability"}
    assert all(SERVICES[name]["profiles"] == ["observability"] for name in ("api", "observability"))
    assert SERVICES["worker"]["deploy"]["replicas"] == 2


def test_kafka_has_the_version_of_the_pom() -> None:
    pom = (REPOSITORY / "deploy/kafka/pom.xml").read_text()
    version = re.search(r"<kafka\.version>(.+)</kafka\.version>", pom)

    assert version is not None
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{version[1]}"


@pytest.mark.parametrize("service", OURS)
def test_every_setting_exists(service: str) -> None:
    known = {f"HOOKSEAL_{name.upper()}" for name in Settings.model_fields}

    assert {name for name in settings_of(service) if name not in known} == set()


def test_the_settings_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings_of("worker").items():
        monkeypatch.setenv(name, "" if value.endswith(":-}") else value)
    monkeypatch.setenv("HOOKSEAL_MASTER_KEY", "A" * 44)

    settings = Settings()

    assert [str(network) for network in settings.egress_allow_cidrs] == [
        network["subnet"] for network in COMPOSE["networks"]["hookseal"]["ipam"]["config"]
    ]
    assert settings.egress_allow_ports == ((8080, 8080),)


def test_without_a_master_key_it_says_so() -> None:
    assert settings_of("worker")["HOOKSEAL_MASTER_KEY"].startswith("${HOOKSEAL_MASTER_KEY:?")


def test_the_receiver_gets_no_setting_of_the_provider() -> None:
    assert settings_of("receiver") == {}


def test_workers_start_once_the_topics_are_made_on_a_healthy_broker() -> None:
    assert SERVICES["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    assert SERVICES["worker"]["depends_on"] == {
        "kafka": {"condition": "service_healthy"},
        "topics": {"condition": "service_completed_successfully"},
    }
    assert all("healthcheck" in SERVICES[name] for name in ("kafka", "worker", "receiver"))


def test_the_workers_health_is_asked_where_their_metrics_are() -> None:
    port = settings_of("worker")["HOOKSEAL_METRICS_PORT"]

    assert f"127.0.0.1:{port}/metrics" in SERVICES["worker"]["healthcheck"]["test"][-1]


def test_what_is_watched_is_where_it_is_looked_for() -> None:
    scraped = yaml.safe_load((REPOSITORY / "deploy/observability/prometheus.yml").read_text())
    (job,) = scraped["scrape_configs"]
    ports = {one["names"][0]: one["port"] for one in job["dns_sd_configs"]}

    assert ports == {"worker": int(settings_of("worker")["HOOKSEAL_METRICS_PORT"]), "api": 8000}
    assert settings_of("worker")["HOOKSEAL_METRICS_HOST"] == "0.0.0.0"
    mounts = [one.split(":") for one in SERVICES["observability"]["volumes"]]
    assert all((REPOSITORY / here).is_file() for here, _, _ in mounts)
    rules, dashboards = scraped["rule_files"][0], "/etc/hookseal/dashboards"
    provider = yaml.safe_load((REPOSITORY / "deploy/observability/dashboards.yml").read_text())
    assert provider["providers"][0]["options"]["path"] == dashboards
    assert {rules, f"{dashboards}/hookseal.json"} < {there for _, there, _ in mounts}


def test_workers_get_the_time_that_they_take_to_stop() -> None:
    grace_s = int(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))

    assert grace_s > Settings.model_fields["shutdown_grace_s"].default


@pytest.mark.parametrize(
    ("service", "command"),
    [("topics", "topics create"), ("worker", "worker"), ("api", "api"), ("receiver", "receive")],
)
def test_every_service_runs_its_command(service: str, command: str) -> None:
    assert understood(SERVICES[service]["command"]) == f"hookseal {command}"


@pytest.mark.parametrize("arguments", commands_in_the_comments(COMPOSE_FILE, OURS), ids=" ".join)
def test_every_command_in_the_comments_is_one_of_ours(arguments: list[str]) -> None:
    assert understood(arguments).startswith("hookseal ")


def test_the_comments_have_commands() -> None:
    assert len(commands_in_the_comments(COMPOSE_FILE, OURS)) == 5


def test_the_image_is_built_from_what_its_context_lets_in() -> None:
    copied = re.findall(
        r"^COPY (?!--from)(.+) \S+$", (REPOSITORY / "deploy/Dockerfile").read_text(), re.MULTILINE
    )
    ignore = (REPOSITORY / "deploy/Dockerfile.dockerignore").read_text().splitlines()
    let_in = {line.removeprefix("!") for line in ignore if line.startswith("!")}

    assert {name for names in copied for name in names.split()} == let_in
    assert all((REPOSITORY / name).exists() for name in let_in)
