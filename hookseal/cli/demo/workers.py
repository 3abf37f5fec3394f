"""The demo's workers: real `faust -A streams.app worker` processes, and their logs."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

from hookseal.cli.demo.worklog import WorkLog
from hookseal.errors import HooksealError
from hookseal.kafka.broker.process import Child

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Worker", "share_all"]

_PATIENCE_S = 10.0
_LINES_SHOWN = 5
# What Faust says of itself at the start.
_BANNER = ("|", "+")


class Worker:
    """One worker process; an asynchronous context manager, at whose end it has ended.

    Attributes:
        name: For people.
        log: What its log tells, as of the last look.
    """

    def __init__(self, name: str, env: Mapping[str, str], folder: Path) -> None:
        """Prepare.

        Args:
            name: For people.
            env: The whole environment of the process.
            folder: Where its log and its data go; made here.
        """
        self.name = name
        self.log = WorkLog()
        folder.mkdir()
        # A child that does not outlive us and that Ctrl-C does not reach: workers end when
        # we say so, while there is still a broker to commit to.
        self._child = Child(
            [str(Path(sys.executable).with_name("faust")), "-A", "streams.app", "worker"],
            log=folder / "worker.log",
            env={**env, "HOOKSEAL_DATA_DIR": str(folder)},
        )

    async def __aenter__(self) -> Self:
        self._child.start()
        self._text = self._child.log.open("rb")
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.stop()
        finally:
            # And were it a second Ctrl-C: no worker is left behind.
            if self._child.alive:
                self._child.kill()
            self._text.close()

    async def stop(self) -> None:
        """End the process: politely, and if it takes longer than ten seconds by force."""
        # At once; the thread below may have to wait for another one.
        self._child.ask_to_stop()
        await asyncio.to_thread(self._child.stop, grace_s=_PATIENCE_S)
        self.log.read(self._text.read())

    def look(self) -> None:
        """Read what is new in the log.

        Raises:
            HooksealError: `worker_ended`, with the end of its log.
        """
        self.log.read(self._text.read())
        if self._child.alive:
            return
        lines = self._child.log.read_text(errors="replace").splitlines()
        told = [line for line in lines if not line.startswith(_BANNER)][-_LINES_SHOWN:]
        raise HooksealError(
            "worker_ended",
            f"It ended with {self._child.status}; its log says: {' | '.join(told)}",
            field=self.name,
        )


def share_all(held: Sequence[tuple[int, ...] | None], partitions: int) -> bool:
    """Return whether workers that hold these partitions hold all among them, each some."""
    return all(held) and sorted(sum((one or () for one in held), ())) == list(range(partitions))
