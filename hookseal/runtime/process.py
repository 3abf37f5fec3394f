"""Process-wide tuning: event loop, garbage collector, thread switches."""

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
    """Set the event loop policy of this process; asyncio's where uvloop is missing.

    Not with Faust's `--loop`, which every command line would have to repeat before `worker`.
    """
    if wanted == "asyncio":
        return
    try:
        import uvloop  # noqa: PLC0415 - there is none for Windows
    except ImportError:
        return
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def tune_gc() -> None:
    """Freeze the objects that exist now, and collect garbage less often.

    Some 300,000 objects of imports and wiring stay until the process ends.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


def set_switch_interval() -> None:
    """Shorten the wait of a thread for the interpreter.

    A thread fetches records. While the engine encrypts, the thread would wait 5 ms
    for the interpreter, several times per fetch.
    """
    sys.setswitchinterval(_SWITCH_S)
