"""`python -m tests.brokers apache|embedded|docker [--nodes N]`: a broker for outside programs.

Prints one line on standard output once the broker answers:

    {"bootstrap": "127.0.0.1:23456", "settings": {"HOOKSEAL_KAFKA_BOOTSTRAP": "127.0.0.1:23456"}}

`settings` are the environment variables of a hookseal process on this broker. The broker runs
until standard input ends, or until SIGINT, SIGTERM or SIGHUP. Then it is stopped, its data is
deleted, and the exit status is 0. A broker that does not start is one line on standard error and
exit status 1, or 2 if the arguments are wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from typing import TYPE_CHECKING

from hookseal.errors import BrokerError, HooksealError
from tests.brokers.choice import start_broker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_FAILED, _REFUSED = 1, 2
_CHUNK_BYTES = 4096


class _StoppedError(BaseException):
    """A signal asked this process to stop. Not an `Exception`: nothing on the way may keep it."""


def main(arguments: Sequence[str]) -> int:
    """Run a broker until standard input ends; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.brokers", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("kind", choices=("apache", "embedded", "docker"))
    parser.add_argument("--nodes", type=_positive, default=1, help="brokers; apache only")
    asked = parser.parse_args(arguments)
    for number in _SIGNALS:
        # A background job of a shell ignores SIGINT, and must be stopped by it all the same.
        # Only nohup is there to ignore SIGHUP.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        _run(asked.kind, asked.nodes)
    except _StoppedError:
        return 0
    except HooksealError as error:
        print(error, file=sys.stderr)
        return _FAILED if isinstance(error, BrokerError) else _REFUSED
    return 0


def _run(kind: str, nodes: int) -> None:
    with start_broker(kind, nodes=nodes) as broker:
        try:
            line = {"bootstrap": broker.bootstrap, "settings": broker.settings}
            print(json.dumps(line), flush=True)
            # None: started with standard input closed.
            while sys.stdin is not None and os.read(sys.stdin.fileno(), _CHUNK_BYTES):
                pass
        finally:
            # The stop is not interrupted half-way: it would leave data and processes behind.
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("a cluster has at least 1 node")
    return number


def _stop(_: int, __: FrameType | None) -> None:
    # Once is enough, and the cleaning up that follows must not be interrupted.
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise _StoppedError


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
