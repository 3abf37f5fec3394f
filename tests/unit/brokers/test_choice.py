from __future__ import annotations

import pytest

from hookseal.errors import ConfigurationError
from hookseal.kafka.broker import bootstrap as bootstrap_kind
from tests.brokers import choose_kind, start_broker


@pytest.fixture(autouse=True)
def _no_broker_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOOKSEAL_KAFKA_BOOTSTRAP", "HOOKSEAL_TEST_BROKER"):
        monkeypatch.delenv(name, raising=False)


def test_the_embedded_broker_is_the_default() -> None:
    assert choose_kind() == "embedded"


def test_the_environment_names_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKSEAL_TEST_BROKER", "apache")

    assert choose_kind() == "apache"


def test_what_is_asked_for_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKSEAL_TEST_BROKER", "apache")

    assert choose_kind("docker") == "docker"


def test_a_cluster_that_is_named_comes_before_what_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOOKSEAL_KAFKA_BOOTSTRAP", "kafka:9092")
    monkeypatch.setenv("HOOKSEAL_TEST_BROKER", "apache")

    assert choose_kind("embedded") == "bootstrap"


def test_an_empty_variable_names_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKSEAL_KAFKA_BOOTSTRAP", "")
    monkeypatch.setenv("HOOKSEAL_TEST_BROKER", "")

    assert choose_kind() == "embedded"


def test_an_unknown_kind_in_the_environment_is_refused_by_the_name_of_the_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOOKSEAL_TEST_BROKER", "redpanda")

    with pytest.raises(ConfigurationError) as caught:
        choose_kind()

    assert caught.value.code == "broker_kind_unknown"
    assert caught.value.field == "HOOKSEAL_TEST_BROKER"
    assert "apache" in caught.value.message


def test_an_unknown_kind_is_not_started() -> None:
    with pytest.raises(ConfigurationError) as caught:
        start_broker("redpanda")

    assert caught.value.code == "broker_kind_unknown"


@pytest.mark.parametrize("kind", ["bootstrap", "embedded", "docker"])
def test_only_apache_makes_a_cluster(kind: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        start_broker(kind, nodes=3)

    assert caught.value.code == "broker_nodes_unsupported"


def test_no_cluster_is_named_where_one_is_asked_for() -> None:
    with pytest.raises(ConfigurationError) as caught:
        bootstrap_kind.start()

    assert (caught.value.code, caught.value.field) == (
        "bootstrap_missing",
        "HOOKSEAL_KAFKA_BOOTSTRAP",
    )
