from __future__ import annotations

import subprocess
import sys

import pytest

SHOW = """
import asyncio, gc
from hookseal.runtime.process import tune_gc, use_event_loop
use_event_loop({wanted!r})
tune_gc()
async def show():
    print(type(asyncio.get_running_loop()).__module__.split(".")[0], gc.get_freeze_count() > 0)
asyncio.run(show())
"""


@pytest.mark.parametrize(("wanted", "loop"), [("uvloop", "uvloop"), ("asyncio", "asyncio")])
def test_the_event_loop_is_the_one_that_is_asked_for(wanted: str, loop: str) -> None:
    # In a process of its own: what is set up holds for all of one.
    run = subprocess.run(
        [sys.executable, "-c", SHOW.format(wanted=wanted)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout.split() == [loop, "True"]
