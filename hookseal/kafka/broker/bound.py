"""Runs a program that the kernel kills when its parent dies, even by SIGKILL.

This file runs in a process of its own, without site packages, so it imports nothing of hookseal.
Python code between fork and exec (`preexec_fn`) could wait for a lock that a thread of the parent
holds.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def bound_to_us(command: Sequence[str]) -> list[str]:
    """Return the command that runs this command bound to the life of this process.

    Linux and the main thread only: the kernel takes the thread for the parent. Otherwise the
    command is returned unchanged.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return [*command]
    # Without site packages it starts within a few milliseconds.
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def _become(parent: int, command: list[str]) -> None:
    import ctypes  # noqa: PLC0415 - only this process needs it

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("The parent ended before this program began.")
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
