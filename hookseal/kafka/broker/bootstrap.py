"""A running broker, and the bootstrap kind: a cluster that runs already."""

from __future__ import annotations

import atexit
import os
from typing import TYPE_CHECKING, Self

from hookseal.errors import ConfigurationError
from hookseal.kafka.broker.ports import accepts, node_ids, wait_until
from hookseal.kafka.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import ExitStack

VARIABLE = "HOOKSEAL_KAFKA_BOOTSTRAP"


class Broker:
    """A broker, or a cluster of brokers, that answers; a context manager that stops it.

    It also stops at the exit of this process, and on Linux when this process is killed. `kind` is
    `bootstrap`, `embedded` or a kind of the tests; `settings` are those of a worker.
    """

    def __init__(
        self,
        kind: str,
        bootstrap: str,
        *,
        settings: Mapping[str, str] | None = None,
        resources: ExitStack | None = None,
    ) -> None:
        self.kind = kind
        self.bootstrap = bootstrap
        self.settings = {VARIABLE: bootstrap, **(settings or {})}
        self._resources = resources
        atexit.register(self.stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the broker and delete its data. A second call does nothing."""
        atexit.unregister(self.stop)
        if self._resources is not None:
            self._resources.close()


def start(*, timeout_s: float = 10.0) -> Broker:
    """Return the cluster that HOOKSEAL_KAFKA_BOOTSTRAP names, once one of its brokers answers.

    By default it waits 10 s, long enough for a cluster that starts in the same compose file. Then
    it raises `broker_unreachable`.
    """
    bootstrap = os.environ.get(VARIABLE, "")
    if not bootstrap:
        raise ConfigurationError(
            "bootstrap_missing",
            "Name the cluster's brokers, `host:port,host:port`.",
            field=VARIABLE,
        )
    addresses = bootstrap.split(",")
    # A broker with TLS or a login hangs up on a plain request, so it is only dialled.
    plain = os.environ.get("HOOKSEAL_KAFKA_SECURITY_PROTOCOL", "PLAINTEXT") == "PLAINTEXT"
    answers = node_ids if plain else accepts
    if not wait_until(lambda: any(answers(address) for address in addresses), timeout_s):
        raise Cluster(bootstrap).unreachable()
    return Broker("bootstrap", bootstrap)
