"""One node of an Apache Kafka cluster: a process, its data and its ports."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from hookseal.kafka.broker.ports import node_ids
from hookseal.kafka.broker.process import Child

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.brokers.apache_settings import Place

__all__ = ["ApacheNode"]

_START_TIMEOUT_S = 60.0
# Long enough to hand over the partitions and to write down the classes.
_STOP_GRACE_S = 30.0
# Of a JVM that ran its shutdown hooks.
_STATUS_AFTER_SIGTERM = 128 + signal.SIGTERM


class ApacheNode:
    """A node that can be killed, and started again on the same data and ports."""

    def __init__(self, place: Place, command: Sequence[str], folder: Path) -> None:
        """Prepare a start.

        Args:
            place: Its id and ports.
            command: Runs the broker.
            folder: Where its log goes.
        """
        self._place = place
        self._child = Child(command, log=folder / "broker.log")
        self._peers: Sequence[ApacheNode] = ()

    def meet(self, peers: Sequence[ApacheNode]) -> None:
        """Tell it the nodes of its cluster, itself included."""
        self._peers = peers

    @property
    def node_id(self) -> int:
        """Its id in the cluster, counted from 1."""
        return self._place.node_id

    @property
    def bootstrap(self) -> str:
        """Its own `host:port`, the same after each start."""
        return self._place.bootstrap

    @property
    def pid(self) -> int:
        """The process it runs as, or ran as last."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._child.alive

    @property
    def stopped_in_peace(self) -> bool:
        """Whether it ended by itself when it was asked to."""
        return self._child.status == _STATUS_AFTER_SIGTERM

    @property
    def log(self) -> Path:
        """The file with its log, of all its starts."""
        return self._child.log

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL); return when it is gone."""
        self._child.kill()

    def terminate(self, *, grace_s: float = _STOP_GRACE_S) -> None:
        """Ask it to hand over its partitions and stop; return when it is gone."""
        self._child.stop(grace_s=grace_s)

    def ask_to_stop(self) -> None:
        """Ask it to stop, without waiting."""
        self._child.ask_to_stop()

    def start(self, *, wait: bool = True) -> None:
        """Start it on the data and the ports it had.

        Args:
            wait: Return only when every running node knows this one. Pass False to start the
                first of a cluster whose majority is down: alone it cannot register.

        Raises:
            BrokerError: `broker_not_started`, `broker_port_taken`.
        """
        self._child.start()
        if wait:
            self.wait_registered()

    def wait_registered(self) -> None:
        """Wait until every node that runs counts it among the nodes that are up.

        Raises:
            BrokerError: `broker_not_started`, `broker_port_taken`.
        """
        self._child.wait_ready(
            lambda: all(
                self.node_id in node_ids(peer.bootstrap) for peer in self._peers if peer.alive
            ),
            timeout_s=_START_TIMEOUT_S,
            advice="If classes are missing, delete the folder of its jars in the cache.",
        )
