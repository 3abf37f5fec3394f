from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hookseal.errors import BrokerError
from hookseal.kafka.broker.ports import wait_until
from hookseal.kafka.broker.process import Child, last_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDLESS = "import signal; print('started', flush=True); signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {ENDLESS}"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "child.log"


def a_child(log: Path, code: str) -> Child:
    return Child([sys.executable, "-c", code], log=log)


@pytest.fixture
def endless(log: Path) -> Iterator[Child]:
    child = a_child(log, ENDLESS)
    yield child
    child.kill()


def started(child: Child) -> bool:
    return wait_until(lambda: "started" in last_lines(child.log), 10)


def gone(pid: int) -> bool:
    """Whether the process ended; who is not its parent may still see it as a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_it_runs_as_the_program_itself(endless: Child) -> None:
    endless.start()

    assert started(endless)
    assert endless.alive
    assert Path(f"/proc/{endless.pid}/cmdline").read_text().split("\0")[2] == ENDLESS


def test_it_ends_when_it_is_asked_to(endless: Child) -> None:
    endless.start()
    started(endless)

    endless.stop(grace_s=10)

    assert not endless.alive
    assert endless.status == -signal.SIGTERM


def test_it_is_killed_when_it_does_not_end(log: Path) -> None:
    child = a_child(log, STUBBORN)
    child.start()
    started(child)

    child.stop(grace_s=0.05)

    assert child.status == -signal.SIGKILL


def test_it_can_be_started_again_and_keeps_its_log(endless: Child) -> None:
    endless.start()
    started(endless)
    endless.kill()
    first = endless.pid

    endless.start()

    assert wait_until(lambda: last_lines(endless.log).count("started") == 2, 10)
    assert endless.pid != first


def test_stopping_what_never_ran_does_nothing(log: Path) -> None:
    child = a_child(log, ENDLESS)

    child.stop(grace_s=1)
    child.kill()

    assert not child.alive
    assert child.status is None


def test_one_that_ends_too_early_is_told_with_the_end_of_its_log(log: Path) -> None:
    child = a_child(
        log, "print('x\\n' * 100 + 'disk full\\n\\tat a.stack.Trace'); raise SystemExit(3)"
    )
    child.start()

    with pytest.raises(BrokerError) as caught:
        child.wait_ready(lambda: False, timeout_s=10, advice="Buy a disk.")

    assert caught.value.code == "broker_not_started"
    assert "status 3" in caught.value.message
    assert "Buy a disk." in caught.value.message
    assert caught.value.message.endswith("disk full")
    assert caught.value.message.count("x\n") < 30


def test_one_that_never_answers_is_told_with_its_log(endless: Child) -> None:
    endless.start()
    started(endless)

    with pytest.raises(BrokerError) as caught:
        endless.wait_ready(lambda: False, timeout_s=0.1, advice="Wait.")

    assert caught.value.code == "broker_not_started"
    assert "did not answer within 0 s" in caught.value.message
    assert caught.value.message.endswith("started")


def test_a_taken_port_has_a_code_of_its_own(log: Path) -> None:
    child = a_child(log, "raise SystemExit('bind: Address already in use')")
    child.start()

    with pytest.raises(BrokerError) as caught:
        child.wait_ready(lambda: False, timeout_s=10, advice="")

    assert caught.value.code == "broker_port_taken"


def test_where_there_is_no_log_there_are_no_lines(log: Path) -> None:
    assert last_lines(log) == ""


PARENT = f"""
import signal, sys
from pathlib import Path
from hookseal.kafka.broker.process import Child
child = Child([sys.executable, "-c", {ENDLESS!r}], log=Path(sys.argv[1]))
child.start()
print(child.pid, flush=True)
try:
    signal.pause()
except KeyboardInterrupt:
    print(child.alive, flush=True)
"""


@pytest.fixture
def parent(log: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, log],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        yield process
        process.kill()


def child_pid(parent: subprocess.Popen[str]) -> int:
    assert parent.stdout is not None
    return int(parent.stdout.readline())


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_it_does_not_outlive_a_parent_that_is_killed(
    parent: subprocess.Popen[str], log: Path
) -> None:
    pid = child_pid(parent)
    assert wait_until(lambda: "started" in last_lines(log), 10)

    parent.kill()

    assert wait_until(lambda: gone(pid), 10)


def test_ctrl_c_reaches_the_parent_alone(parent: subprocess.Popen[str], log: Path) -> None:
    child_pid(parent)
    assert wait_until(lambda: "started" in last_lines(log), 10)

    os.killpg(parent.pid, signal.SIGINT)

    assert parent.stdout is not None
    assert parent.stdout.readline() == "True\n"


def test_it_outlives_the_thread_that_started_it(endless: Child) -> None:
    thread = threading.Thread(target=endless.start)

    thread.start()
    thread.join()

    assert started(endless)
    assert endless.alive
