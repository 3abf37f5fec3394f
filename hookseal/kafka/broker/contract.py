"""What a caller gets: a running broker and, of a cluster of our own, its nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import ExitStack

__all__ = ["Broker", "Node", "RunningBroker"]


class Node(Protocol):
    """One broker process of a cluster, to be ended and started again by whoever tests that."""

    @property
    def node_id(self) -> int:
        """Its id in the cluster, counted from 1."""
        ...

    @property
    def bootstrap(self) -> str:
        """Its own `host:port`, the same after each start."""
        ...

    @property
    def pid(self) -> int:
        """The process it runs as, or ran as last."""
        ...

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        ...

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL); return when it is gone."""
        ...

    def terminate(self) -> None:
        """Ask it to hand over its partitions and stop (SIGTERM); return when it is gone."""
        ...

    def start(self, *, wait: bool = True) -> None:
        """Start it on the data and the ports it had.

        Args:
            wait: Return only when the node is registered with every node that runs. Pass
                False to start the first of a cluster whose majority is down: alone it
                cannot register.

        Raises:
            BrokerError: `broker_not_started`.
        """
        ...


class Broker(Protocol):
    """A broker, or a cluster of them, that answers."""

    @property
    def kind(self) -> str:
        """`bootstrap`, `embedded`, `apache` or `docker`."""
        ...

    @property
    def bootstrap(self) -> str:
        """`host:port`, or several with commas between."""
        ...

    @property
    def settings(self) -> Mapping[str, str]:
        """The HOOKSEAL_* settings that a worker on this broker needs, as environment."""
        ...

    @property
    def nodes(self) -> Sequence[Node]:
        """The nodes, in order of their ids; empty for kinds whose processes are not ours."""
        ...

    def stop(self) -> None:
        """End it and delete its data. Does nothing the second time."""
        ...


class RunningBroker:
    """The `Broker` of every kind."""

    def __init__(
        self,
        kind: str,
        bootstrap: str,
        *,
        settings: Mapping[str, str] | None = None,
        nodes: Sequence[Node] = (),
        resources: ExitStack | None = None,
    ) -> None:
        """Take over `resources`, which `stop` releases."""
        self.kind = kind
        self.bootstrap = bootstrap
        self.settings = {"HOOKSEAL_KAFKA_BOOTSTRAP": bootstrap, **(settings or {})}
        self.nodes = nodes
        self._resources = resources

    def stop(self) -> None:
        """End it and delete its data. Does nothing the second time."""
        if self._resources is not None:
            self._resources.close()
