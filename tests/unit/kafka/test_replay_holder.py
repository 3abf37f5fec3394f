"""Whether another process still holds the replays of a partition."""

from __future__ import annotations

import os
import socket
import time

import pytest

from hookseal.dead_letters.replay.lease import is_held
from hookseal.domain.replay import ReplayEntry


def an_entry(pid: object) -> ReplayEntry:
    holder = f"{socket.gethostname()}/{pid}/x"
    return ReplayEntry(holder, int(time.time() * 1000), 0)


@pytest.mark.parametrize("pid", ["", "x", "-1", "\u00b2", "9" * 10, "9" * 11, "9" * 10_000])
def test_a_holder_without_a_process_id_of_this_host_holds_until_its_lease_ends(pid: str) -> None:
    assert is_held(an_entry(pid))


def test_a_process_that_runs_holds() -> None:
    assert is_held(an_entry(os.getpid()))
