"""`python -m tests.brokers`: a broker for programs outside of the tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hookseal.errors import BrokerError
from hookseal.kafka.broker.ports import accepts, node_ids, wait_until
from tests.brokers import jars, java

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.broker

COMMAND = (sys.executable, "-m", "tests.brokers")
REPOSITORY = Path(__file__).parents[3]


@contextmanager
def a_program(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start it with a folder of its own for temporary files, as a background job of a shell."""
    with subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=_as_a_background_job,  # noqa: PLW1509 - no threads here
    ) as program:
        try:
            yield program
        finally:
            program.kill()


def _as_a_background_job() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A run of the tests under `nohup` ignores it, and a program keeps what is ignored.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def first_line(program: subprocess.Popen[str]) -> dict[str, Any]:
    assert program.stdout is not None
    line: dict[str, Any] = json.loads(program.stdout.readline())
    return line


def children_of(program: subprocess.Popen[str]) -> list[int]:
    threads = Path(f"/proc/{program.pid}/task").glob("*/children")
    return [int(pid) for file in threads for pid in file.read_text().split()]


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_it_prints_where_the_broker_is_and_the_settings_that_go_with_it(tmp_path: Path) -> None:
    with a_program(tmp_path, "embedded") as program:
        line = first_line(program)

        assert list(line) == ["bootstrap", "settings"]
        assert line["settings"]["HOOKSEAL_KAFKA_BOOTSTRAP"] == line["bootstrap"]
        assert line["settings"]["HOOKSEAL_KAFKA_IDEMPOTENCE"] == "false"
        assert len(node_ids(line["bootstrap"])) == 1


def test_it_runs_until_its_standard_input_ends(tmp_path: Path) -> None:
    with a_program(tmp_path, "embedded") as program:
        address = first_line(program)["bootstrap"]
        brokers = children_of(program)
        assert program.stdin is not None
        program.stdin.write("a line does not end it\n")
        program.stdin.flush()
        assert accepts(address)

        program.stdin.close()

        assert program.wait(timeout=30) == 0
        assert not accepts(address)
        assert brokers
        assert all(map(is_gone, brokers))
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with a_program(tmp_path, "embedded") as program:
        first_line(program)
        brokers = children_of(program)

        program.send_signal(number)

        assert program.wait(timeout=30) == 0
        assert all(map(is_gone, brokers))
        assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_the_broker_does_not_outlive_a_program_that_is_killed(tmp_path: Path) -> None:
    with a_program(tmp_path, "embedded") as program:
        address = first_line(program)["bootstrap"]

        program.kill()

        assert wait_until(lambda: not accepts(address), 10)


def test_a_signal_during_the_start_leaves_nothing_behind(tmp_path: Path) -> None:
    with a_program(tmp_path, "embedded") as program:
        # Its data folder is there: it starts, and has not answered yet.
        assert wait_until(lambda: list(tmp_path.iterdir()) != [], 10)

        program.send_signal(signal.SIGTERM)

        assert program.wait(timeout=30) == 0
        assert list(tmp_path.iterdir()) == []


def test_with_its_standard_input_closed_it_ends_at_once(tmp_path: Path) -> None:
    run = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *COMMAND, "embedded"],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["bootstrap"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["embedded", "--nodes", "2"], "broker_nodes_unsupported"),
        (["redpanda"], "invalid choice"),
        (["apache", "--nodes", "0"], "at least 1 node"),
        ([], "required"),
    ],
)
def test_what_it_cannot_start_is_refused(arguments: list[str], words: str) -> None:
    run = subprocess.run(
        [*COMMAND, *arguments],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (run.returncode, run.stdout) == (2, "")
    assert words in run.stderr


def test_three_nodes_of_apache_kafka(tmp_path: Path) -> None:
    try:
        java.find()
        jars.resolve()
    except BrokerError as error:
        pytest.skip(str(error))
    with a_program(tmp_path, "apache", "--nodes", "3") as program:
        line = first_line(program)
        nodes = line["bootstrap"].split(",")
        brokers = children_of(program)
        assert [node_ids(node) for node in nodes] == [{1, 2, 3}] * 3
        assert line["settings"]["HOOKSEAL_REPLICATION"] == "3"

        assert program.stdin is not None
        program.stdin.close()

        assert program.wait(timeout=60) == 0
        assert len(brokers) == 3
        assert all(map(is_gone, brokers))
        assert list(tmp_path.iterdir()) == []
