from __future__ import annotations

import pytest

from hookseal.config import Settings
from hookseal.demo.plan import demo_environment
from hookseal.kafka.broker import Broker

SHELL = {
    "PATH": "/usr/bin",
    "HOOKSEAL_STORE": "rocksdb",
    "HOOKSEAL_EGRESS_ALLOW_CIDRS": "10.0.0.0/8",
    "HOOKSEAL_KAFKA_SASL_USERNAME": "me",
    "HOOKSEAL_REPLICATION": "3",
}


def an_environment(kind: str) -> dict[str, str]:
    return demo_environment(SHELL, Broker(kind, "127.0.0.1:9999"), [8001, 8002])


@pytest.mark.parametrize("kind", ["embedded", "bootstrap"])
def test_the_settings_of_the_shell_do_not_change_the_demo(kind: str) -> None:
    env = an_environment(kind)

    assert env["PATH"] == "/usr/bin"
    assert "HOOKSEAL_STORE" not in env
    assert env["HOOKSEAL_EGRESS_ALLOW_CIDRS"] == "127.0.0.0/8,::1/128"


def test_how_to_reach_a_cluster_of_ones_own_is_kept() -> None:
    own, started = an_environment("bootstrap"), an_environment("embedded")

    assert (own["HOOKSEAL_KAFKA_SASL_USERNAME"], own["HOOKSEAL_REPLICATION"]) == ("me", "3")
    assert "HOOKSEAL_KAFKA_SASL_USERNAME" not in started
    assert "HOOKSEAL_REPLICATION" not in started


def test_nothing_but_the_receivers_may_be_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in an_environment("embedded").items():
        monkeypatch.setenv(name, value)

    assert Settings().egress_allow_ports == ((8001, 8001), (8002, 8002))


def test_no_two_demos_meet_on_a_cluster() -> None:
    first, second = an_environment("bootstrap"), an_environment("bootstrap")

    assert first["HOOKSEAL_TOPIC_PREFIX"] != second["HOOKSEAL_TOPIC_PREFIX"]
    assert first["HOOKSEAL_MASTER_KEY"] != second["HOOKSEAL_MASTER_KEY"]
