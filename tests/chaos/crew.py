"""The processes that things are done to: workers, an API, and the brokers' nodes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hookseal.kafka.broker.ports import free_ports
from hookseal.kafka.broker.process import Child, last_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.brokers import ApacheBroker
    from tests.chaos.plan import Fault

__all__ = ["Crew"]

_BIN = Path(sys.executable).parent
_LOOK_S = 0.5
_GRACE_S = 30.0


class Crew:
    """Keeps as many workers running as wanted, whatever happens to them."""

    def __init__(
        self, broker: ApacheBroker, env: Mapping[str, str], folder: Path, workers: int
    ) -> None:
        self.wanted = workers
        self.deaths: list[str] = []
        self.killed = 0
        self._broker = broker
        self._env = {**os.environ, **env, "HOOKSEAL_LOG_FORMAT": "json"}
        self._folder = folder
        self._workers: list[Child] = []
        self._frozen: set[int] = set()
        self._number = 0
        self._one_node_at_a_time = asyncio.Lock()
        (self.api_port,) = free_ports(1)
        self._api = self._child("api", str(_BIN / "hookseal"), "api", "--port", str(self.api_port))

    def start(self) -> None:
        self._api.start()
        for _ in range(self.wanted):
            self._start_worker()

    def logs(self) -> list[Path]:
        """Return the files that the workers wrote their logs to."""
        return sorted(self._folder.glob("worker-*.log"))

    async def keep_up(self) -> None:
        """Start what is missing; a worker that ended by itself is noted, then replaced."""
        while True:
            for worker in [worker for worker in self._workers if not worker.alive]:
                self._workers.remove(worker)
                self.deaths.append(f"{worker.log.name}: {worker.status}: {last_lines(worker.log)}")
            while len(self._workers) < self.wanted:
                self._start_worker()
            await asyncio.sleep(_LOOK_S)

    async def suffer(self, fault: Fault) -> None:
        """Do it, and undo it when its time is over."""
        if fault.kind == "kill_worker":
            self._kill(self._pick(fault))
        elif fault.kind == "freeze_worker":
            await self._freeze(self._pick(fault), fault.for_s)
        elif fault.kind == "add_worker":
            self.wanted += 1
            await asyncio.sleep(fault.for_s + 5)
            self.wanted -= 1
            await self._remove(self._pick(fault))
        elif fault.kind == "remove_worker":
            await self._remove(self._pick(fault))
        elif fault.kind == "kill_broker":
            await self._lose_a_node(fault)
        else:
            self._api.kill()
            self.killed += 1
            await asyncio.sleep(fault.for_s)
            self._api.start()

    async def stop(self) -> None:
        """End everything."""
        self.wanted = 0
        for worker in self._workers:
            self._signal(worker, signal.SIGCONT)
            worker.ask_to_stop()
        self._api.ask_to_stop()
        for child in (*self._workers, self._api):
            await asyncio.to_thread(child.stop, grace_s=_GRACE_S)

    def _child(self, name: str, *command: str) -> Child:
        env = {**self._env, "HOOKSEAL_DATA_DIR": str(self._folder / f"{name}.data")}
        return Child(command, log=self._folder / f"{name}.log", env=env)

    def _start_worker(self) -> None:
        self._number += 1
        name = f"worker-{self._number:03d}"
        worker = self._child(name, str(_BIN / "faust"), "-A", "streams.app", "worker")
        worker.start()
        self._workers.append(worker)

    def _pick(self, fault: Fault) -> Child | None:
        awake = [worker for worker in self._workers if worker.pid not in self._frozen]
        return awake[fault.pick % len(awake)] if awake else None

    def _kill(self, worker: Child | None) -> None:
        if worker is not None:
            self._workers.remove(worker)
            worker.kill()
            self.killed += 1

    async def _remove(self, worker: Child | None) -> None:
        if worker is not None:
            self._workers.remove(worker)
            await asyncio.to_thread(worker.stop, grace_s=_GRACE_S)

    async def _freeze(self, worker: Child | None, seconds: float) -> None:
        if worker is None:
            return
        self._frozen.add(worker.pid)
        self._signal(worker, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._signal(worker, signal.SIGCONT)
            self._frozen.discard(worker.pid)

    def _signal(self, worker: Child, number: signal.Signals) -> None:
        if worker.alive:
            os.kill(worker.pid, number)

    async def _lose_a_node(self, fault: Fault) -> None:
        # Of three nodes one may be lost: the next only when that one is back.
        async with self._one_node_at_a_time:
            node = self._broker.nodes[fault.pick % len(self._broker.nodes)]
            node.kill()
            self.killed += 1
            await asyncio.sleep(fault.for_s)
            # From this thread: the kernel would end it with the one that started it.
            node.start(wait=False)
            await asyncio.to_thread(node.wait_registered)
