"""Which kind of broker, and starting it."""

from __future__ import annotations

import atexit
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hookseal.errors import ConfigurationError
from hookseal.kafka.broker import apache, bootstrap, docker, embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hookseal.kafka.broker.contract import Broker

__all__ = ["choose_kind", "running_broker", "start_broker"]

BOOTSTRAP_VARIABLE = "HOOKSEAL_KAFKA_BOOTSTRAP"
KIND_VARIABLE = "HOOKSEAL_TEST_BROKER"

_SINGLE = {"bootstrap": bootstrap.start, "embedded": embedded.start, "docker": docker.start}
_KINDS = ("bootstrap", "embedded", "apache", "docker")


def choose_kind(asked: str | None = None) -> str:
    """Return the kind of broker to use.

    A cluster named by HOOKSEAL_KAFKA_BOOTSTRAP comes first, then what is asked for, then
    HOOKSEAL_TEST_BROKER, then the embedded one.

    Raises:
        ConfigurationError: `broker_kind_unknown`.
    """
    if os.environ.get(BOOTSTRAP_VARIABLE):
        return "bootstrap"
    if asked:
        return _known(asked)
    return _known(os.environ.get(KIND_VARIABLE) or "embedded", field=KIND_VARIABLE)


def start_broker(kind: str | None = None, *, nodes: int = 1) -> Broker:
    """Start a broker and return it once it answers; the caller stops it.

    It ends with this process, too, however that ends (on Linux; elsewhere at a regular exit).

    Args:
        kind: Exactly this kind, whatever the environment says; `choose_kind` when None.
        nodes: Brokers in the cluster. More than one only with `apache`.

    Raises:
        ConfigurationError: `broker_kind_unknown`, `broker_nodes_unsupported`.
        BrokerError: `broker_missing`, `broker_not_started`, `broker_unreachable`,
            `java_missing`, `java_too_old`, `maven_missing`, `kafka_not_resolved`,
            `docker_missing`.
    """
    kind = choose_kind() if kind is None else _known(kind)
    if kind == "apache":
        broker = apache.start(nodes)
    elif nodes == 1:
        broker = _SINGLE[kind]()
    else:
        raise ConfigurationError(
            "broker_nodes_unsupported",
            f"A {kind} broker has one node; ask for `apache` to get a cluster of {nodes}.",
        )
    atexit.register(broker.stop)
    return broker


@contextmanager
def running_broker(kind: str | None = None, *, nodes: int = 1) -> Iterator[Broker]:
    """Start a broker, yield it once it answers, and stop it at the end.

    Args:
        kind: As `start_broker`.
        nodes: As `start_broker`.

    Raises:
        ConfigurationError: As `start_broker`.
        BrokerError: As `start_broker`.
    """
    broker = start_broker(kind, nodes=nodes)
    try:
        yield broker
    finally:
        broker.stop()
        atexit.unregister(broker.stop)


def _known(kind: str, *, field: str | None = None) -> str:
    if kind not in _KINDS:
        raise ConfigurationError(
            "broker_kind_unknown",
            f"There is no broker of the kind {kind!r}; choose one of {', '.join(_KINDS)}.",
            field=field,
        )
    return kind
