"""Become a program that the kernel kills when its parent dies, even by SIGKILL.

Run as a file, in a process of its own: between fork and exec, Python code (`preexec_fn`)
could meet a lock that a thread of the parent's holds.
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
    """Return the command that runs this command bound to this process.

    Only Linux can do that, and only from the main thread: the kernel takes the thread for the
    parent, and the program would end with the thread. Otherwise the command is returned unchanged.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return [*command]
    # Without the site packages: it is up within a few milliseconds.
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def _become(parent: int, command: list[str]) -> None:
    import ctypes  # noqa: PLC0415 - of no use to whoever imports this

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("The parent ended before this program began.")
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
