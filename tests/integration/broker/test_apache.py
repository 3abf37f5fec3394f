from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from hookseal.errors import BrokerError
from hookseal.kafka.broker.ports import accepts, node_ids, wait_until
from tests.brokers import jars, java, start_broker
from tests.integration.broker.records import Records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.brokers import ApacheBroker

# The first run on a machine fetches Kafka.
pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(300)]

NOT_INSTALLED = {"java_missing", "java_too_old", "maven_missing"}


@pytest.fixture(scope="session", autouse=True)
def kafka() -> jars.Jars:
    """Kafka's jars. Where Java or Maven are absent nothing here runs, unless it was asked for."""
    try:
        java.find()
        return jars.resolve()
    except BrokerError as error:
        if error.code not in NOT_INSTALLED or os.environ.get("HOOKSEAL_TEST_BROKER") == "apache":
            raise
        pytest.skip(error.message)


@pytest.fixture(scope="module")
def apache(kafka: jars.Jars) -> Iterator[ApacheBroker]:
    """One node. Tests may kill it, and leave it running."""
    with start_broker("apache") as running:
        yield running


@pytest.fixture(scope="module")
def cluster(kafka: jars.Jars) -> Iterator[ApacheBroker]:
    """Three nodes. Tests may kill them, and leave them running."""
    with start_broker("apache", nodes=3) as running:
        yield running


class TestOneNode:
    async def test_what_is_written_is_read_back(self, apache: ApacheBroker) -> None:
        records = await Records(apache.bootstrap).make()

        await records.write("a", "b", "c")

        assert await records.read(3) == ["a", "b", "c"]

    async def test_a_group_goes_on_where_it_left(self, apache: ApacheBroker) -> None:
        records = await Records(apache.bootstrap).make()
        await records.write("a", "b", "c")

        assert await records.read_in_group(records.topic, 2) == ["a", "b"]
        assert await records.read_in_group(records.topic, 1) == ["c"]

    async def test_it_knows_the_end_of_a_batch(self, apache: ApacheBroker) -> None:
        records = await Records(apache.bootstrap).make()

        await records.write("a", "b", "c")

        assert await records.end() == 3

    async def test_a_topic_that_nobody_made_stays_missing(self, apache: ApacheBroker) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=apache.bootstrap, request_timeout_ms=500)

        async with producer:
            with pytest.raises(KafkaError):
                await producer.send_and_wait("nobody-made-this", b"a")

    def test_it_is_the_version_of_the_pom(self, apache: ApacheBroker, kafka: jars.Jars) -> None:
        command = Path(f"/proc/{apache.nodes[0].pid}/cmdline").read_text()

        assert f"kafka_2.13-{kafka.version}.jar" in command

    def test_its_settings_are_the_callers_business(self, apache: ApacheBroker) -> None:
        assert apache.kind == "apache"
        assert apache.settings == {"HOOKSEAL_KAFKA_BOOTSTRAP": apache.bootstrap}

    @pytest.mark.parametrize("end", ["kill", "terminate"])
    async def test_it_keeps_its_data_and_its_address_over_a_restart(
        self, apache: ApacheBroker, end: str
    ) -> None:
        records = await Records(apache.bootstrap).make()
        await records.write("before")
        (node,) = apache.nodes
        former = node.pid

        getattr(node, end)()
        assert not node.alive
        assert not accepts(apache.bootstrap)
        node.start()

        assert node.alive
        assert node.pid != former
        await records.write("after")
        assert await records.read(2) == ["before", "after"]


def all_registered(cluster: ApacheBroker) -> bool:
    """Whether each node knows all three to be up."""
    return all(node_ids(node.bootstrap) == {1, 2, 3} for node in cluster.nodes)


class TestThreeNodes:
    def test_each_knows_all(self, cluster: ApacheBroker) -> None:
        assert [node.node_id for node in cluster.nodes] == [1, 2, 3]
        assert cluster.bootstrap == ",".join(node.bootstrap for node in cluster.nodes)
        assert all_registered(cluster)

    def test_topics_are_to_have_three_copies(self, cluster: ApacheBroker) -> None:
        assert cluster.settings["HOOKSEAL_REPLICATION"] == "3"

    async def test_with_one_killed_writes_are_acknowledged_and_it_catches_up_later(
        self, cluster: ApacheBroker
    ) -> None:
        records = await Records(cluster.bootstrap).make(replication=3)
        await records.write("with three")
        first, second, third = cluster.nodes

        second.kill()
        await records.write("with two")
        second.start()
        # Two of three can tell only if the second has caught up.
        third.kill()
        await records.write("with the second again")
        assert await records.read(3) == ["with three", "with two", "with the second again"]

        third.start()
        assert node_ids(first.bootstrap) == {1, 2, 3}

    async def test_groups_live_on_with_one_killed(self, cluster: ApacheBroker) -> None:
        records = await Records(cluster.bootstrap).make(replication=3)
        await records.write("a", "b")
        assert await records.read_in_group(records.topic, 1) == ["a"]

        cluster.nodes[0].kill()

        assert await records.read_in_group(records.topic, 1) == ["b"]
        cluster.nodes[0].start()

    async def test_all_of_them_killed_come_back_with_their_data(
        self, cluster: ApacheBroker
    ) -> None:
        records = await Records(cluster.bootstrap).make(replication=3)
        await records.write("before")

        for node in cluster.nodes:
            node.kill()
        # None can register before a majority runs.
        for node in cluster.nodes:
            node.start(wait=False)
        assert wait_until(lambda: all_registered(cluster), 60)

        assert await records.read(1) == ["before"]

    async def test_a_topic_with_one_copy_needs_no_more(self, cluster: ApacheBroker) -> None:
        records = await Records(cluster.bootstrap).make(replication=1)

        await records.write("a")

        assert await records.read(1) == ["a"]


def test_nothing_is_left_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    broker = start_broker("apache")
    (node,) = broker.nodes
    assert list(tmp_path.iterdir())

    broker.stop()

    assert not node.alive
    assert not Path(f"/proc/{node.pid}").exists()
    assert not accepts(broker.bootstrap)
    assert not list(tmp_path.iterdir())


def test_a_broker_that_does_not_start_is_told_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kafka: jars.Jars
) -> None:
    # Somebody tidied the cache up.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "hookseal" / kafka.folder.name).mkdir(parents=True)

    with pytest.raises(BrokerError) as caught:
        start_broker("apache")

    assert caught.value.code == "broker_not_started"
    assert "kafka.tools.StorageTool" in caught.value.message


def test_the_second_start_uses_the_classes_that_the_first_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kafka: jars.Jars
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "hookseal" / kafka.folder.name
    shutil.copytree(kafka.folder, folder, ignore=shutil.ignore_patterns("*.jsa", "*.tmp"))

    with start_broker("apache"):
        assert not list(folder.glob("*.jsa"))
    (recorded,) = folder.glob("*.jsa")

    with start_broker("apache") as second:
        maps = Path(f"/proc/{second.nodes[0].pid}/maps").read_text()
        assert str(recorded) in maps


# Counts its runs, then is Maven.
COUNTING_MAVEN = """#!/bin/sh
echo run >> "{calls}"
exec "{maven}" "$@"
"""
RESOLVE = """
import json
from tests.brokers.jars import resolve
found = resolve()
print(json.dumps([str(found.folder), found.classpath]))
"""


def test_two_processes_fill_the_cache_once(tmp_path: Path, kafka: jars.Jars) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        pytest.skip("Maven is not installed; the cache was filled before.")
    program, calls = tmp_path / "bin" / "mvn", tmp_path / "calls"
    program.parent.mkdir()
    program.write_text(COUNTING_MAVEN.format(calls=calls, maven=maven))
    program.chmod(0o755)
    env = {
        **os.environ,
        "XDG_CACHE_HOME": str(tmp_path),
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
    }

    processes = [
        subprocess.Popen([sys.executable, "-c", RESOLVE], env=env, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    answers = [json.loads(process.communicate(timeout=240)[0]) for process in processes]

    assert answers[0] == answers[1]
    assert calls.read_text() == "run\n"
    assert sorted(path.name for path in Path(answers[0][0]).iterdir()) == sorted(
        path.name for path in kafka.folder.glob("*.jar")
    )
