"""What a file adds: other processes, restarts, and everything that goes wrong with files."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from hookseal_receiver import Bounds, SQLiteStore, Standing, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Claims a hundred deliveries as soon as it is told to, and says which it got.
RACER = """
import sys
from hookseal_receiver import SQLiteStore, Standing
store = SQLiteStore(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
got = [n for n in range(100) if store.claim(str(n)).standing is Standing.NEW]
print(*got, flush=True)
"""
HOLDER = """
import sys
from hookseal_receiver import SQLiteStore
store = SQLiteStore(sys.argv[1])
store.finish(store.claim("seen"))
store.claim("running")
print("claimed", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "seen.db"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    with closing(SQLiteStore(path)) as store:
        yield store


def a_process(program: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_of_many_processes_one_gets_it(path: Path) -> None:
    racers = [a_process(RACER, path) for _ in range(3)]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"

    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    answers = [racer.communicate(timeout=30)[0] for racer in racers]

    assert [racer.returncode for racer in racers] == [0, 0, 0]
    got = [int(number) for answer in answers for number in answer.split()]
    assert sorted(got) == list(range(100))


def test_a_process_that_dies_leaves_what_it_had_seen(path: Path) -> None:
    with a_process(HOLDER, path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "claimed\n"
        holder.send_signal(signal.SIGKILL)

    with closing(SQLiteStore(path)) as store:
        assert store.claim("seen").standing is Standing.SEEN
        assert store.claim("running").standing is Standing.RUNNING


def test_what_was_seen_is_there_after_a_restart(store: SQLiteStore, path: Path) -> None:
    store.finish(store.claim("a"))
    store.close()

    assert store.claim("a").standing is Standing.SEEN
    with closing(SQLiteStore(path)) as other:
        assert other.claim("a").standing is Standing.SEEN


def test_the_claim_of_another_process_ends_too(path: Path) -> None:
    now = 1000.0
    bounds = Bounds(lease_s=30)
    with (
        closing(SQLiteStore(path, bounds=bounds, clock=lambda: now)) as one,
        closing(SQLiteStore(path, bounds=bounds, clock=lambda: now + 30)) as other,
    ):
        one.claim("a")

        assert other.claim("a").standing is Standing.NEW


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_a_connection_of_its_own(store: SQLiteStore) -> None:
    store.finish(store.claim("before"))
    child = os.fork()
    if child == 0:
        # Nothing of pytest may run here a second time, whatever happens.
        try:
            parents = store._connection
            seen = store.claim("before").standing is Standing.SEEN
            store.finish(store.claim("child's"))
            # Kept, since closing it would drop the parent's locks; but used no more.
            left_alone = store._connection is not parents and parents in store._inherited
            os._exit(0 if seen and left_alone else 3)
        finally:
            os._exit(4)

    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert store.claim("child's").standing is Standing.SEEN


def test_a_file_that_another_process_holds_is_an_error_of_ours(path: Path) -> None:
    with (
        closing(SQLiteStore(path, busy_s=0.0)) as store,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        claim = store.claim("a")
        other.execute("BEGIN IMMEDIATE")

        for act in (lambda: store.claim("b"), lambda: store.finish(claim)):
            with pytest.raises(StoreError) as caught:
                act()
            assert (caught.value.code, caught.value.field) == ("store_unavailable", str(path))

        other.execute("ROLLBACK")
        store.finish(claim)
        assert store.claim("b").standing is Standing.NEW


def test_while_another_process_makes_the_file_it_waits(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # SQLite itself gives up at once here, however long it was told to wait.
    with (
        closing(SQLiteStore(path)) as store,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("CREATE TABLE theirs (n)")
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr("time.sleep", lambda _: other.execute("ROLLBACK"))

        assert store.claim("a").standing is Standing.NEW


def test_it_does_not_wait_for_ever(path: Path) -> None:
    with (
        closing(SQLiteStore(path, busy_s=0.0)) as store,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("CREATE TABLE theirs (n)")
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreError):
            store.claim("a")


def test_a_file_that_is_no_database_is_left_as_it_is(path: Path) -> None:
    path.write_bytes(b"precious" * 1000)

    with closing(SQLiteStore(path)) as store, pytest.raises(StoreError):
        store.claim("a")

    assert path.read_bytes() == b"precious" * 1000


def test_a_folder_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    with closing(SQLiteStore(tmp_path / "none" / "seen.db")) as store:
        with pytest.raises(StoreError):
            store.claim("a")

        (tmp_path / "none").mkdir()
        assert store.claim("a").standing is Standing.NEW
