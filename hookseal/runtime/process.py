"""What a worker's process is set up with before anything runs in it."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Literal

__all__ = ["EventLoop", "set_switch_interval", "tune_gc", "use_event_loop"]

EventLoop = Literal["asyncio", "uvloop"]

# Python's own is 700 and 10 and 10. An event leaves no cycles behind, so that to look for
# them after each handful costs, and finds nothing.
_THRESHOLDS = (20_000, 50, 100)
# Python's own is 5 ms.
_SWITCH_S = 0.0005


def use_event_loop(wanted: EventLoop) -> None:
    """Have all event loops of this process be of this kind; asyncio's where there is no uvloop.

    Not with Faust's `--loop`: it would have to be said each time, and in front of `worker`.
    """
    if wanted == "asyncio":
        return
    try:
        import uvloop  # noqa: PLC0415 - there is none for Windows
    except ImportError:
        return
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def tune_gc() -> None:
    """Have the garbage collector pass over all that is there now, and come less often.

    What is imported and wired stays until the process ends: some 300,000 objects.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


def set_switch_interval() -> None:
    """Have a thread that wants to run wait less for one that does.

    Records are fetched in a thread of their own. While the engine seals, it would wait 5 ms
    for the interpreter each time, and it needs it several times for one fetch.
    """
    sys.setswitchinterval(_SWITCH_S)
