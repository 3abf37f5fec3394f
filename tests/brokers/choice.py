"""Choose a kind of broker and start it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, overload

from hookseal.errors import ConfigurationError
from hookseal.kafka.broker import bootstrap, embedded
from tests.brokers import apache, docker

if TYPE_CHECKING:
    from hookseal.kafka.broker import Broker
    from tests.brokers.apache import ApacheBroker

__all__ = ["KINDS", "choose_kind", "start_broker"]

KIND_VARIABLE = "HOOKSEAL_TEST_BROKER"

_SINGLE = {"bootstrap": bootstrap.start, "embedded": embedded.start, "docker": docker.start}
KINDS = ("bootstrap", "embedded", "apache", "docker")


def choose_kind(asked: str | None = None) -> str:
    """Return the kind of broker to use.

    A cluster named by HOOKSEAL_KAFKA_BOOTSTRAP comes first, then `asked`, then
    HOOKSEAL_TEST_BROKER, then `embedded`.

    Raises:
        ConfigurationError: `broker_kind_unknown`.
    """
    if os.environ.get(bootstrap.VARIABLE):
        return "bootstrap"
    if asked:
        return _known(asked)
    return _known(os.environ.get(KIND_VARIABLE) or "embedded", field=KIND_VARIABLE)


@overload
def start_broker(kind: Literal["apache"], *, nodes: int = 1) -> ApacheBroker: ...
@overload
def start_broker(kind: str, *, nodes: int = 1) -> Broker: ...
def start_broker(kind: str, *, nodes: int = 1) -> Broker:
    """Start a broker of exactly this kind and return it once it answers.

    Args:
        kind: See `choose_kind`.
        nodes: Brokers in the cluster, at least 1. More than one only with `apache`.

    Raises:
        ConfigurationError: `broker_kind_unknown`, `broker_nodes_unsupported`.
        BrokerError: `broker_missing`, `broker_not_started`, `broker_unreachable`,
            `java_missing`, `java_too_old`, `maven_missing`, `kafka_not_resolved`,
            `docker_missing`.
    """
    if _known(kind) == "apache":
        return apache.start(nodes)
    if nodes != 1:
        raise ConfigurationError(
            "broker_nodes_unsupported",
            f"A broker of the kind {kind!r} has one node; choose `apache` for {nodes} nodes.",
            field="nodes",
        )
    return _SINGLE[kind]()


def _known(kind: str, *, field: str | None = None) -> str:
    if kind not in KINDS:
        raise ConfigurationError(
            "broker_kind_unknown",
            f"No broker of the kind {kind!r} exists; choose one of {', '.join(KINDS)}.",
            field=field,
        )
    return kind
